"""vaelab: a workbench for variational autoencoders on images.

import vaelab
run = vaelab.train("digits")        # a folder with weights, log and pictures
vae = vaelab.load(run)              # a torch module
vae.generate(64)                    # images in [0, 1]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelab.data.dataset import Dataset
    from vaelab.evaluation.compare import compare
    from vaelab.evaluation.evaluate import evaluate, evaluate_images
    from vaelab.model import VAE
    from vaelab.recipe.recipe import Recipe
    from vaelab.registry.plugins import load_plugin
    from vaelab.roles import Decoder, Flow, Likelihood, Objective, Posterior, Prior
    from vaelab.workbench import fit, load, plot, sample, train

_ROLES = ("Decoder", "Flow", "Likelihood", "Objective", "Posterior", "Prior")
# Found when first used, so that importing vaelab costs nothing.
_HOMES = {
    "train": "workbench",
    "fit": "workbench",
    "load": "workbench",
    "sample": "workbench",
    "plot": "workbench",
    "draw": "workbench",  # the old name of plot
    "evaluate": "evaluation.evaluate",
    "evaluate_images": "evaluation.evaluate",
    "compare": "evaluation.compare",
    "load_plugin": "registry.plugins",
    "Recipe": "recipe.recipe",
    "VAE": "model",
    "Dataset": "data.dataset",
    **dict.fromkeys(_ROLES, "roles"),
}
__all__ = [
    "VAE",
    "Dataset",
    "Decoder",
    "Flow",
    "Likelihood",
    "Objective",
    "Posterior",
    "Prior",
    "Recipe",
    "compare",
    "evaluate",
    "evaluate_images",
    "fit",
    "load",
    "load_plugin",
    "plot",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vaelab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vaelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
