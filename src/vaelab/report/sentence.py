"""What was trained, in one sentence."""

from collections.abc import Mapping
from typing import Any

from vaelab.io.formatting import counted
from vaelab.registry import about, part
from vaelab.registry.schema import Part, defaults
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import finite
from vaelab.runs.recipe import part_of


def sentence(run: RunFolder) -> str:
    """`A VAE with 20 latent dimensions, …, was trained on mnist for 50 epochs to maximise the ELBO.`"""
    if not run.recipe.sections:
        length = f"; it was trained {_length(run)}" if _is_told(run) else ", nor for how long"
        return f"What was trained is not known, because its recipe cannot be read{length}."
    conditional = "conditional " if run.recipe.section("model").get("condition") else ""
    what = f"A {conditional}variational autoencoder{_latents(run)}"
    kept = f"; epoch {run.log.best['epoch']:g} is the best and was kept" if run.log.best else ""
    return f"{what}, {_parts(run)}, {_trained(run)} {_aim(run)}{kept}."


def _is_told(run: RunFolder) -> bool:
    """Whether its log or its state tells how far it came."""
    return bool(run.log.rows) or run.state.word not in ("done", "unknown")


def _trained(run: RunFolder) -> str:
    on = f"on {run.recipe.data or 'unknown images'}"
    if _is_told(run):
        told = _length(run) + _growth(run) + _processes(run)
        return f"{'is being' if run.state.word == 'running' else 'was'} trained {on} {told}"
    if run.state.word == "done" or run.has_model:
        return f"was trained {on}, for how long is not known,"
    return f"was to be trained {on}" + (f" for {counted(run.epochs, 'epoch')}" if run.epochs else "")


def _aim(run: RunFolder) -> str:
    if not run.recipe.is_likelihood:
        return "to minimise that loss and the KL"
    kind = run.recipe.objective
    return f"to maximise {about('objective', kind) or f'the objective {kind}'}"


def _length(run: RunFolder) -> str:
    done, asked = run.log.epoch, run.epochs
    if asked and done == asked:
        return f"for {counted(done, 'epoch')}"
    if done:
        return f"for {done:,}{f' of {asked:,}' if asked else ''} epochs"
    return f"for less than one{f' of {asked:,} epochs' if asked else ' epoch'}"


def _latents(run: RunFolder) -> str:
    """` with 12 latent dimensions in 2 levels (4 and 8, the top first)`."""
    size, levels = run.recipe.section("model").get("latent_dim"), run.recipe.levels
    count = sum(levels) if levels else size
    if not isinstance(count, int):
        return ""
    text = f" with {counted(count, 'latent dimension')}"
    if len(levels) < 2:
        return text
    sizes = f"{', '.join(map(str, levels[:-1]))} and {levels[-1]}"
    return f"{text} in {counted(len(levels), 'level')} ({sizes}, the top first)"


def _growth(run: RunFolder) -> str:
    """`, grown from 4 to 32 pixels in 4 stages`, as far as it came."""
    sizes = run.log.resolutions
    if sizes and not run.has_model:  # which is kept in the last stage alone
        return f", in its stage of {sizes[-1]:g} pixels, not yet the last,"
    stages = counted(len(sizes), "stage")
    return f", grown from {sizes[0]:g} to {sizes[-1]:g} pixels in {stages}," if len(sizes) > 1 else ""


def _processes(run: RunFolder) -> str:
    """`, from step 13 on by 3 processes,` where a run was resumed by another number of them."""
    found = [(row["step"], finite(row, "processes")) for row in run.log.rows if row["kind"] == "processes"]
    told = [f", from step {step:,} on by {n:g} process{'es' if n > 1 else ''}" for step, n in found if n]
    return "".join([*told, ","]) if told else ""


def _parts(run: RunFolder) -> str:
    backbone, likelihood = run.recipe.part("backbone"), run.recipe.part("likelihood")
    networks = said("backbone", backbone) + _size(backbone.options)
    posterior, prior = (said(role, run.recipe.part(role)) for role in ("posterior", "prior"))
    loss = f"{_a(likelihood.kind)} loss in place of a likelihood"
    scored = said("likelihood", likelihood) if run.recipe.is_likelihood else loss
    return f"built of {networks}, {posterior}, {prior} and {scored}"


def said(role: str, chosen: Part) -> str:
    """`a VampPrior of 500 pseudo-inputs`: the part in its own words; of several levels also what the top one is."""
    words = about(role, chosen.kind)
    if isinstance(words, str):
        values = defaults(part(role, chosen.kind)) | dict(chosen.options)
        text = words.format_map({k: f"{v:,}" if isinstance(v, int) else part_of(v).kind for k, v in values.items()})
    else:
        text = f"{_a(chosen.kind)} {role}"
    top = part_of(chosen.options.get("top", "normal") if role == "prior" else "normal")
    return text if top.kind == "normal" else f"{text} with {said(role, top)} at the top"


def _size(options: Mapping[str, Any]) -> str:
    """` (width 300, depth 2)`, as far as the recipe tells."""
    if isinstance(channels := options.get("channels"), list):
        return f" ({'–'.join(map(str, channels))} channels)"
    found = ", ".join(f"{key} {options[key]}" for key in ("width", "depth") if key in options)
    return f" ({found})" if found else ""


def _a(word: str) -> str:
    word = word.replace("_", " ").replace("gaussian", "Gaussian").replace("bernoulli", "Bernoulli")
    word = word.replace("laplace", "Laplace") or "unknown"
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
