"""The registry: signatures are configurations, checked strictly, with every problem named at once."""

import copy
import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab import registry
from vaelab.errors import UsageError
from vaelab.registry import Count, Fraction, NonNegative, Positive, Role, Size, names, part, register, roles
from vaelab.registry.schema import build, check_part, defaults, options, role_of


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """What a test registers is gone afterwards."""
    monkeypatch.setattr(registry, "_TABLE", copy.deepcopy(registry._TABLE))


@dataclass(frozen=True)
class Lamp:
    """A part with every type of option that recipes have."""

    room: str = "cellar"
    _: KW_ONLY
    size: Size = 1
    count: Count = 0
    power: Positive = 1.0
    noise: NonNegative = 0.0
    share: Fraction = 0.5
    lit: bool = False
    colour: Literal["red", "green"] = "red"
    name: str = "lamp"
    limits: tuple[float, float] = (0.0, 1.0)
    layers: tuple[Size, ...] = (1, 2)
    optional: Positive | None = None
    steps: Size = 10
    fade_steps: Count = 0


@pytest.fixture
def lamp():
    """The class above, registered as `lamp: bright`."""
    return register("lamp", "bright")(Lamp)


def problems(**given) -> list[str]:
    return check_part("lamp", {"kind": "bright", **given}, "house.lamp")


def test_register_returns_what_it_is_given(lamp):
    assert lamp is Lamp
    assert part("lamp", "bright") is Lamp
    assert names("lamp") == ["bright"]
    assert "lamp" in roles()


def test_names_are_sorted_and_empty_for_an_unknown_role():
    assert names("schedule") == sorted(names("schedule")) != []
    assert names("nothing") == []


def test_defaults_are_those_of_the_signature(lamp):
    assert build("lamp", "bright") == Lamp()
    assert defaults(Lamp)["layers"] == (1, 2)
    assert "room" not in options(Lamp)


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("size", 3, 3),
        ("power", 2, 2.0),
        ("power", 1e-3, 1e-3),
        ("limits", [1, 2.5], (1.0, 2.5)),
        ("limits", (1, 2.5), (1.0, 2.5)),
        ("layers", [], ()),
        ("layers", [4, 5, 6], (4, 5, 6)),
        ("colour", "green", "green"),
        ("lit", True, True),
        ("optional", None, None),
        ("optional", 3, 3.0),
        ("share", 1, 1.0),
    ],
)
def test_options_get_their_final_types(lamp, key, value, result):
    got = getattr(build("lamp", {"kind": "bright", key: value}), key)
    assert (got, type(got)) == (result, type(result))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", True),
        ("size", "3"),
        ("size", 2.5),
        ("size", 0),
        ("size", -1),
        ("size", None),
        ("size", [3]),
        ("size", 2**31),
        ("count", -1),
        ("power", True),
        ("power", "1e-3"),
        ("power", 0.0),
        ("power", math.nan),
        ("power", math.inf),
        ("noise", -math.inf),
        ("noise", -0.1),
        ("share", 1.01),
        ("lit", 1),
        ("lit", "true"),
        ("colour", "blue"),
        ("colour", 1),
        ("name", 5),
        ("name", None),
        ("limits", [1, 2, 3]),
        ("limits", [1, math.nan]),
        ("limits", "12"),
        ("layers", [1, 0]),
        ("layers", 1),
        ("layers", [1, "2"]),
        ("optional", 0),
        ("optional", {"a": 1}),
    ],
)
def test_wrong_types_are_refused_with_the_path_and_the_value(lamp, key, value):
    found = problems(**{key: value})
    assert found
    assert all(text.startswith(f"house.lamp.{key}") and "expected" in text and "got" in text for text in found)
    with pytest.raises(UsageError):
        build("lamp", {"kind": "bright", key: value})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"3", 1j, Lamp(), Lamp, lambda: 3], ids=lambda v: type(v).__name__)
def test_values_that_no_recipe_could_hold_are_refused_alike(lamp, value):
    (text,) = problems(size=value)
    assert text.startswith("house.lamp.size: expected a valid integer; got")


def test_a_list_that_is_too_short_says_what_is_missing(lamp):
    assert problems(limits=[1]) == ["house.lamp.limits.1 is missing; give it a value"]


def test_a_list_of_the_wrong_length_is_refused_in_plain_words(lamp):
    assert problems(limits=[1, 2, 3]) == ["house.lamp.limits: expected at most 2 items; got [1, 2, 3]"]


