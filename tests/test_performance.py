"""Settings of a process: for a time, and then as before; for good only where a program asks for them."""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo.config as dynamo

import vaelab
from vaelab import performance
from vaelab.performance import GRAPHS, compiling_steps, flushing_denormals, tune_process


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "20000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_spin_as_the_user_has_set_or_briefly(monkeypatch, given, spins):
    monkeypatch.setattr(os, "environ", dict(given))
    tune_process()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


@pytest.mark.parametrize("wanted", [True, False])
def test_the_compiler_takes_whole_steps_within_and_is_as_before_after(wanted):
    def settings():
        return {key: getattr(dynamo, key) for key in GRAPHS if hasattr(dynamo, key)}

    before = settings()
    with pytest.raises(KeyError), compiling_steps(wanted):
        assert settings() == ({key: GRAPHS[key] for key in before} if wanted else before)
        raise KeyError
    assert settings() == before != GRAPHS


def test_only_the_command_line_settles_what_stays():
    package = Path(vaelab.__file__).parent
    callers = {p.relative_to(package).parts[0] for p in package.rglob("*.py") if "tune_process()" in p.read_text()}
    assert callers == {"cli", "performance.py"}


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_blocks_of_megabytes_are_not_faulted_in_again_and_again(monkeypatch):
    import resource

    monkeypatch.setattr(os, "environ", dict(os.environ))
    tune_process()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(2**22).add(1.0)  # two blocks of 16 MiB, 8192 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    found = [faults() for _ in range(30)]  # the heap needs a few rounds to grow
    assert sorted(found[10:])[10] < 1000


@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_flushed_within_in_all_threads(before):
    """Also in those that parallel loops had begun before, and in none of them after."""

    def flushed() -> set[bool]:
        """Of pieces of each thread; read as bits, since comparing flushes too."""
        torch.mul(small, 1.0, out=product)
        return {bool((piece == 0).all()) for piece in product.view(torch.int32).chunk(8)}

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    small = torch.full((2**20,), 2**19, dtype=torch.int32).view(torch.float32)
    product = torch.empty_like(small)
    try:
        performance._in_parallel(lambda: torch.set_flush_denormal(before))
        assert flushed() == {before}
        with pytest.raises(KeyError), flushing_denormals():
            assert flushed() == {True}
            raise KeyError
        assert flushed() == {before}
    finally:
        performance._in_parallel(lambda: torch.set_flush_denormal(False))
        torch.set_num_threads(threads)
