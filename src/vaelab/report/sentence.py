"""What was trained, in one sentence."""

from collections.abc import Mapping
from typing import Any

from vaelab.folder import Folder, kind_of
from vaelab.wording import counted

PRIORS = {
    "normal": "a standard normal prior",
    "vamp": "a VampPrior",
    "mixture": "a mixture prior",
    "flow": "a flow prior",
}
BACKBONES = {
    "mlp": "fully connected networks",
    "gated_mlp": "gated fully connected networks",
    "conv": "convolutional networks",
    "gated_conv": "gated convolutional networks",
    "vampalign_conv": "convolutional networks",
    "vampalign_resnet": "residual networks",
    "resnet_attention": "residual networks with attention",
}
OBJECTIVES = {"elbo": "the ELBO", "iwae": "the importance-weighted bound"}


def sentence(run: Folder) -> str:
    """`A VAE with 20 latent dimensions, …, was trained on mnist for 50 epochs to maximise the ELBO.`"""
    length = _length(run)
    if not run.options:
        return f"What was trained is not known, because its recipe cannot be read; it was trained {length}."
    model = run.options.get("model", {})
    dims = (
        f" with {counted(model['latent_dim'], 'latent dimension')}" if isinstance(model.get("latent_dim"), int) else ""
    )
    what = f"A {'conditional ' if model.get('condition') else ''}variational autoencoder{dims}"
    objective = OBJECTIVES.get(kind := kind_of(run.options.get("objective", "")), f"the objective {kind}")
    verb = "is being trained" if run.state.word == "running" else "was trained"
    kept = f"; epoch {run.best['epoch']:g} is the best and was kept" if run.best else ""
    return f"{what}, {_parts(run)}, {verb} on {run.data or 'unknown images'} {length} to maximise {objective}{kept}."


def _length(run: Folder) -> str:
    if run.epochs and run.epoch == run.epochs:
        return f"for {counted(run.epoch, 'epoch')}"
    of = f" of {run.epochs:,}" if run.epochs else ""
    return (
        f"for {run.epoch:,}{of} epochs" if run.epoch else f"for less than one{of or ' epoch'}{' epochs' if of else ''}"
    )


def _parts(run: Folder) -> str:
    backbone, options = run.part("backbone")
    posterior, flow = run.part("posterior")
    prior, mixture = run.part("prior")
    likelihood, _ = run.part("likelihood")
    sizes = f" ({_size(options)})" if _size(options) else ""
    texts = [BACKBONES.get(backbone, f"{_a(backbone)} backbone") + sizes]
    texts.append(f"{_a(_flow(flow))} flow posterior" if posterior == "flow" else f"{_a(posterior)} posterior")
    texts.append(PRIORS.get(prior, f"{_a(prior)} prior") + _components(prior, mixture))
    return f"built of {', '.join(texts)} and {_a(likelihood)} likelihood"


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
