"""Recipes: how they are read, extended and overridden, and all that is refused in them."""

import json
import math
import textwrap
import time
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaelab.errors import UsageError, VaelabError
from vaelab.io import memory
from vaelab.recipe.identity import LENGTHS, RECORDS, identity
from vaelab.recipe.recipe import Recipe, as_json
from vaelab.recipe.text import SHIPPED, parse_yaml, shipped_names
from vaelab.registry import names
from vaelab.registry.plugins import load_plugin
from vaelab.registry.schema import Part
from vaelab.runs.folder import RunFolder
from vaelab.training.options import Best, TrainOptions

BASE = """
data: {kind: digits, resize: 8}
model:
  latent_dim: 3
  backbone: {kind: mlp, width: 16}
  likelihood: bernoulli
objective: {kind: elbo, beta: {kind: linear, epochs: 2}}
train: {epochs: 4, batch_size: 16, lr: 1e-3}
"""
SHAPES = {
    **dict.fromkeys(("mnist", "fashion_mnist", "static_mnist", "omniglot", "caltech_silhouettes"), (1, 28, 28)),
    "freyfaces": (1, 28, 20),
    "cifar10": (3, 32, 32),
    "celeba": (3, 64, 64),
}


@pytest.fixture
def write(tmp_path):
    def to(name: str, text: str) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return to


@pytest.fixture
def base(write) -> str:
    return write("base", BASE)


def problems(*arguments) -> str:
    with pytest.raises(UsageError) as error:
        Recipe.read(*arguments)
    assert error.value.exit_code == 2
    return str(error.value)


def test_a_recipe_is_its_sections(base):
    recipe = Recipe.read(base)
    assert recipe.name == "base"
    assert list(recipe.options) == ["data", "model", "objective", "train"]
    assert recipe.options["train"] == {"epochs": 4, "batch_size": 16, "lr": 0.001}
    assert Recipe.of(json.loads(as_json(recipe.name, recipe.options))["options"], recipe.name) == recipe


def test_sections_have_types(base):
    recipe = Recipe.read(base, ["evaluate={metrics: [frechet, {kind: kernel, pca_dim: 2}]}", "track=tensorboard"])
    assert recipe.data == Part("digits", {"resize": 8})
    assert recipe.model.backbone == Part("mlp", {"width": 16}) and recipe.model.prior == Part("normal")
    assert recipe.model.levels == (3,) and Recipe.read(base, ["model.latent_dim=[1, 2]"]).model.levels == (1, 2)
    assert recipe.objective.options["beta"] == Part("linear", {"epochs": 2})
    assert recipe.evaluate.metrics == (Part("frechet"), Part("kernel", {"pca_dim": 2}))
    assert recipe.best == Best() and recipe.track == (Part("tensorboard"),) and recipe.train["lr"] == 1e-3


def test_a_recipe_may_be_written_in_python(base):
    model = {"latent_dim": 3, "backbone": Part("mlp", {"width": 16}), "likelihood": "bernoulli"}
    objective = {"kind": "elbo", "beta": {"kind": "linear", "epochs": 2}}
    train = {"epochs": 4, "batch_size": 16, "lr": 1e-3}
    sections = {"data": {"kind": "digits", "resize": 8}, "model": model, "objective": objective, "train": train}
    assert Recipe.of(sections, "base") == Recipe.read(base)
    assert Recipe.of({**sections, "train": {"epochs": 4, "betas": (0.5, 0.9)}}).train["betas"] == (0.5, 0.9)
    with pytest.raises(UsageError, match=r"(?s)^recipe 'recipe' has .*train.lr: expected .*modle: unknown section"):
        Recipe.of({**sections, "train": {"epochs": 4, "lr": "x"}, "modle": {}})
    with pytest.raises(UsageError, match="a recipe is plain data"):
        Recipe.of({**sections, "paper": {("a", "b"): 1}})


