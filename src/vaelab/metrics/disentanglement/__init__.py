"""How well single latent dimensions stand for single factors of the images, where these are known."""

import numpy as np
import torch

from vaelab.data.source import Dataset, Split
from vaelab.distributions.seeds import seeded
from vaelab.errors import NotApplicable
from vaelab.metrics.disentanglement.beta_vae import beta_vae_score
from vaelab.metrics.disentanglement.dci import dci
from vaelab.metrics.disentanglement.factor_vae import factor_vae_score
from vaelab.metrics.disentanglement.factors import discretised, varying
from vaelab.metrics.disentanglement.mig import mig
from vaelab.metrics.disentanglement.modularity import modularity
from vaelab.metrics.disentanglement.sap import sap
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.metrics.probe import posterior_means
from vaelab.model import VAE, device_of
from vaelab.registry import Seed, Size, register

COLLAPSED = 0.05  # of the prior's variance, which is 1 in Kim & Mnih (2018)
ESTIMATORS = {
    "mig": "plug-in mutual information, codes in equally wide bins",
    "sap": "balanced accuracy of thresholds, adjusted for chance, held-out half",
    "dci": "random forest, decrease of Gini impurity; informativeness is accuracy on the held-out half",
    "modularity": "plug-in mutual information, codes in equally wide bins; codes that tell nothing left out",
    "factor_vae": "majority vote on batches of 64, held-out half, without collapsed dimensions",
    "beta_vae": "logistic regression on means of 64 pairs, held-out half",
}
ABOUT = About(
    "Disentanglement",
    {
        "mig": Value("MIG", better="higher"),
        "sap": Value("SAP", better="higher"),
        "dci_disentanglement": Value("DCI disentanglement", better="higher"),
        "dci_completeness": Value("DCI completeness", better="higher"),
        "dci_informativeness": Value("DCI informativeness", better="higher"),
        "modularity": Value("Modularity", better="higher"),
        "factor_vae": Value("FactorVAE score", better="higher"),
        "beta_vae": Value("β-VAE score", better="higher"),
    },
    quick=True,
    elsewhere={"dci": "disentanglement has it"},
)


@register("metric", "disentanglement", ABOUT)
@torch.no_grad()
def disentanglement(
    model: VAE,
    split: Split,
    data: Dataset,
    *,
    images: Size | None = 5000,
    bins: Size = 20,
    levels: Size = 10,
    trees: Size = 20,
    votes: Size = 5000,
    seed: Seed = 0,
) -> Measurement:
    """`mig`, `sap`, `dci_*`, `modularity`, `factor_vae` and `beta_vae` of the posterior means, all in [0, 1].

    Of `images` images of the split (None: all). Factors of more than 20 distinct values are cut into `levels` groups of
    equal size. MIG and modularity count codes in `bins` bins, DCI grows `trees` trees per factor, the last two scores
    are judged on `votes` votes. Formulas are with the functions of these names.
    """
    if split.factors is None:
        raise NotApplicable("disentanglement needs the factors of the images; take data shapes or give factors")
    chosen = split[torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]]
    v = discretised(chosen.factors, levels)  # pyright: ignore[reportArgumentType]
    told = varying(v)
    z, v = posterior_means(model, chosen).numpy(), v[:, told]
    with seeded(seed, device_of(model)):
        prior = model.p_z().sample(torch.Size((10_000,))).cpu().numpy()
    active = z.var(0) > COLLAPSED * prior.var(0)
    values = {
        "mig": mig(z, v, bins),
        "sap": sap(z, v, seed),
        **{f"dci_{name}": part for name, part in dci(z, v, trees, seed)._asdict().items()},
        "modularity": modularity(z, v, bins),
        "factor_vae": factor_vae_score(np.where(active, z, 0), v, votes, seed),
        "beta_vae": beta_vae_score(z, v, votes, seed),
    }
    names = np.array(data.factor_names or [f"factor {i + 1}" for i in range(len(told))])
    protocol = {
        "images": len(z),
        "values_per_factor": dict(zip(names[told].tolist(), (v.max(0) + 1).tolist(), strict=True)),
        "active_dimensions": int(active.sum()),
        "chance_factor_vae_beta_vae": 1 / v.shape[1],
        "estimators": ESTIMATORS,
    }
    return Measurement(values, protocol=protocol, notes=_notes(names[~told].tolist(), len(z), bins * int(v.max() + 1)))


def _notes(constant: list[str], images: int, cells: int) -> list[str]:
    """What the reader must know of the factors and of the counts."""
    notes = [f"factors that do not vary are left out: {', '.join(constant)}"] if constant else []
    if images < 5 * cells:
        notes.append(f"{images} images fill {cells} cells: mig and modularity count chance as information")
    return notes
