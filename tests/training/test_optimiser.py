"""Both ways to update agree with torch.optim, which the paper's formulas wrote too."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from vaelab.training.optimiser import Adam

LR, STEPS = 2.0**-6, 12  # a rate that float32, in which the fused kernel takes it, holds exactly
TORCH = {True: torch.optim.AdamW, False: torch.optim.Adam}
WAYS = pytest.mark.parametrize("formulas", [False, True], ids=["fused", "formulas"])
KINDS = pytest.mark.parametrize("decoupled", [True, False], ids=["adamw", "adam"])
# A few roundings per step, each of half a unit in the last place of numbers of order 1.
PRECISION = {torch.float32: 4 * STEPS * 2.0**-24, torch.float64: 4 * STEPS * 2.0**-53}


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(size, dtype=dtype)) for size in [(5, 3), (3,), (2, 2, 2), ()]]


def gradients(like: list[nn.Parameter]) -> list[list[torch.Tensor]]:
    torch.manual_seed(2)
    scales = [10.0 ** ((3 * i) % 7 - 3) for i in range(STEPS)]
    return [[scale * torch.randn_like(p) for p in like] for scale in scales]


@pytest.fixture
def step(formulas, monkeypatch):
    """One update in the way that is tested; torch's own Adam computes otherwise, too, when it is being compiled."""

    def take(adam: Adam, gradients: Sequence[torch.Tensor | None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: formulas)
            adam.count(adam.step(gradients, adam.rates(LR, torch.float64)))

    return take


def updated(step, dtype: torch.dtype, spared: tuple[int, ...] = (), **options) -> list[nn.Parameter]:
    mine = parameters(dtype)
    adam = Adam(mine, spared=[mine[i] for i in spared], **options)
    for gradient in gradients(mine):
        step(adam, gradient)
    return mine


def reference(dtype: torch.dtype, decoupled: bool, spared: tuple[int, ...] = (), **options) -> list[nn.Parameter]:
    theirs = parameters(dtype)
    decay = options.pop("weight_decay", 0.0)
    groups = [{"params": p, "weight_decay": 0.0 if i in spared else decay} for i, p in enumerate(theirs)]
    optimizer = TORCH[decoupled](groups, lr=LR, foreach=False, **options)
    for step in gradients(theirs):
        for parameter, gradient in zip(theirs, step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    return theirs


@WAYS
@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.125}, {"betas": (0.5, 0.75), "eps": 2.0**-10, "weight_decay": 0.5}],
    ids=["plain", "decay", "all"],
)
def test_it_is_torchs(step, decoupled, dtype, options):
    mine = updated(step, dtype, decoupled=decoupled, **options)
    theirs = reference(dtype, decoupled, **options)
    start = parameters(dtype)
    for a, b, before in zip(mine, theirs, start, strict=True):
        assert (a - before).abs().max() > LR / 2
        torch.testing.assert_close(a, b, rtol=PRECISION[dtype], atol=PRECISION[dtype])


@WAYS
@KINDS
def test_what_is_marked_is_never_decayed(step, decoupled):
    mine = updated(step, torch.float64, (1, 3), decoupled=decoupled, weight_decay=0.5)
    spared = reference(torch.float64, decoupled, (1, 3), weight_decay=0.5)
    decayed = reference(torch.float64, decoupled, weight_decay=0.5)
    for i, (a, b, c) in enumerate(zip(mine, spared, decayed, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)
        assert torch.allclose(a, c, rtol=1e-6) == (i not in (1, 3))


@WAYS
def test_it_goes_on_from_its_state(step):
    whole = updated(step, torch.float32)
    mine = parameters(torch.float32)
    steps, first, second = gradients(mine), Adam(mine), Adam(mine)
    for t, gradient in enumerate(steps):
        if t == 5:
            second.load_state_dict(first.state_dict())
        step(first if t < 5 else second, gradient)
    assert all(torch.equal(a, b) for a, b in zip(mine, whole, strict=True))


@WAYS
@KINDS
def test_a_parameter_without_gradient_is_left_alone_and_starts_afresh_with_its_first(step, decoupled):
    """As a block does that a growing model reaches late: torch skips one whose gradient is None, and so do we."""
    late, born, ways = 2, 5, []
    for through in (False, True):
        mine = parameters(torch.float64)
        adam = Adam(mine, decoupled=decoupled, weight_decay=0.5)
        optimizer = TORCH[decoupled](mine, lr=LR, weight_decay=0.5, foreach=False)
        for t, gradient in enumerate(gradients(mine)):
            given = [None if i == late and t < born else g for i, g in enumerate(gradient)]
            if through:
                for parameter, g in zip(mine, given, strict=True):
                    parameter.grad = None if g is None else g.clone()
                optimizer.step()
            else:
                step(adam, given)
            if t == born - 1:
                assert torch.equal(mine[late], parameters(torch.float64)[late])
        ways.append(mine)
    for a, b in zip(*ways, strict=True):
        torch.testing.assert_close(a, b, rtol=PRECISION[torch.float64], atol=PRECISION[torch.float64])