@pytest.mark.parametrize(
    ("override", "but", "same"),
    [
        ("train.seed=1", (), False),
        ("train.seed=1", ("seed",), True),
        ("train.log_steps=1", RECORDS, True),
        ("train.epochs=9", LENGTHS, True),
        ("train.lr=1", ("seed", *LENGTHS, *RECORDS), False),
        ("track=tensorboard", (), True),
        ("expect.elbo.at_least=1", (), True),
        ("best.metric=kl", (), False),
    ],
)
def test_recipes_are_the_same_experiment_or_not(base, override, but, same):
    changed, own = Recipe.read(base, [override]), Recipe.read(base)
    assert (identity(changed.options, but) == identity(own.options, but)) is same


def test_the_fingerprint_is_that_of_checkpoints_before(base):
    assert Recipe.read(base).fingerprint == "0f030e4b62107f083a72134a3460691d9773d5ab431e92bd8298788be4b4a350"
    assert Recipe.read(base, ["train.epochs=9", "train.save_every=2"]).fingerprint == Recipe.read(base).fingerprint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("5e-4", 0.0005),
        ("+2.e1", 20.0),
        (".5", 0.5),
        ("7", 7),
        ("1.5", 1.5),
        ("0x10", 16),
    ],
)
def test_numbers_are_read_as_numbers(base, text, value):
    lr = Recipe.read(base, [f"train.lr={text}"]).options["train"]["lr"]
    assert lr == value and type(lr) is type(value)


@pytest.mark.parametrize(
    "text", ["fast", "'1e-3'", "true", "null", "[1e-3]", "-1", "0", ".nan", ".inf", "1_0.5x", "2020-01-01"]
)
def test_what_is_no_positive_number_is_refused(base, text):
    assert problems(base, [f"train.lr={text}"]).startswith("train.lr: expected")


def test_overrides_reach_any_depth_and_the_last_wins(base):
    recipe = Recipe.read(base, ["train.lr=1", "model.backbone.width=5", "objective.beta.epochs=3", "train.lr=2"])
    assert recipe.options["train"]["lr"] == 2
    assert recipe.options["model"]["backbone"] == {"kind": "mlp", "width": 5}
    assert recipe.options["objective"]["beta"] == {"kind": "linear", "epochs": 3}


def test_another_kind_drops_the_options_of_the_old_one(base):
    assert Recipe.read(base, ["objective.beta.kind=cosine", "objective.beta.steps=3"]).options["objective"]["beta"] == {
        "kind": "cosine",
        "steps": 3,
    }
    assert Recipe.read(base, ["model.backbone.kind=conv"]).options["model"]["backbone"] == {"kind": "conv"}
    assert Recipe.read(base, ["model.backbone=conv"]).options["model"]["backbone"] == "conv"
    assert Recipe.read(base, ["model.backbone.kind=mlp"]).options["model"]["backbone"]["width"] == 16
    assert Recipe.read(base, ["objective.beta=1"]).options["objective"] == {"kind": "elbo", "beta": 1}


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.kind=shapes", "data.count=9"],
        ["data.count=9", "data.kind=shapes"],
        ["data.count=9", "data=shapes"],
        ["data=shapes", "data.count=9"],
    ],
)
def test_a_kind_may_be_given_before_or_after_its_options_and_in_short(base, overrides):
    assert Recipe.read(base, overrides).options["data"] == {"kind": "shapes", "count": 9}


def test_outer_kinds_come_before_inner_ones(base):
    overrides = ["objective.beta.kind=cosine", "objective.beta.steps=5", "objective.kind=elbo", "objective.kl=analytic"]
    assert Recipe.read(base, overrides).options["objective"] == {
        "kind": "elbo",
        "kl": "analytic",
        "beta": {"kind": "cosine", "steps": 5},
    }


def test_options_go_to_a_part_that_was_named_in_short(base):
    recipe = Recipe.read(base, ["model.likelihood=normal", "model.likelihood.fit=learnable"])
    assert recipe.options["model"]["likelihood"] == {"kind": "normal", "fit": "learnable"}


