"""Mutations of recipes: as text, as values, as overrides, as parts."""

from collections.abc import Callable
from inspect import Parameter
from random import Random
from typing import Any, Literal, get_args, get_origin

import yaml

from vaelab.registry import names, part, roles
from vaelab.registry.schema import options

SMALL = {"width": 16, "components": 5, "base_channels": 8, "min_channels": 4, "channels": [8, 8], "batch_size": 16}
NUMBERS = [
    *("0", "-1", "1", "2", "3", "1e-3", "-0.0", "1e308", "1e309", "-1e400", ".nan", ".inf", "-.inf", "0x7fffffff"),
    *("2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "1" * 400, "1_000", "0o17", "1e-400"),
    *("100000", "1000000", "20000000", "2147483647", "999999999999", "0.1", "1e9", "65536", "0b11", "1:30", "+.5"),
]
WORDS = [
    *(
        "",
        "null",
        "~",
        "true",
        "no",
        "'1'",
        '"\\0"',
        '"\\ud800"',
        "ä€😀\u202e",
        "[]",
        "{}",
        "[[[]]]",
        "{a: {b: {c: 1}}}",
    ),
    *("2001-01-01", "&a [*a]", "*a", "<<: 1", "- - - 1", "|", ">", "%", "@", "`", "\t", "? 1", "{kind: }", "\x07"),
    *("!!python/object/apply:os.system [echo]", "!!binary aGk=", "!!timestamp 2001-01-01", "!!set {a, b}"),
    *("none", "data", "normal", "linear", "{kind: linear, steps: 3}", "{kind: normal}", "../../etc/passwd"),
    *("x" * 100_000, "[" * 2000),
]
SIZES = [1, 1, 2, 3, 4, 5, 8, 12, 16, 33, 64, 1000, 100_000]
FITTING: dict[type, Callable[[Random], Any]] = {
    bool: lambda random: random.random() < 0.5,
    int: lambda random: random.choice(SIZES),
    float: lambda random: random.choice([0.0, 0.1, 0.5, 1.0, 2.0, 30.0, 1e30, 1e-30]),
    tuple: lambda random: [random.choice(SIZES[:9]) for _ in range(random.randint(0, 4))],
    str: lambda random: random.choice(WORDS),
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def odd_value(random: Random) -> str:
    """A value as text, half of the time a number that could be meant."""
    usual = random.choice([str(random.choice(SIZES)), "0.5", "[2, 3]", "[4, 8]", "true", str(random.randint(-10, 300))])
    return random.choice([usual, usual, random.choice(NUMBERS), random.choice(WORDS)])


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except Exception:
        return text


def _values(options: dict[str, Any], before: tuple = ()) -> dict[tuple, Any]:
    """Every value, by its path."""
    found = {}
    for key, value in options.items():
        found[*before, key] = value
        found |= _values(value, (*before, key)) if isinstance(value, dict) else {}
    return found


def like(value: Any, random: Random) -> Any:
    """Another value of the same type, or anything."""
    if random.random() < 0.3:
        return _parsed(odd_value(random))
    if isinstance(value, str):
        role = next((role for role in roles() if value in names(role)), None)
        return random.choice(names(role)) if role else random.choice(WORDS)
    fitting = next((fit for kind, fit in FITTING.items() if isinstance(value, kind)), None)
    return fitting(random) if fitting else [random.choice(SIZES[:9]) for _ in range(random.randint(0, 4))]


def change(options: dict[str, Any], random: Random) -> None:
    """Set one value to another like it; or nest, drop or rename one."""
    path = random.choice(list(_values(options)))
    *above, key = path
    inside = options
    for name in above:
        inside = inside[name]
    value = inside.get(key)
    if not isinstance(value, dict) or random.random() < 0.1:
        new = random.choice([*[like(value, random)] * 6, [value], {"kind": value}, {key: value}, str(value)])
        inside[key] = new
    elif random.random() < 0.1:
        inside[f"{key}s"] = inside.pop(key)
    elif random.random() < 0.1:
        del inside[key]


def override(options: dict[str, Any], random: Random) -> str:
    """One such change, as a word of the command line."""
    leaves = {path: value for path, value in _values(options).items() if not isinstance(value, dict)}
    *above, key = random.choice(list(leaves))
    name, text = ".".join([*above, key]), yaml.safe_dump(like(leaves[*above, key], random), default_flow_style=True)
    names = [name] * 8 + [odd_value(random), f"{name}.kind", ".".join([*above, random.choice(WORDS[:20])])]
    value = random.choice([text.removesuffix("\n...\n").strip()] * 3 + [odd_value(random)])
    return random.choice(names) + random.choice(["="] * 9 + ["==", ""]) + value


def odd_part(role: str, random: Random) -> Any:
    """Any part of a role, with a few of its options set: mostly to what fits them, in size if not in sense."""
    kind = random.choice(names(role))
    known = options(part(role, kind))
    chosen = random.sample(list(known), min(len(known), random.choice((0, 1, 2, 3))))
    small = {k: v for k, v in SMALL.items() if k in known} | ({"count": 150} if "count" in known else {})
    return {"kind": kind, **small, **{k: _fitting(k, known[k], random) for k in chosen}}


def _fitting(name: str, option: Parameter, random: Random) -> Any:
    if name in roles() and random.random() < 0.5:
        return odd_part(name, random)
    if random.random() < 0.2:
        return _parsed(odd_value(random))
    if words := get_args(option.annotation) if get_origin(option.annotation) is Literal else ():
        return random.choice(words)
    for kind, value in FITTING.items():
        if isinstance(option.default, kind):
            return value(random)
    return random.choice([*SIZES, 0.5, None])


def _splice(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return (
        text[:at]
        + random.choice([odd_value(random), random.choice("{}[]:,&*!|>'\"%@`#-? \n\t\0\x85\ufeff")])
        + text[at:]
    )


def _cut(text: str, random: Random) -> str:
    a, b = sorted(random.randrange(len(text) + 1) for _ in range(2))
    return text[:a] + text[min(b, a + 40) :]


def _repeat(text: str, random: Random) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    return "\n".join([*lines[:at], *[lines[at]] * random.choice((2, 3, 50)), *lines[at:]])


def _indent(text: str, random: Random) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    return "\n".join([*lines[:at], random.choice(["  ", "\t", " " * 500, "- "]) + lines[at], *lines[at + 1 :]])


def _revalue(text: str, random: Random) -> str:
    pieces = text.split(": ")
    at = random.randrange(len(pieces))
    return ": ".join([*pieces[:at], odd_value(random), *pieces[at + 1 :]])


def _alias(text: str, random: Random) -> str:
    return random.choice([BOMB + text, text + "\n" + BOMB, "a: &a {b: *a}\n" + text, text + "\nextends: digits"])


TEXT: list[Callable[[str, Random], str]] = [_splice, _cut, _repeat, _indent, _revalue, _revalue, _splice, _alias]