def test_a_misspelt_option_is_guessed(lamp):
    assert problems(colr="red") == ["house.lamp.colr: unknown option; did you mean 'colour'?"]
    assert problems(fade_epoch=3) == ["house.lamp.fade_epoch: unknown option; did you mean 'fade_epochs'?"]


def test_an_option_without_resemblance_lists_all(lamp):
    (text,) = problems(zzz=1)
    heading, _, known = text.partition("unknown option; known: ")
    assert heading == "house.lamp.zzz: "
    assert {*options(Lamp), "epochs", "fade_epochs"} == set(known.split(", "))


def test_what_the_program_supplies_is_no_option(lamp):
    assert problems(room="attic")[0].startswith("house.lamp.room: unknown option")


def test_a_misspelt_kind_is_guessed():
    (text,) = check_part("prior", {"kind": "norml"}, "model.prior")
    assert text.startswith("model.prior.kind: unknown prior 'norml'; did you mean 'normal'?")


@pytest.mark.parametrize("value", [None, [], ["normal"], {}, {"kind": None}, {"kind": 3}, {"width": 3}, True])
def test_a_part_without_a_kind_is_told_what_there_is(value):
    (text,) = check_part("prior", value, "model.prior")
    assert text.startswith("model.prior: expected {kind: NAME, …} with NAME one of")
    assert "normal" in text


def test_all_problems_come_at_once(lamp):
    found = problems(size=0, powr=3, colour="blue", limits=[1, "x"], lit=None)
    paths = [text.split(":")[0] for text in found]
    assert sorted(paths) == [f"house.lamp.{k}" for k in ("colour", "limits.1", "lit", "powr", "size")]
    with pytest.raises(UsageError) as caught:
        build("lamp", {"kind": "bright", "size": 0, "powr": 3}, "house.lamp")
    assert str(caught.value).startswith("the recipe has these problems:\n  house.lamp.")
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_option_is_named():
    found = check_part("schedule", "linear", "beta")
    assert found == ["beta.steps is missing; give it a value"]


def test_a_name_stands_for_a_part_and_a_number_for_a_constant():
    assert build("schedule", 0.5) == build("schedule", {"kind": "constant", "value": 0.5})
    assert build("schedule", "constant").value == 1
    assert type(build("prior", "normal", latent_dim=3)).__name__ == "NormalPrior"
    assert check_part("prior", 3, "prior")[0].startswith("prior: expected {kind: NAME, …}")  # priors have no constant


class TestDurations:
    def test_epochs_are_steps(self, lamp):
        made = build("lamp", {"kind": "bright", "epochs": 3, "fade_epochs": 0.5}, steps_per_epoch=10)
        assert (made.steps, made.fade_steps) == (30, 5)

    def test_both_are_refused(self, lamp):
        assert problems(steps=3, epochs=4) == ["house.lamp: give steps or epochs, not both"]

    @pytest.mark.parametrize("value", ["3", -1, True, None, math.nan, math.inf, [1], 1e300, 10**400])
    def test_epochs_are_numbers(self, lamp, value):
        (text,) = problems(fade_epochs=value)
        assert text.startswith("house.lamp.fade_epochs: expected a number of epochs")

    def test_epochs_of_what_has_no_steps_are_unknown(self, lamp):
        assert problems(size_epochs=3)[0].startswith("house.lamp.size_epochs: unknown option")

    def test_less_than_one_step_is_an_error_of_ours(self, lamp):
        with pytest.raises(UsageError, match=r"lamp\.epochs: less than a step; give more"):
            build("lamp", {"kind": "bright", "epochs": 0.01}, steps_per_epoch=10)
        assert build("lamp", {"kind": "bright", "fade_epochs": 0}, steps_per_epoch=10).fade_steps == 0

    def test_the_length_of_an_epoch_must_be_known(self, lamp):
        with pytest.raises(UsageError, match=r"lamp\.epochs: the length of an epoch is not known here; give steps"):
            build("lamp", {"kind": "bright", "epochs": 1})