def test_epochs_and_steps_stand_for_each_other(base):
    assert "epochs" not in Recipe.read(base, ["train.steps=7"]).options["train"]
    again = Recipe.read(base, ["train.steps=7", "train.epochs=2"]).options["train"]
    assert again["epochs"] == 2 and "steps" not in again
    assert "epochs" not in Recipe.read(base, ["objective.beta.steps=7"]).options["objective"]["beta"]
    assert problems(base, ["train={steps: 7, epochs: 2}"]) == "train: give steps or epochs, not both"


def test_a_recipe_extends_another_and_leaves_its_claims_behind(base, write):
    child = write("child", "extends: base\nexpect: {kl: {at_least: 5}}\nmodel: {latent_dim: 9}\ntrain: {steps: 5}\n")
    Path(base).write_text(BASE + "paper: {title: Mine}\nexpect: {elbo: {at_least: -58}}\n")
    options = Recipe.read(child).options
    assert options["model"] == {"latent_dim": 9, "backbone": {"kind": "mlp", "width": 16}, "likelihood": "bernoulli"}
    assert options["train"] == {"steps": 5, "batch_size": 16, "lr": 0.001}
    assert options["expect"] == {"kl": {"at_least": 5}} and "paper" not in options
    assert Recipe.read(write("far", "extends: digits\ntrain: {epochs: 11}")).options["train"]["epochs"] == 11


def test_one_level_is_enough(base, write):
    write("child", "extends: base")
    grandchild = write("grandchild", "extends: child")
    assert problems(grandchild) == "extends: 'child' extends 'base' itself; extend that one, one level is allowed"
    assert "extends itself" in problems(write("self", "extends: self")).replace(
        "'self' extends 'self' itself", "extends itself"
    )


@pytest.mark.parametrize("name", ["nobody", "''", "x/y", "a" * 5000, '"\\0"', '"\\ud800"', "../base/no"])
def test_who_extends_nobody_is_told(write, name):
    assert problems(write("child", f"extends: {name}")).startswith("no recipe ")


@pytest.mark.parametrize("name", ["[base]", "{a: 1}", "3", "true", "1.5"])
def test_extends_takes_a_name(write, name):
    assert problems(write("child", f"extends: {name}")).startswith("extends: expected the name of a recipe, got ")


@pytest.mark.parametrize("name", ["digit", "mnist-mpl", "nothing-like-it", "", "a" * 5000, "a\0b", "/", "~", "ä\ud800"])
def test_an_unknown_recipe_gets_a_hint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = problems(name)
    assert said.startswith("no recipe ") or "cannot read" in said
    if name == "digit":
        assert said.endswith("did you mean 'digits'?")


def test_a_folder_is_no_recipe(tmp_path):
    assert problems(str(tmp_path)).startswith("no recipe ")


def test_all_problems_come_at_once_each_with_its_path(base):
    said = problems(
        base,
        [
            "modle.latent_dim=2",
            "model.latent_dim=-1",
            "model.backbone.widht=5",
            "train.lr=x",
            "data.kind=digit",
            "objective=elob",
        ],
    )
    lines = [line.strip() for line in said.splitlines()]
    assert lines[0] == "recipe 'base' has these problems:"
    assert "modle: unknown section; did you mean 'model'?" in lines
    assert "model.latent_dim: expected greater than 0; got -1" in lines
    assert "model.backbone.widht: unknown option; did you mean 'width'?" in lines
    assert "train.lr: expected a valid number; got 'x'" in lines
    assert any(line.startswith("data.kind: unknown data 'digit'; did you mean 'digits'?") for line in lines)
    assert any(line.startswith("objective.kind: unknown objective 'elob'; did you mean 'elbo'?") for line in lines)
    assert lines[-1] == "(a part of your own needs vaelab.load_plugin)" and len(lines) == 8


