"""Random numbers of a seed, which leave the caller's where they were."""

import pytest
import torch

from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError


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


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_a_seed_that_torch_cannot_take_is_refused(seed):
    with pytest.raises(UsageError, match="beyond what fits into 64 bits"), seeded(seed):
        pass
