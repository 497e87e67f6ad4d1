"""How many latent dimensions carry information."""

import torch

from vaelab.data.source import Split
from vaelab.distributions import kl_per_dimension
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import Measurement
from vaelab.model import VAE
from vaelab.registry import Positive, register


@register("metric", "active_units")
@torch.no_grad()
def active_units(
    model: VAE, split: Split, *, variance: Positive = 0.01, nats: Positive = 0.05, ratio: Positive = 0.05
) -> Measurement:
    """Three counts over the latent dimensions, of the posterior means u and variances σ² of the images.

    - `active_units`: Var_x(u) > `variance` (Burda et al. 2016), which depends on the latent's scale;
    - `active_units_kl`: mean KL per dimension > `nats`; NaN where the KL has no closed form;
    - `active_units_ratio`: Var_x(u) / (Var_x(u) + E σ²) > `ratio`, the share of the latent's variance that x explains.
    """
    means, variances, kls = [], [], []
    for x in batches(model, split.images):
        q = model.q_z(x)
        means.append(q.mean.cpu().double())
        variances.append(q.variance.cpu().double())
        kls.append(kl_per_dimension(q, model.p_z()))
    spread = torch.cat(means).var(0)
    explained = spread / (spread + torch.cat(variances).mean(0))
    by_kl = float("nan") if kls[0] is None else (torch.cat(kls).mean(0) > nats).sum().item()
    values = {
        "active_units": (spread > variance).sum().item(),
        "active_units_kl": by_kl,
        "active_units_ratio": (explained > ratio).sum().item(),
        "latent_dim": len(spread),
    }
    return Measurement(values)
