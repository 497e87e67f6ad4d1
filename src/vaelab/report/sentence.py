"""What was trained, in one sentence."""

from collections.abc import Mapping
from typing import Any

from vaelab.io.formatting import counted
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import finite
from vaelab.runs.recipe import NO_LIKELIHOODS, kind_of

PRIORS = {
    "normal": "a standard normal prior",
    "vamp": "a VampPrior",
    "mixture": "a mixture prior",
    "flow": "a flow prior",
    "two_level": "a hierarchical prior",
}
POSTERIORS = {"two_level": "a posterior of two levels"}
LIKELIHOODS = {"pixel": "an autoregressive likelihood of pixels"}
BACKBONES = {
    "mlp": "fully connected networks",
    "gated_mlp": "gated fully connected networks",
    "conv": "convolutional networks",
    "gated_conv": "gated convolutional networks",
    "vampalign_conv": "convolutional networks",
    "vampalign_resnet": "residual networks",
    "resnet_attention": "residual networks with attention",
    "hierarchical_mlp": "gated fully connected networks of two levels",
    "hierarchical_conv": "gated convolutional networks of two levels",
    "progressive": "growing convolutional networks",
    "progressive_residual": "growing convolutional networks, a level of latents for each stage",
}
OBJECTIVES = {"elbo": "the ELBO", "iwae": "the importance-weighted bound"}


def sentence(run: RunFolder) -> str:
    """`A VAE with 20 latent dimensions, …, was trained on mnist for 50 epochs to maximise the ELBO.`"""
    if not run.recipe.sections:
        length = f"; it was trained {_length(run)}" if _is_told(run) else ", nor for how long"
        return f"What was trained is not known, because its recipe cannot be read{length}."
    model = run.recipe.sections.get("model", {})
    what = f"A {'conditional ' if model.get('condition') else ''}variational autoencoder{_latents(run)}"
    kept = f"; epoch {run.log.best['epoch']:g} is the best and was kept" if run.log.best else ""
    return f"{what}, {_parts(run)}, {_trained(run)} {_aim(run)}{kept}."


def _is_told(run: RunFolder) -> bool:
    """Whether its log or its state tells how far it came."""
    return bool(run.log.rows) or run.state.word not in ("done", "unknown")


def _trained(run: RunFolder) -> str:
    on = f"on {run.recipe.data or 'unknown images'}"
    if _is_told(run):
        return f"{'is being' if run.state.word == 'running' else 'was'} trained {on} {_length(run)}{_growth(run)}"
    if run.state.word == "done" or run.has_model:
        return f"was trained {on}, for how long is not known,"
    length = f" for {counted(run.epochs, 'epoch')}" if run.epochs else ""
    return f"was to be trained {on}{length}"


def _aim(run: RunFolder) -> str:
    if run.recipe.part("likelihood")[0] in NO_LIKELIHOODS:
        return "to minimise that loss and the KL"
    kind = kind_of(run.recipe.sections.get("objective", ""))
    return f"to maximise {OBJECTIVES.get(kind, f'the objective {kind}')}"


def _length(run: RunFolder) -> str:
    if run.epochs and run.log.epoch == run.epochs:
        return f"for {counted(run.log.epoch, 'epoch')}"
    of = f" of {run.epochs:,}" if run.epochs else ""
    return (
        f"for {run.log.epoch:,}{of} epochs"
        if run.log.epoch
        else f"for less than one{of or ' epoch'}{' epochs' if of else ''}"
    )


def _latents(run: RunFolder) -> str:
    """` with 12 latent dimensions in 2 levels (4 and 8, the top first)`."""
    if levels := run.recipe.levels:
        sizes = f"{', '.join(map(str, levels[:-1]))} and {levels[-1]}" if len(levels) > 1 else f"{levels[0]}"
        of = f" in {counted(len(levels), 'level')} ({sizes}, the top first)" if len(levels) > 1 else ""
        return f" with {counted(sum(levels), 'latent dimension')}{of}"
    size = run.recipe.sections.get("model", {}).get("latent_dim")
    return f" with {counted(size, 'latent dimension')}" if isinstance(size, int) else ""


def _growth(run: RunFolder) -> str:
    """`, grown from 4 to 32 pixels in 4 stages`, as far as it came."""
    sizes = sorted({size for row in run.log.rows if (size := finite(row, "resolution")) is not None})
    if not sizes:
        return ""
    reached = f"{sizes[0]:g} to {sizes[-1]:g}" if len(sizes) > 1 else f"{sizes[0]:g}"
    if run.has_model:  # which is kept in the last stage alone
        return f", grown from {reached} pixels in {counted(len(sizes), 'stage')}," if len(sizes) > 1 else ""
    return f", in its stage of {sizes[-1]:g} pixels, not yet the last,"


def _parts(run: RunFolder) -> str:
    backbone, options = run.recipe.part("backbone")
    posterior, flow = run.recipe.part("posterior")
    prior, mixture = run.recipe.part("prior")
    kind = run.recipe.part("likelihood")[0]
    what = "loss in place of a likelihood" if kind in NO_LIKELIHOODS else "likelihood"
    likelihood = LIKELIHOODS.get(kind, f"{_a(kind)} {what}")
    sizes = f" ({_size(options)})" if _size(options) else ""
    texts = [BACKBONES.get(backbone, f"{_a(backbone)} backbone") + sizes]
    known = POSTERIORS.get(posterior, f"{_a(posterior)} posterior")
    texts.append(f"{_a(_flow(flow))} flow posterior" if posterior == "flow" else known)
    texts.append(_prior(prior, mixture))
    return f"built of {', '.join(texts)} and {likelihood}"


def _prior(kind: str, options: Mapping[str, Any]) -> str:
    """`a VampPrior of 500 pseudo-inputs`; of several levels also what the top one is."""
    text, top = PRIORS.get(kind, f"{_a(kind)} prior") + _components(kind, options), options.get("top", "normal")
    if kind not in ("two_level", "ladder") or kind_of(top) == "normal":
        return text
    return f"{text} with {_prior(kind_of(top), top if isinstance(top, Mapping) else {})} at the top"


def _size(options: Mapping[str, Any]) -> str:
    if isinstance(options.get("channels"), list):
        return f"{'–'.join(map(str, options['channels']))} channels"
    width = f"width {options['width']}" if "width" in options else ""
    depth = f"depth {options['depth']}" if "depth" in options else ""
    return ", ".join(text for text in (width, depth) if text)


def _flow(options: Mapping[str, Any]) -> str:
    return kind_of(options.get("flow", "coupling"))


def _components(prior: str, options: Mapping[str, Any]) -> str:
    what = "pseudo-inputs" if prior == "vamp" else "components"
    return f" of {options['components']:,} {what}" if isinstance(options.get("components"), int) else ""


def _a(word: str) -> str:
    word = word.replace("_", " ").replace("gaussian", "Gaussian").replace("bernoulli", "Bernoulli")
    word = word.replace("laplace", "Laplace") or "unknown"
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
