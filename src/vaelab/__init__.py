"""vaelab: a workbench for variational autoencoders on images.

import vaelab
run = vaelab.train("digits")        # a folder with weights, log and pictures
vae = vaelab.load(run)              # a torch module
vae.generate(64)                    # images in [0, 1]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelab.comparison import compare
    from vaelab.evaluation import evaluate, evaluate_images
    from vaelab.model import VAE
    from vaelab.recipe import Recipe
    from vaelab.run import draw, load, sample, train
    from vaelab.training.plugins import load_plugin

# Found when first used, so that importing vaelab costs nothing.
_HOMES = {
    "train": "run",
    "load": "run",
    "sample": "run",
    "draw": "run",
    "evaluate": "evaluation",
    "evaluate_images": "evaluation",
    "compare": "comparison",
    "load_plugin": "training.plugins",
    "Recipe": "recipe",
    "VAE": "model",
}
__all__ = ["VAE", "Recipe", "compare", "draw", "evaluate", "evaluate_images", "load", "load_plugin", "sample", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vaelab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vaelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
