"""CONTRIBUTING.md does as it says: its example passes the checks and trains; a contract that is broken is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import vaelab
from vaelab import registry
from vaelab.errors import UsageError
from vaelab.registry.plugins import load_plugin
from vaelab.runs.log import Log

ROOT = Path(__file__).parents[1]
EXAMPLE = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)[0]
SHORT = ("train.steps=2", "train.draw_every=0", "train.log_steps=1", "data.train_size=128")
IMPORTS = """
import torch
from torch import nn
from torch.distributions import Independent, Laplace, Normal
from vaelab.registry import register
from vaelab.roles import Objective, Prior
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """`trained(code, *overrides)`: the rows of a short run with a plugin, forgotten after the test."""
    monkeypatch.setattr(registry, "_TABLE", {role: dict(parts) for role, parts in registry._TABLE.items()})

    def train(code: str, *overrides: str) -> list[dict]:
        (tmp_path / "mine.py").write_text(code)
        load_plugin(tmp_path / "mine.py")
        run = vaelab.train("digits", *SHORT, *overrides, run=tmp_path / "run", device="cpu", quiet=True)
        vaelab.load(run).generate(2)
        return Log.read(run / "log.jsonl").rows

    yield train
    assert (tmp_path / "run" / "recipe.yaml").exists() == (tmp_path / "run" / "last.pt").exists()


def test_the_example_trains(trained):
    rows = trained(EXAMPLE, "model.prior.kind=student", "model.prior.df=3", "objective.beta=1")
    assert rows[-1]["loss"] > 0 and vaelab.registry.names("prior").count("student") == 1


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids="-".join)
def test_the_example_passes_the_checks(words):
    ruff = [sys.executable, "-m", "ruff", *words, "--stdin-filename", "src/vaelab/priors/student.py", "-"]
    done = subprocess.run(ruff, input=EXAMPLE, text=True, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_objective_needs_no_more_than_its_call(trained):
    code = """
@register("objective", "mine")
class Mine(Objective):
    '''−ELBO.'''

    def __call__(self, terms, step):
        return (terms.rate - terms.log_px).mean(), {"weight": 2.0}
"""
    rows = trained(IMPORTS + code, "objective=mine")
    steps = [row for row in rows if row["kind"] == "step"]
    assert all(row["weight"] == 2.0 and "beta" not in row for row in steps)
    assert all(row["loss"] == pytest.approx(row["kl"] + row["reconstruction"], rel=1e-5) for row in steps)


PRIOR = """
@register("prior", "mine")
class Mine(Prior):
    '''Of a test.'''

    def __init__(self, {arguments}):
        super().__init__()
        self.zeros = nn.Buffer(torch.zeros(8))

    def forward(self, posterior):
        {forward}
"""
OBJECTIVE = """
@register("objective", "mine")
class Mine(Objective):
    '''Of a test.'''

    def __call__(self, terms, step):
        return {result}

    def bound(self, terms):
        return {bound}
"""
LOSS, BOUND = "-terms.log_px.mean(), {}", "terms.log_px.mean(0)"


@pytest.mark.parametrize(
    ("arguments", "forward", "said"),
    [
        (
            "latent_dim",
            "return Laplace(self.zeros, 1)",
            r"prior's distribution scores events of shape \[\], and each is \[8\]",
        ),
        (
            "latent_dim",
            "return Independent(Normal(self.zeros[:3], 1), 1)",
            r"shape \[3\], and each is \[8\], the latent",
        ),
        ("latent_dim", "return self.zeros", r"the prior returns a Tensor; return a torch\.distributions\.Distribution"),
        ("dim", "pass", "model.prior: prior 'mine' takes 'dim' before the star, where the program gives .*latent_dim"),
        ("latent_dim, *, df: float", "pass", "model.prior.df is missing"),
        ("latent_dim", "return self.nothing", r"the plugin .*mine\.py, line 17: AttributeError: .*nothing.*; mend it"),
    ],
)
def test_a_prior_that_breaks_its_contract_is_named(trained, arguments, forward, said):
    with pytest.raises(UsageError, match=said):
        trained(IMPORTS + PRIOR.format(arguments=arguments, forward=forward), "model.prior=mine", "objective.beta=1")


@pytest.mark.parametrize(
    ("result", "bound", "said"),
    [
        ("-terms.log_px.mean()", BOUND, r"the objective returns a tensor \[\]; return loss, scalars"),
        ("-terms.log_px, {}", BOUND, r"the objective's loss is a tensor \[1, 2\]; give one number"),
        ("-terms.log_px.mean(), {'kl': terms.kl}", BOUND, r"the objective's kl is a tensor \[2, 8\]; give one number"),
        (LOSS, "terms.log_px", r"the objective's bound is a tensor \[1, 2\]; give one number per image"),
        (LOSS, "0.0", r"the objective's bound is a float; give one number per image"),
        ("terms.log_p, {}", BOUND, r"the plugin .*mine\.py, line 13: AttributeError: .*log_p.*; mend it there"),
    ],
)
def test_an_objective_that_breaks_its_contract_is_named(trained, result, bound, said):
    with pytest.raises(UsageError, match=said):
        trained(IMPORTS + OBJECTIVE.format(result=result, bound=bound), "objective=mine")


def test_an_option_without_a_type_takes_any_value(trained):
    code = PRIOR.format(arguments="latent_dim, *, width=1", forward="return Independent(Normal(self.zeros, 1), 1)")
    assert trained(IMPORTS + code, "model.prior={kind: mine, width: 2}", "objective.beta=1")
