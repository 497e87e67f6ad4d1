"""Whether a likelihood is a probability of what the values of images can be."""

from vaelab.data.dataset import Dataset
from vaelab.errors import UsageError
from vaelab.registry import name_of
from vaelab.roles import Likelihood

GREY = 256  # levels at most of images whose values pass for the probabilities of a cross-entropy


def refuse_other_values(likelihood: Likelihood, data: Dataset) -> None:
    """UsageError where p(x | z) is no probability of these images; says which likelihood is one.

    A probability of binary images is taken of 8-bit ones, too: a cross-entropy, which an evaluation says then.
    """
    scale, name = data.scale, name_of("likelihood", type(likelihood)) or type(likelihood).__name__
    path = "model.likelihood.base" if likelihood.autoregressive else "model.likelihood"
    unbounded = f"set {path}=normal {path}.bounded=false, or laplace likewise"
    if likelihood.bounded and not scale.bounded:
        problem = f"{name} is a likelihood of values in [0, 1], and those of these images may lie outside {scale}"
        raise UsageError(problem, f"{unbounded}, or clip the values with data.scale")
    if likelihood.scores != "mass" or data.binary:
        return
    if scale.levels is None:
        densities = f"set {path}=normal, {path}=laplace or {path}=continuous_bernoulli"
        problem = f"{name} is a probability of levels, and these images have real values"
        raise UsageError(problem, densities if scale.bounded else unbounded)
    if likelihood.grey_levels == 2 and scale.levels > GREY:
        problem = f"{name} is a probability of black and white, and these images have {scale.levels:,} levels"
        raise UsageError(problem, f"set {path}=logistic, which counts levels, or {path}=normal, a density")
    if likelihood.grey_levels not in (2, scale.levels):
        problem = f"{name} counts {likelihood.grey_levels:,} levels, and these images have {scale.levels:,}"
        raise UsageError(problem, f"make it with grey_levels={scale.levels}")