def test_overrides_may_be_mappings(base):
    mixed = Recipe.read(
        base, [{"train.lr": 1e-30, "model.backbone": {"width": 5}}, "train.epochs=6", {"data": "digits"}]
    )
    assert mixed.options["train"] == {"epochs": 6, "batch_size": 16, "lr": 1e-30}
    assert mixed.options["model"]["backbone"] == {"kind": "mlp", "width": 5}
    assert problems(base, [3]) == "override 3 is neither 'train.epochs=5' nor {'train.epochs': 5}"
    assert problems(base, [{3: 4, "train.lr": None}]).startswith("recipe 'base' has these problems")


def test_the_objective_is_the_elbo_unless_given(write):
    options = {k: v for k, v in yaml.safe_load(BASE).items() if k != "objective"}
    path = write("less", yaml.safe_dump(options))
    assert Recipe.read(path).options["objective"] == "elbo"
    assert Recipe.read(path, ["objective.beta=2"]).options["objective"] == {"kind": "elbo", "beta": 2}


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("model.prior=gaussian", "normal"),
        ("model.backbone=resnet", "vampalign_resnet"),
        ("model.backbone=CNN", "conv"),
        ("model.likelihood=MSE", "normal"),
        ("objective=beta-vae", "elbo"),
    ],
)
def test_names_that_others_use_lead_to_those_here(base, override, name):
    assert f"did you mean {name!r}?" in problems(base, [override])


@pytest.mark.parametrize("section", ["data", "model", "train"])
def test_no_section_may_be_missing(write, section):
    options = {k: v for k, v in yaml.safe_load(BASE).items() if k != section}
    assert problems(write("less", yaml.safe_dump(options))) == f"the section {section} is missing; give it"


@pytest.mark.parametrize("section", ["data", "model", "objective", "train", "paper", "expect"])
@pytest.mark.parametrize("value", ["3", "[1, 2]", "null", "true", "[]"])
def test_a_section_is_a_mapping(base, section, value):
    assert problems(base, [f"{section}={value}"]).startswith(f"{section}: expected ")


@pytest.mark.parametrize(
    "bar", ["5", "{}", "{at_last: 3}", "{at_most: low}", "null", "[1]", "{value: 1, tolerance: x}"]
)
def test_what_is_expected_is_a_number(base, bar):
    assert problems(base, [f"expect.elbo={bar}"]).startswith(
        "expect.elbo: expected numbers as at_most, at_least or value"
    )


@pytest.mark.parametrize("text", ["a: 1\na: 2", "train: {lr: 1, lr: 2}", "x: [{kind: a, kind: b}]"])
def test_a_key_stands_once(write, text):
    assert "stands twice; mend it there" in problems(write("twice", text))


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "\t- x",
        "&a [*a]",
        "a: &x {b: *x}",
        "*nobody",
        "!!python/object:os.system {}",
        "a: !!set {b}",
        "? [a]\n: b",
        "? {a: 1}\n: b",
        "a: !!binary aGk=",
        "%",
        "---\na: 1\n---\nb: 2",
        "[" * 3000,
        "a: !!int x",
        "!!timestamp x",
        "a: !!int ''",
        "a: !!bool maybe",
        "1" * 5000,
        "\x07",
        "a: !!float q",
    ],
)
def test_unreadable_text_is_named_with_its_file(write, text):
    said = problems(write("bad", text))
    assert "bad.yaml" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "null", "3", "just words", "[1, 2]", "- a\n- b", "# only a comment"])
def test_a_file_without_sections_is_no_recipe(write, text):
    assert problems(write("none", text)).endswith("holds no recipe; it needs the sections data, model and train")