class TestNestedParts:
    @pytest.fixture(autouse=True)
    def house(self, lamp):
        @register("house", "small")
        def small(
            door: str,
            *,
            light: Annotated[Lamp, Role("lamp")],
            spare: Annotated[Lamp | None, Role("lamp")] = None,
        ):
            return door, light, spare

    def test_are_built_with_what_is_supplied(self):
        given = {"kind": "small", "light": {"kind": "bright", "epochs": 2}}
        built = build("house", given, door="oak", room="hall", steps_per_epoch=5, unused=1)
        assert built == ("oak", Lamp("hall", steps=10), None)

    def test_may_be_given_by_name_or_left_out(self):
        assert build("house", {"kind": "small", "light": "bright", "spare": "bright"}, door="oak")[2] == Lamp()
        assert build("house", {"kind": "small", "light": "bright", "spare": None}, door="oak")[2] is None

    def test_problems_inside_carry_the_whole_path(self):
        given = {"kind": "small", "light": {"kind": "bright", "size": "3"}, "spare": "brigt", "roof": 1}
        paths = [text.split(" ")[0].rstrip(":") for text in check_part("house", given, "h")]
        assert sorted(paths) == ["h.light.size", "h.roof", "h.spare.kind"]

    def test_a_missing_part_is_named(self):
        assert check_part("house", "small", "h") == ["h.light is missing; give it a value"]


def test_functions_are_parts_as_well():
    @register("lamp", "folded")
    def folded(room, *, size: Size = 2) -> tuple:
        return room, size

    assert build("lamp", "folded", room="attic", size_of_it=1) == ("attic", 2)
    assert build("lamp", {"kind": "folded", "size": 5}, room="attic") == ("attic", 5)


def test_a_second_part_of_the_same_name_is_refused(lamp):
    register("lamp", "bright")(Lamp)  # the same one again, as a reloaded module does
    with pytest.raises(UsageError, match="lamp 'bright' is already Lamp; register yours by another name"):
        register("lamp", "bright")(dict)
    register("torch", "bright")(dict)  # another role is another shelf


def test_contradictions_found_by_the_part_carry_its_path():
    @register("lamp", "broken")
    def broken(*, a: int = 0, b: int = 0):
        raise ValueError("a and b contradict each other")

    with pytest.raises(UsageError, match=r"^house\.lamp: a and b contradict each other$"):
        build("lamp", "broken", "house.lamp")


def test_an_unknown_part_is_guessed():
    with pytest.raises(UsageError, match="unknown likelihood 'bernouli'; did you mean 'bernoulli'"):
        part("likelihood", "bernouli")


def test_every_registered_part_has_a_first_sentence():
    missing = [(role, name) for role in roles() for name in names(role) if not (part(role, name).__doc__ or "").strip()]
    assert not missing


def test_every_default_passes_its_own_check():
    for role in roles():
        for name in names(role):
            thing = part(role, name)
            plain = {k: v for k, v in defaults(thing).items() if role_of(options(thing)[k].annotation) is None}
            found = check_part(role, {"kind": name, **plain}, "x")
            assert all("is missing" in text for text in found), found


NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2**31, 10**30, 1e308, True, False])
WORDS = st.text(max_size=8) | st.sampled_from(
    ["kind", "steps", "epochs", "linear", "value", "beta", "normal", "\ud800"]
)
JUNK = st.recursive(
    st.none() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.integers(), inner, max_size=4),
    max_leaves=10,
)


SUPPLIED: dict = {"x_shape": (1, 1, 1), "latent_dim": 2, "levels": (1, 1), "top_dim": 1}
SUPPLIED |= {"steps_per_epoch": 10, "pixels": 4, "stage_steps": 30, "stage_count": 3}


def nearly(role: str) -> st.SearchStrategy:
    """A real part with real option names, and junk for values."""

    def options_of(name: str) -> st.SearchStrategy:
        known = [*options(part(role, name)), "epochs", "delay_epochs", "nonsense"]
        return st.dictionaries(st.sampled_from(known), JUNK, max_size=3).map(lambda given: {"kind": name, **given})

    return st.sampled_from(names(role)).flatmap(options_of)


@pytest.mark.parametrize("role", roles())
@given(data=st.data())
def test_junk_is_answered_with_sentences(role, data):
    found = check_part(role, data.draw(JUNK | nearly(role)), "x")
    assert isinstance(found, list)
    assert all(isinstance(text, str) and text.startswith("x") for text in found)


@pytest.mark.parametrize("role", ["schedule", "likelihood", "objective", "prior", "data"])
@given(data=st.data())
def test_junk_is_built_or_refused_by_an_error_of_ours(role, data):
    given = data.draw(JUNK | nearly(role))
    try:
        built = build(role, given, **SUPPLIED)
    except UsageError as error:
        assert str(error)
    else:
        assert check_part(role, given, "x") == []
        assert built is not None
