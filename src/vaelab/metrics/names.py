"""Which metric yields a number, and which metric is what other programs call otherwise."""

import difflib

from vaelab.metrics.sharpness import STATISTICS
from vaelab.registry import hint, names

YIELDS = {
    "likelihood": ("elbo", "log_px", "kl", "iwae", "iwae_gain", "ess", "bits_per_dim"),
    "elbo_surgery": ("rate", "mutual_information", "marginal_kl", "total_correlation", "dimension_kl"),
    "active_units": ("active_units_ratio", "active_units_kl", "latent_dim"),
    "aggregate": ("aggregate_mmd", "aggregate_p", "aggregate_ks", "aggregate_ks_mean"),
    "reconstruction": ("mse", "psnr", "ssim"),
    "frechet": ("frechet_unbiased",),
    "ais": ("ais_acceptance",),
    "sharpness": tuple(f"{name}{of}" for name in STATISTICS for of in ("", "_median", "_p90", "_real", "_ratio")),
    "precision_recall": ("precision", "recall", "density", "coverage"),
    "memorisation": ("memorised", "nearest_ratio", "copying_z", "train_share"),
    "probe": ("probe_linear", "probe_knn"),
    "disentanglement": (
        *("mig", "sap", "modularity", "factor_vae", "beta_vae"),
        *(f"dci_{score}" for score in ("disentanglement", "completeness", "informativeness")),
    ),
}
USUAL = {
    "fid": "frechet with --extractor inception is the FID",
    "kid": "kernel with --extractor inception is the KID",
    "is": "the Inception score is not measured; frechet and precision_recall judge samples",
    "nll": "likelihood and ais bound it: −iwae and −ais are upper bounds",
    "bpd": "likelihood has it as bits_per_dim",
    "prdc": "it is precision_recall",
    "mmd": "kernel has that of features, aggregate that of latents",
    "dci": "disentanglement has it",
}


def metric_of(name: str) -> str:
    """The metric of that name, or that yields the number of that name, as tables have it; else the name itself."""
    plain = name.removesuffix("_error")
    if plain in names("metric"):
        return plain
    plain = "kl" if plain.removeprefix("kl_").isdecimal() else plain  # of each level of latents
    return next((metric for metric, numbers in YIELDS.items() if plain in numbers), name)


def unknown(name: str) -> str:
    """What to say of a name that is neither a metric's nor a number's."""
    close = difflib.get_close_matches(name, [number for numbers in YIELDS.values() for number in numbers], n=1)
    near = USUAL.get(name.lower()) or hint(name, [*names("metric"), *close])
    return f"unknown metric {name!r}; {near} (a part of your own needs --plugin FILE)"