def test_a_file_that_is_not_text_is_no_recipe(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00binary")
    assert problems(str(tmp_path / "a.yaml")).startswith(f"cannot read {tmp_path / 'a.yaml'}")


@pytest.mark.parametrize("override", ["", "=", "train.lr", "train..lr=1", ".lr=1", "train.=1", "=3", "-h"])
def test_an_override_has_a_form(base, override):
    assert "is not of the form key.key=value, for example train.epochs=5" in problems(base, [override])


@pytest.mark.parametrize("epochs", ["-1", "x", "true", "1e308", ".inf", ".nan", "null", "[]", "9" * 400])
def test_epochs_are_a_number(base, epochs):
    assert problems(base, [f"train.epochs={epochs}"]).startswith("train.epochs: expected a number of epochs")


@pytest.mark.parametrize(
    "override", ["train.epochs=0", "train.epochs=1e-9", "objective.beta.epochs=0", "train.batch_size=0"]
)
def test_a_duration_of_no_step_is_refused_in_one_sentence(base, override):
    with pytest.raises(UsageError, match=r"less than a step; give more$|batch_size: expected greater than 0; got 0$"):
        recipe = Recipe.read(base, [override])
        recipe.build_training(recipe.load_data())


@pytest.mark.parametrize(
    "key", ["model.latent_dim", "train.batch_size", "train.steps", "data.resize", "model.backbone.width"]
)
@pytest.mark.parametrize("size", ["0", "-3", "1.5", "many", "99999999999999999999", "true"])
def test_a_size_is_a_positive_whole_number(base, key, size):
    assert problems(base, [f"{key}={size}"]).startswith(f"{key}: expected ")


def test_durations_become_steps(base):
    recipe = Recipe.read(base, ["data.train_size=70", "train.lr_warmup_epochs=0.5"])
    objective, train = recipe.build_training(recipe.load_data())
    assert (train.steps, train.lr_warmup_steps, objective.settled) == (18, 3, 9)  # 4.375 batches of 16 in 70
    assert isinstance(train, TrainOptions)


def test_two_options_that_contradict_each_other_are_refused_when_built(base):
    recipe = Recipe.read(base, ["model.likelihood={kind: normal, fit: learnable, constant: false}"])
    with pytest.raises(UsageError, match=r"model.likelihood: a learnable σ needs its constant"):
        recipe.build_model((1, 8, 8))
    with pytest.raises(UsageError, match="train: betas must be below 1"):
        recipe = Recipe.read(base, ["train.betas=[0.9, 1]"])
        recipe.build_training(recipe.load_data())


def test_weights_are_a_function_of_the_seed(base):
    one, two, other = (Recipe.read(base, [f"train.seed={seed}"]).build_model((1, 8, 8)) for seed in (0, 0, 1))
    pairs = list(zip(one.parameters(), two.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs) and not all(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_is_right_and_honest(name):
    recipe = Recipe.read(name)
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# vaelab train {name} ")
    paper, expect = recipe.options["paper"], recipe.options["expect"]
    assert paper["title"] and paper["url"].startswith("https://")
    assert paper["differs"] and all(isinstance(sentence, str) and sentence for sentence in paper["differs"])
    assert expect and all(bar.keys() & {"at_most", "at_least", "value"} for bar in expect.values())
    channels, *sides = SHAPES.get(recipe.data.kind) or recipe.load_data().x_shape
    x_shape = (channels, *(side + 2 * recipe.data.options.get("pad", 0) for side in sides))
    few = ["model.prior.components=4"] if recipe.model.prior.kind == "vamp" else []
    model = recipe.overridden(few).build_model(x_shape, classes=10).eval()
    x, y = torch.rand(2, *x_shape), torch.tensor([3, 4])
    q = model.q_z(x, y)
    assert q.sample().isfinite().all() and model.p_z(y).log_prob(q.sample()).isfinite().all()
    if model.scores != "loss":
        assert model(x, y).log_px.isfinite().all()
    assert model.generate(2, y).shape == model.reconstruct(x, y).shape == x.shape


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.backbone.depth=1000000000",
            "model.backbone.depth: expected less than or equal to 1000; got 1000000000",
        ),
        (
            "model.backbone={kind: conv, width: 1000000000000000000}",
            "model.backbone.width: expected less than 2147483648",
        ),
        (
            "model.posterior={kind: flow, flow: {kind: maf, context: 9223372036854775807}}",
            "flow.context: expected less",
        ),
        (
            "model.posterior={kind: flow, flow: {kind: planar, layers: 100000}}",
            "flow.layers: expected less than or equal",
        ),
    ],
)
def test_sizes_beyond_sense_are_refused_when_read(base, override, said):
    assert said in problems(base, [override])


