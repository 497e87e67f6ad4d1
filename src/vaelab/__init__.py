"""vaelab: a workbench for variational autoencoders on images.

import vaelab
run = vaelab.train("digits")        # a folder with weights, log and pictures
vae = vaelab.load(run)              # a torch module
vae.generate(64)                    # images in [0, 1]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelab.evaluation import evaluate
    from vaelab.model import VAE
    from vaelab.recipe import Recipe
    from vaelab.run import draw, load, train

# Found when first used, so that importing vaelab costs nothing.
_HOMES = {"train": "run", "load": "run", "evaluate": "evaluation", "draw": "run", "Recipe": "recipe", "VAE": "model"}
__all__ = ["VAE", "Recipe", "draw", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vaelab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vaelab' has no attribute {name!r}")
