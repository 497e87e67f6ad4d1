"""Plugins: what a run remembers of them, and which of them run without being named."""

import hashlib
import json

import pytest

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab import registry
from vaelab.errors import UsageError
from vaelab.registry import names, plugins
from vaelab.registry.plugins import copy_plugins, load_plugin, plugin_records, with_plugins
from vaelab.registry.schema import build, defaults
from vaelab.roles import Prior

SOURCE = """
from vaelab.registry import register

@register("extractor", "mine")
def mine(*, version: int = {}):
    '''Of a test.'''
"""


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Forget what was registered, as another process does."""
    shipped = {role: registry._TABLE[role].copy() for role in ("extractor", "prior")}

    def forget() -> None:
        for role, parts in shipped.items():
            monkeypatch.setitem(registry._TABLE, role, parts.copy())
        monkeypatch.setattr(plugins, "_PRESENT", {})

    forget()
    return forget


@pytest.fixture
def file(tmp_path):
    """A plugin of version 1."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.format(1))
    return path


@pytest.fixture
def noted(file, tmp_path, new_process):
    """What a run has noted that was trained with it, in an earlier process."""
    load_plugin(file)
    copy_plugins(tmp_path)
    records = json.loads(json.dumps(plugin_records()))
    new_process()
    return records


def version() -> int:
    return defaults(registry.part("extractor", "mine"))["version"]


def needs_mine() -> None:
    if "mine" not in names("extractor"):
        raise UsageError("no extractor 'mine'")


def test_a_plugin_that_the_user_has_named_before_runs_by_itself(noted, file, tmp_path):
    assert noted == [{"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}]
    with with_plugins(noted, tmp_path):
        assert version() == 1


def test_a_plugin_that_has_gone_runs_from_what_was_kept_of_it(noted, file, tmp_path):
    file.unlink()
    with with_plugins(noted, tmp_path):
        assert version() == 1


def test_a_plugin_that_has_changed_since_then_runs_as_it_was_and_that_is_said(noted, file, tmp_path):
    file.write_text(SOURCE.format(2))
    with (
        pytest.warns(UserWarning, match=r"mine\.py has changed since this run was trained"),
        with_plugins(noted, tmp_path),
    ):
        assert version() == 1


def test_a_changed_plugin_runs_once_it_is_named(noted, file, tmp_path):
    file.write_text(SOURCE.format(2))
    load_plugin(file)
    with pytest.warns(UserWarning, match=r"trained with another mine\.py"), with_plugins(noted, tmp_path):
        assert version() == 2


def test_runs_of_two_versions_are_opened_in_turn(noted, file, tmp_path, new_process):
    file.write_text(SOURCE.format(2))
    load_plugin(file)
    newer = plugin_records()
    new_process()
    file.unlink()
    for _ in range(2):
        with with_plugins(noted, tmp_path):
            assert version() == 1
        with with_plugins(newer, tmp_path):
            assert version() == 2


def test_a_program_in_a_run_folder_from_elsewhere_never_runs_unnamed(tmp_path):
    ran = tmp_path / "ran"
    evil = f"open({str(ran)!r}, 'w')"
    copy = tmp_path / plugins.FOLDER / "mine.py"
    copy.parent.mkdir()
    copy.write_text(evil)
    sha256 = hashlib.sha256(copy.read_bytes()).hexdigest()
    for path in (str(copy), "mine.py", "plugins/mine.py", f"../{tmp_path.name}/plugins/mine.py"):
        needed = pytest.raises(
            UsageError, match=rf"needs its plugin mine\.py \(sha256 {sha256[:12]}…\), .*; without it, .*; read "
        )
        with needed, with_plugins([{"path": path, "sha256": sha256}], tmp_path):
            needs_mine()
    assert not ran.exists()


def test_what_was_kept_runs_only_unaltered(noted, tmp_path, cache):
    (kept,) = cache.rglob("mine.py")
    kept.write_text("raise RuntimeError('altered')")
    with pytest.raises(UsageError, match=r"needs its plugin mine\.py"), with_plugins(noted, tmp_path):
        needs_mine()


def test_a_run_whose_parts_are_known_otherwise_needs_no_file(noted, tmp_path, cache):
    (kept,) = cache.rglob("mine.py")
    kept.unlink()
    registry.register("extractor", "mine")(lambda: None)
    with with_plugins(noted, tmp_path):
        needs_mine()


@pytest.mark.parametrize(
    "odd",
    [None, 3, "x", {}, [3], [{}], [{"path": 1, "sha256": "a" * 64}], [{"path": "a", "sha256": "../x"}]]
    + [[{"path": path, "sha256": "a" * 64}] for path in ("", ".", "..", "/", "a\0b", "\ud800")],
    ids=repr,
)
def test_odd_notes_are_none(odd, tmp_path):
    with with_plugins(odd, tmp_path):
        pass


def test_a_cache_that_cannot_be_written_stops_nobody(file, tmp_path, cache):
    cache.write_text("a file")
    load_plugin(file)
    assert plugin_records()[0]["path"] == str(file)


OLDER = '''
import torch
from torch import nn
from torch.distributions import Independent, StudentT

from vaelab.registry import Positive, register


@register("prior", "older")
class OlderPrior(nn.Module):
    """A prior as one was written before roles were classes."""

    def __init__(self, latent_dim: int, *, df: Positive = 5.0) -> None:
        super().__init__()
        self.df = nn.Buffer(torch.full((latent_dim,), df))

    def forward(self, posterior):
        return Independent(StudentT(self.df, validate_args=False), 1)
'''


def test_the_plugin_of_an_older_run_runs_as_it_was_kept_and_one_that_is_being_written_follows_the_roles(tmp_path):
    kept = tmp_path / "run" / "plugins" / "older.py"
    kept.parent.mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").touch()
    for path in (kept, tmp_path / "older.py"):
        path.write_text(OLDER)
    with pytest.raises(UsageError, match="OlderPrior does not derive from its role"):
        load_plugin(tmp_path / "older.py")
    load_plugin(kept)
    prior = build("prior", {"kind": "older", "df": 3.0}, "prior", latent_dim=2)
    assert isinstance(prior, Prior) and prior.pseudo_inputs is None
    assert prior(None).sample((4,)).shape == (4, 2)