@pytest.mark.parametrize(
    "override",
    [
        "model.latent_dim=2000000",
        "model.backbone={kind: mlp, width: 10000, depth: 1000}",
        "model.prior={kind: vamp, components: 1000000}",
        "model.backbone={kind: conv, channels: [3000, 3000]}",
    ],
)
def test_a_model_that_does_not_fit_into_memory_is_refused_at_once(base, override, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**27)
    recipe, began = Recipe.read(base, [override]), time.perf_counter()
    with pytest.raises(UsageError, match=r"5 times over, would take .* GiB .*; lower model\.latent_dim, or the sizes"):
        recipe.new_model(recipe.load_data())
    assert time.perf_counter() - began < 5


def test_recipes_are_shipped():
    assert {"digits", "mnist-mlp", "mnist-conv", "freyfaces-mlp"} <= set(shipped_names())


def bomb(levels: int = 30) -> str:
    """A kilobyte that would be 2^30 values: each line is a list of two of the line before."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels))]
    return "\n".join(lines)


LONG = f"a: &a {'x' * 2000}\nb: [{'*a, ' * 999}]"


@pytest.mark.parametrize("text", [bomb(), bomb().replace("x", "{b: c}"), LONG], ids=["lists", "mappings", "text"])
def test_aliases_that_would_grow_without_bound_are_refused_at_once(write, text):
    started = time.perf_counter()
    for path in (write("bomb", text), write("child", "extends: bomb")):
        assert "use fewer aliases" in problems(path)
    folder = Path(write("bomb", text)).parent / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(text)
    assert "use fewer aliases" in RunFolder.read(folder).problems[0]
    assert time.perf_counter() - started < 2


def test_aliases_may_be_used(write):
    assert parse_yaml("a: &a {b: 1e-3}\nc: [*a, *a]\nd: {<<: *a}", "text")["d"] == {"b": 1e-3}


def test_sentences_repeat_only_the_beginning_of_a_long_value(base):
    said = problems(base, [f"train.lr={'x' * 100_000}", f"model.prior={'y' * 100_000}"])
    assert len(said) < 2000 and "… (100,002 characters)" in said


PLUGIN = '''
"""A prior of my own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vaelab.distributions.normal import diagonal_normal
from vaelab.registry import register
from vaelab.roles import Prior


@dataclass
class Scale:
    """Dataclasses with annotations as text look their module up."""

    value: float = 1.0


@register("prior", "scaled_normal")
class ScaledNormal(Prior):
    """N(0, exp(log_scale)²)."""

    def __init__(self, latent_dim: int, *, start: float = 0.5) -> None:
        super().__init__()
        self.zeros = nn.Buffer(torch.zeros(latent_dim), persistent=False)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), Scale(start).value))

    def forward(self, posterior):
        return diagonal_normal(self.zeros, self.log_scale)
