"""What a call does to the process that it runs in, and what only a program does."""

import sys
from pathlib import Path

import pytest
import torch

import vaelab
from vaelab import performance
from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError
from vaelab.io import memory
from vaelab.io.memory import available_memory, refuse_too_large, weights_within_memory
from vaelab.performance import flushing_denormals, keep_freed_memory


def test_draws_within_come_from_the_seed_and_those_after_go_on():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn = torch.rand(4)
    torch.manual_seed(5)
    first = torch.rand(1)
    with seeded(3):
        assert torch.equal(torch.rand(4), drawn)
        with seeded(5):
            assert torch.equal(torch.rand(1), first)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_an_error_within_gives_the_random_numbers_back():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(1):
        torch.rand(int(1 / torch.zeros(()).item()))
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_command_line_settles_how_memory_is_kept():
    package = Path(vaelab.__file__).parent
    callers = {p.relative_to(package).parts[0] for p in package.rglob("*.py") if "keep_freed_memory()" in p.read_text()}
    assert callers == {"cli", "performance.py"}


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


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_a_seed_that_torch_cannot_take_is_refused(seed):
    with pytest.raises(UsageError, match="beyond what fits into 64 bits"), seeded(seed):
        pass


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
