"""A normalising flow as the density of latents."""

from torch import Tensor
from torch.distributions import Distribution

from vaelab.data.source import Split
from vaelab.distributions.seeds import seeded
from vaelab.model import VAE, device_of
from vaelab.registry import Depth, Positive, Seed, Size, register
from vaelab.samplers.fitting import draws, fit, location_and_scale, rescaled


@register("sampler", "flow")
def flow(
    model: VAE,
    split: Split,
    *,
    transforms: Depth = 4,
    width: Size = 128,
    bins: Size = 4,
    steps: Size = 600,
    batch_size: Size = 256,
    lr: Positive = 3e-3,
    seed: Seed = 0,
) -> Distribution:
    """log p(z) = log N(f(v); 0, I) + log |det ∂f/∂z| with v = (z − location) / scale, fitted by maximum likelihood.

    f is `transforms` couplings of rational-quadratic splines, whose inverse is as fast as they are (Durkan et al.
    2019); every step sees fresh posterior draws.
    """
    from zuko.flows import NICE
    from zuko.transforms import MonotonicRQSTransform

    with seeded(seed, device_of(model)):
        location, scale = location_and_scale(model, split)
        spline = {"univariate": MonotonicRQSTransform, "shapes": [(bins,), (bins,), (bins - 1,)]}
        couplings = NICE(len(location), transforms=transforms, hidden_features=(width, width), **spline).to(location)

        def loss(z: Tensor) -> Tensor:
            return -couplings().log_prob((z - location) / scale).mean()

        fit(couplings, loss, draws(model, split, batch_size, steps), steps, lr)
    return rescaled(couplings(), location, scale)
