"""A part derives from the class of its role, and a name that it means to override is that of the role."""

import pytest
from torch import nn

from vaelab import registry
from vaelab.errors import UsageError
from vaelab.registry import base_of, names, part, register, roles
from vaelab.registry.plugins import load_plugin
from vaelab.registry.schema import build
from vaelab.roles import Likelihood, Objective, Prior

OF_NORMAL = """
from torch import nn
from vaelab.distributions.normal import diagonal_normal
from vaelab.registry import register
from vaelab.roles import Prior

@register("prior", "mine")
class Mine({base}):
    '''Of a test.'''

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.zeros = nn.Buffer(__import__("torch").zeros(latent_dim))

    def forward(self, posterior):
        return diagonal_normal(self.zeros, self.zeros)

    def {hook}(self, split, seed):
        pass
"""


@pytest.fixture(autouse=True)
def shelves(monkeypatch):
    """Parts of a test are forgotten after it."""
    monkeypatch.setattr(registry, "_TABLE", {role: dict(parts) for role, parts in registry._TABLE.items()})
    monkeypatch.setattr(registry, "_BASES", dict(registry._BASES))


@pytest.mark.parametrize(
    ("base", "hook", "said"),
    [
        (
            "nn.Module",
            "initialise",
            "prior 'mine': Mine does not derive from its role; write `class Mine.Prior.`, with `from vaelab.roles",
        ),
        (
            "Prior",
            "intialise",
            "prior 'mine': no prior is asked for 'intialise'; did you mean 'initialise'. A helper of your own may be "
            "called _intialise",
        ),
        ("Prior", "initialize", "did you mean 'initialise'"),
        ("Prior", "pseudo_inputs", "prior 'mine': pseudo_inputs of a prior is no method: a value, or a property; make"),
    ],
)
def test_a_plugin_that_misses_its_role_is_told_how_to_mend_it(tmp_path, base, hook, said):
    path = tmp_path / "mine.py"
    path.write_text(OF_NORMAL.format(base=base, hook=hook))
    with pytest.raises(UsageError, match=said):
        load_plugin(path)
    assert "mine" not in names("prior")


@pytest.mark.parametrize("hook", ["initialise", "begin", "_intialise", "initial_values", "pseudo"])
def test_helpers_of_its_own_are_left_alone(tmp_path, hook):
    path = tmp_path / "mine.py"
    path.write_text(OF_NORMAL.format(base="Prior", hook=hook))
    load_plugin(path)
    assert isinstance(build("prior", "mine", latent_dim=2), Prior)


def test_values_are_known_as_methods_are():
    with pytest.raises(UsageError, match="no likelihood is asked for 'autoregresive'; did you mean 'autoregressive'"):

        @register("likelihood", "mine")
        class Mine(Likelihood):
            autoregresive = True

    with pytest.raises(UsageError, match="no objective is asked for 'sample'; did you mean 'samples'"):

        @register("objective", "mine")
        class Other(Objective):
            sample: int = 1


def test_a_helper_may_be_called_like_a_hook_that_the_part_overrides():
    @register("objective", "mine")
    class Mine(Objective):
        def bound(self, terms):
            return self.bounds(terms)

        def bounds(self, terms):
            return terms.log_px

    assert part("objective", "mine") is Mine


def test_a_function_is_judged_by_what_it_returns():
    @register("flow", "mine")
    def mine(latent_dim: int) -> nn.Module:
        return nn.Identity()

    with pytest.raises(UsageError, match=r"flow 'mine' gives Identity; return a Flow of vaelab\.roles"):
        build("flow", "mine", latent_dim=2)


def test_parts_that_came_before_their_role_are_judged_with_it():
    @register("lamp", "bright")
    class Bright:
        pass

    with pytest.raises(UsageError, match=r"Bright does not derive from its role; write `class Bright\(Lamp\)`"):

        @base_of("lamp")
        class Lamp:
            pass


def test_every_part_fits_its_role():
    for role, base in registry._BASES.items():
        assert role in roles()
        for name in names(role):
            assert not isinstance(part(role, name), type) or issubclass(part(role, name), base)
