"""Refusals of what the memory of the machine, or of its container, cannot hold."""

import sys

import pytest
import torch

from vaelab.errors import UsageError
from vaelab.io import memory
from vaelab.io.memory import available_memory, refuse_too_large, weights_within_memory


def test_what_fits_is_let_pass_and_what_does_not_is_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2.0**30)
    refuse_too_large(memory.SHARE * 2**30, "a small one", "shrink it")
    with pytest.raises(UsageError, match=r"^all would take 3\.0 GiB of memory, 1\.0 are free; shrink it$"):
        refuse_too_large(3 * 2**30, "all", "shrink it")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_limit_of_a_container_counts_where_it_is_lower_than_the_machines(tmp_path, monkeypatch):
    machine = available_memory()
    assert 2**28 < machine < 2**60
    (tmp_path / "max").write_text("123\n")
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    assert available_memory() == 123
    (tmp_path / "max").write_text("max\n")
    assert available_memory() > 2**28


def test_modules_that_do_not_fit_are_refused_before_their_memory_is_filled(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    limited = weights_within_memory(5, "take fewer")
    with (
        pytest.raises(
            UsageError, match=r"5 times over, would take .* GiB of memory or more, 1\.0 are free; take fewer"
        ),
        limited,
    ):
        monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda *_, **__: pytest.fail("filled"))
        torch.nn.Linear(2**15, 2**15)  # 4 GiB
    torch.nn.Parameter(torch.zeros(1))
    assert not torch.nn.modules.module._global_parameter_registration_hooks
    assert not torch.nn.modules.module._global_buffer_registration_hooks


def test_many_small_modules_count_together(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**20)
    with weights_within_memory(1, "take fewer"):
        torch.nn.Linear(300, 300)
    with pytest.raises(UsageError, match="take fewer"), weights_within_memory(1, "take fewer"):
        for _ in range(3):
            torch.nn.BatchNorm1d(2**16)  # of which half is in buffers