'''


def test_a_plugin_adds_a_part_with_its_options(base, write, tmp_path, monkeypatch):
    from vaelab import registry

    monkeypatch.setitem(registry._TABLE, "prior", dict(registry._TABLE["prior"]))
    assert "needs vaelab.load_plugin" in problems(base, ["model.prior=scaled_normal"])
    (tmp_path / "mine.py").write_text(PLUGIN)
    load_plugin(str(tmp_path / "mine.py"))
    load_plugin(str(tmp_path / "mine.py"))
    assert "scaled_normal" in names("prior")
    recipe = Recipe.read(base, ["model.prior.kind=scaled_normal", "model.prior.start=0.25"])
    assert recipe.build_model((1, 8, 8)).prior.log_scale.tolist() == [0.25] * 3
    assert "model.prior.strat: unknown option; did you mean 'start'?" in problems(
        base, ["model.prior.kind=scaled_normal", "model.prior.strat=1"]
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 +", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise ValueError('oh')", "ValueError: oh"),
    ],
)
def test_a_plugin_that_fails_says_how(tmp_path, code, said):
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(UsageError, match=f"plugin .*bad.py fails when imported: {said}"):
        load_plugin(str(tmp_path / "bad.py"))


@pytest.mark.parametrize("name", ["nowhere.py", "folder", "text.txt"])
def test_a_plugin_is_a_python_file(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(UsageError, match="name a Python file"):
        load_plugin(str(tmp_path / name))


# Garbage.

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["elbo", "mlp", "digits", "linear", "normal", "kind", 10**400, "\ud800", "1e-3", b"x"])
)
keys = (
    st.sampled_from(
        [
            "kind",
            "epochs",
            "steps",
            "batch_size",
            "lr",
            "latent_dim",
            "backbone",
            "prior",
            "posterior",
            "likelihood",
            "beta",
            "width",
            "extends",
            "made",
            "name",
            "betas",
            "path",
            "value",
            "elbo",
            "hold_epochs",
        ]
    )
    | scalars
)
garbage = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=8
)
sections = st.sampled_from(["extends", "paper", "expect", "data", "model", "objective", "train", "made"])
right = yaml.safe_load(BASE.replace("1e-3", "0.001"))
pages = st.dictionaries(sections | keys, garbage, max_size=4).map(lambda page: right | page)
paths = st.lists(sections | keys.map(str), min_size=1, max_size=4).map(".".join)


def answers(*arguments) -> None:
    """A recipe that can be written and read again, or an error of ours in words."""
    try:
        recipe = Recipe.read(*arguments)
    except VaelabError as error:
        assert error.exit_code == 2 and str(error).strip()
        return
    again = Recipe.of(json.loads(as_json(recipe.name, recipe.options))["options"]).options
    assert again == recipe.options or "nan" in str(recipe.options)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("garbage") / "page.yaml"


@settings(max_examples=300)
@given(text=st.text() | st.text("{}[]:,-&*!|>'\"#%@` \n\tab1.?~").map(lambda tail: BASE + tail))
@example(text="a: &a [*a]")
@example(text=BASE + "paper: &p {again: *p}")
@example(text=BASE.replace("bernoulli", "&l {kind: *l}"))
@example(text=BASE + "paper: {date: 2020-01-01, big: " + "9" * 4000 + "}")
def test_garbage_as_text_is_answered(page, text):
    page.write_text(text, encoding="utf-8", errors="replace", newline="")
    answers(str(page))


@settings(max_examples=250)
@given(content=pages)
def test_garbage_as_data_is_answered(page, content):
    page.write_text(yaml.dump(content, allow_unicode=False), encoding="utf-8")
    answers(str(page))


@settings(max_examples=400)
@given(
    overrides=st.lists(
        st.builds("{}={}".format, paths, garbage.map(lambda v: yaml.dump(v, default_flow_style=True)) | st.text())
        | st.text(),
        max_size=3,
    )
)
@example(overrides=["model=&a {model: *a}", "model=&a {model: *a}"])
@example(overrides=["train.epochs=" + "9" * 4000])
@example(overrides=["data.kind=" + "a" * 5000])
def test_garbage_as_overrides_is_answered(page, overrides):
    page.write_text(BASE, encoding="utf-8")
    answers(str(page), overrides)


def test_the_garbage_would_find_a_recipe_that_is_right(page):
    page.write_text(yaml.dump(right))
    answers(str(page))
    assert Recipe.read(str(page)).options == right
    assert math.isnan(Recipe.read(str(page), ["paper.x=.nan"]).options["paper"]["x"])
