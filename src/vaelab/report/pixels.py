"""How the likelihood of a run scores images, as far as its recipe and the header of its weights tell."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from vaelab.data.scale import EIGHT_BIT, Scale
from vaelab.io.files import parse_json
from vaelab.registry import names, part
from vaelab.registry.schema import Part, defaults
from vaelab.roles import Likelihood
from vaelab.runs.folder import RunFolder
from vaelab.runs.recipe import part_of


class Pixels(NamedTuple):
    """How a likelihood scores an image: `size` numbers of `levels` values each, as a probability or as a density.

    A density of fixed scale has a `least` −log p, in nats per number, whatever was learned.
    """

    size: int
    levels: int
    is_density: bool
    least: float | None = None

    @classmethod
    def of(cls, run: RunFolder) -> "Pixels | None":
        """Those of a run; None where its loss is no likelihood, or values are real, or the model file does not tell."""
        chosen = run.recipe.part("likelihood")
        chosen = _base(chosen, "bernoulli") if chosen.kind == "pixel" else chosen
        metadata = (run.header or {}).get("__metadata__")
        if not run.recipe.is_likelihood or chosen.kind not in names("likelihood") or not isinstance(metadata, Mapping):
            return None
        try:
            size = math.prod(parse_json(metadata["x_shape"]))
        except (ValueError, TypeError, LookupError):
            return None
        likelihood = part("likelihood", chosen.kind)
        assert isinstance(likelihood, type) and issubclass(likelihood, Likelihood)
        is_density = likelihood.scores == "density"
        levels = 2 if likelihood.grey_levels == 2 and not is_density else scale_of(run).levels
        least = _least(chosen.kind, defaults(likelihood) | dict(chosen.options))
        return cls(size, levels, is_density, least) if levels else None

    def bits(self, nats: float) -> float:
        """Per dimension, of nats per image; a density of [0, 1] counts times a step between two levels."""
        return nats / self.size / math.log(2) + (self.uniform if self.is_density else 0.0)

    @property
    def uniform(self) -> float:
        """Bits per dimension where all values are equally likely."""
        return math.log2(self.levels)


def scale_of(run: RunFolder) -> Scale:
    """The scale of its images, where the header of its weights tells it; else that of 8-bit ones."""
    try:
        return Scale(**parse_json((run.header or {})["__metadata__"]["scale"]))
    except (ValueError, TypeError, LookupError):
        return EIGHT_BIT


def learned_scale(run: RunFolder) -> float | None:
    """A learned σ or b of the likelihood, None where it is fixed or there is none."""
    chosen = run.recipe.part("likelihood")
    chosen = _base(chosen, "") if chosen.kind == "perceptual" else chosen
    fit, learnable = chosen.options.get("fit", "fixed"), chosen.options.get("learnable", True)
    learned = {"normal": fit != "fixed", "laplace": learnable}
    ends = ("log_sigma", "log_scale")
    found = [name for name in run.header or () if name.startswith("likelihood.") and name.endswith(ends)]
    if not learned.get(chosen.kind) or not found:
        return None
    try:
        with safe_open(run.model_file, "np") as file:
            return math.exp(float(file.get_tensor(found[0])))
    except (OSError, SafetensorError, ValueError, TypeError, OverflowError):
        return None


def _base(likelihood: Part, default: str) -> Part:
    """The likelihood that another one builds on."""
    return part_of(likelihood.options.get("base", default))


def _least(kind: str, options: Mapping[str, Any]) -> float | None:
    """−log density at the mode, in nats per number, of a likelihood of fixed scale."""
    if kind == "normal" and options["fit"] == "fixed":
        return math.log(options["sigma"] * math.sqrt(2 * math.pi))
    return math.log(2 * options["scale"]) if kind == "laplace" and not options["learnable"] else None
