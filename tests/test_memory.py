"""How much memory there is, what is refused as too large for it; freed blocks are used again without new pages."""

import sys

import pytest
import torch

from vaelab import memory
from vaelab.errors import UsageError
from vaelab.memory import available_memory, keep_freed_memory, refuse_too_large


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_blocks_of_megabytes_are_not_faulted_in_again_and_again():
    import resource

    keep_freed_memory()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(2**22).add(1.0)  # two blocks of 16 MiB, 8192 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    found = [faults() for _ in range(30)]  # the heap needs a few rounds to grow
    assert sorted(found[10:])[10] < 1000


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
