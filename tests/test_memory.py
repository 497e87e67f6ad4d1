"""Freed blocks are used again without new pages."""

import sys

import pytest
import torch

from vaelab.memory import keep_freed_memory


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
