"""The public functions of a run: train a recipe, fit a model of one's own, load it, sample from it, plot it."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from vaelab.data import as_dataset, is_registered
from vaelab.errors import ChangedRecipe, Problems, UsageError
from vaelab.evaluation import figures as gallery
from vaelab.evaluation.epochs import carry_out, session
from vaelab.evaluation.images import writer
from vaelab.evaluation.stages import kept_stages
from vaelab.io.places import also_in
from vaelab.model import VAE
from vaelab.recipe.begin import begin, begin_by_hand
from vaelab.recipe.identity import LENGTHS, RECORDS, fingerprint
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.restore import labels_of, open_run, restore
from vaelab.recipe.text import as_texts, merged
from vaelab.recipe.trackers import Spec
from vaelab.recipe.training import Training
from vaelab.registry.plugins import plugin_records, with_plugins
from vaelab.registry.schema import build, parse_part
from vaelab.runs.folder import RunFolder, folder_of, is_run
from vaelab.samplers.drawing import draw_batches, images, refuse_blind
from vaelab.tracking.tracker import make
from vaelab.training.checkpoint import find_checkpoint, refuse_other_images
from vaelab.training.options import TrainOptions
from vaelab.training.process_group import ProcessGroup


def train(
    recipe: str | Path | Recipe | None = None,
    *overrides: str | Mapping[str, Any],
    data: Any = None,
    run: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    began: Callable[[Path], object] = lambda folder: None,
    track: Iterable[Spec] = (),
) -> Path:
    """Train a recipe into a run folder, which is returned; overrides are "train.lr=1e-4" or {"train.lr": 1e-4}.

    With `resume`, carry on from the last checkpoint of the folder `run`, for which no recipe need be named, or of the
    newest run of the recipe, which may be a folder itself. `began` is told the folder once it is a run's. `track` names
    who follows it beside the recipe's own: "tensorboard", or {"kind": "swanlab", "mode": "local"}.

    `data`, in any form that `fit` takes, stands for the recipe's own images and for all that its data section says of
    them: a `Dataset` is taken as it is. The run keeps no more of it than a digest, so `resume`, `evaluate`, `plot` and
    fitted samplers take it again, unless it is a registered set; `load` and `sample` need none.
    """
    named = {"data": data} if is_registered(data) else {}
    at_hand = None if data is None or named else as_dataset(data)
    texts, group = as_texts([*overrides, named]), ProcessGroup.join(device)
    words = [repr(word) for word in ([str(recipe)] if recipe else []) + list(texts)] + ["data=…"] * bool(at_hand)
    called = f"vaelab.train({', '.join(words)})"
    with session(group) as stack:
        folder, wanted, before = group.on_main(lambda: begin(stack, recipe, texts, run, resume, at_hand))
        stack.enter_context(with_plugins(group.broadcast(plugin_records()), folder))  # that the main process has found
        checkpoint = group.main_first(lambda: find_checkpoint(folder))
        data_dir = data_dir or (before.data_dir if before else None)
        stack.enter_context(also_in(data_dir))  # where the weights of a perceptual network may lie
        wanted = wanted.tracked_by(track)
        make(wanted.track)  # says what is not installed
        found = at_hand or group.main_first(lambda: wanted.load_data(data_dir))
        training = Training.of(wanted, found, group)
        carry_out(training, folder, group, checkpoint, called, data_dir, before, quiet, began)
    return folder


def fit(
    model: VAE,
    objective: Any = "elbo",
    data: Any = None,
    options: TrainOptions | Mapping[str, Any] = MappingProxyType({}),
    *,
    run: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a VAE composed by hand into a run folder, which is returned; the model itself stays as it is.

    - `objective`: a registered name, "iwae" or {"kind": "elbo", "beta": 4}, or any callable that is one;
    - `data`: a `Dataset`; images [N, C, H, W] or [N, H, W], uint8 or in [0, 1], or a pair of these and their classes;
      {"train": …, "valid": …, "test": …} of such; or a registered set, "mnist" or {"kind": "mnist", "resize": 32};
    - `options`: `TrainOptions`, or some of them: {"epochs": 3, "lr": 1e-3}.

    Priors that begin with images do so. No recipe describes such a model: `load`, `evaluate` and `plot` take it as
    `model` again, and the data with it, unless that is a registered set. With `resume`, carry on from the last
    checkpoint of the folder `run`; what is not given of the options is as it was.
    """
    group = ProcessGroup.join(device)
    with session(group) as stack:
        folder, before = group.on_main(lambda: begin_by_hand(stack, run, resume))
        checkpoint = group.main_first(lambda: find_checkpoint(folder))
        stack.enter_context(also_in(data_dir))
        found = group.main_first(lambda: as_dataset(data, data_dir))
        given = asdict(options) if isinstance(options, TrainOptions) else options
        chosen = merged(before.section("train") if before else {}, dict(given))
        training = Training.by_hand(model, objective, found, data, chosen, group)
        if checkpoint:
            refuse_other_images(checkpoint.images, folder / "last.pt", found.digest)
        if before and training.fingerprint != fingerprint(before.sections):
            raise ChangedRecipe(folder, LENGTHS + RECORDS)
        carry_out(training, folder, group, checkpoint, "vaelab.fit(…)", data_dir, before, quiet)
    return folder


def load(run: str | Path, device: str = "cpu", *, model: VAE | None = None) -> VAE:
    """The trained model of a run; needs the folder's `model.safetensors` alone, and the plugins it was trained with.

    It is in eval mode and frozen: `load(run).train().requires_grad_()` learns on. Of a run composed by hand it is a
    copy of `model`, built again, with the run's weights.
    """
    return restore(run, device, model)[0]


def sample(
    run: str | Path,
    n: int = 64,
    *,
    sampler: Any = "prior",
    pixels: Literal["mean", "sample"] = "mean",
    seed: int = 0,
    label: int | None = None,
    values: Literal["scaled", "stored"] = "scaled",
    data_dir: str | Path | None = None,
    device: str = "auto",
    model: VAE | None = None,
    data: Any = None,
) -> Tensor:
    """New images [n, C, H, W] in [0, 1] of a trained run; of a conditional one of the class `label`, or of all in turn.

    Latents come from the prior, or from a `sampler` fitted to those of the training images: "gmm", or
    {"kind": "gmm", "components": 20}. `pixels` are the means of p(x | z), or a draw from it. `values` that are `stored`
    are those of the set's own files, uint8, uint16 or float32, from which its scale makes [0, 1]. `model` is that
    of a run composed by hand, `data` that of one on images at hand.
    """
    if values not in ("scaled", "stored"):
        raise UsageError(f"values are scaled or stored, not {values!r}")
    latent = _latents(run, n, pixels, sampler, label, data_dir, device, model, data)
    drawn = images(latent.model, latent.p, n, seed, pixels, latent.labels)
    return drawn if values == "scaled" else latent.model.scale.to_values(drawn)


def sample_files(
    run: str | Path,
    folder: Path,
    n: int = 64,
    *,
    pixels: Literal["mean", "sample"] = "mean",
    seed: int = 0,
    **how: Any,
) -> None:
    """The stored values that `sample` gives as files in a new folder, however many: 00000.png, 00001.png, …

    Grey and colour of 8 bits and grey of 16 are PNGs, all others TIFFs of a plane for each channel.
    """
    latent = _latents(run, n, pixels, **how)
    draw_batches(latent.model, latent.p, n, seed, writer(folder, latent.model.scale), pixels, latent.labels)


class _Latents(NamedTuple):
    """A model, the distribution that its latents are drawn from, and the class of each."""

    model: VAE
    p: Distribution
    labels: Tensor | None


def _latents(
    run: str | Path,
    n: int,
    pixels: str,
    sampler: Any = "prior",
    label: int | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    model: VAE | None = None,
    data: Any = None,
) -> _Latents:
    """What `sample` draws from; UsageError where things do not go together."""
    chosen = parse_part("sampler", sampler, "sampler", problems := [])
    if problems:
        raise Problems(problems, "the sampler has these problems")
    if pixels not in ("mean", "sample"):
        raise UsageError(f"pixels are mean or sample, not {pixels!r}")
    if n < 1:
        raise UsageError(f"{n} images are none; draw one or more")
    if chosen.kind == "prior":  # which needs no data
        restored, split = restore(run, device, model)[0], None
    else:
        restored, _, found = open_run(run, data_dir, device, model, data)
        split = found.as_seen()
    labels = labels_of(restored, label, n)
    p = build("sampler", chosen, "sampler", model=restored, split=split)
    refuse_blind(restored, p)
    return _Latents(restored, p, labels)


def plot(
    run: str | Path,
    *only: str,
    data_dir: str | Path | None = None,
    device: str = "auto",
    model: VAE | None = None,
    data: Any = None,
) -> list[Path]:
    """Draw the figures that a run allows, or those named, into its folder; returns their paths.

    Of a run that was stopped before it kept a model, those of its log; also of one composed by hand, unless its
    `model` is given again, and its `data` where these are no registered set.
    """
    if not is_run(folder_of(run)):
        restore(run)  # which says why it cannot
    folder = RunFolder.read(run)
    known = {"rows": folder.log.rows, "grown": kept_stages(folder.path), "bound": folder.recipe.bound}
    unknown = folder.recipe.by_hand and model is None
    if folder.log.rows and (unknown or not folder.has_model):
        why = "the model was composed by hand and is not given" if folder.has_model else "there is no model yet"
        warnings.warn(f"{why}, so only figures of the log are drawn", stacklevel=2)
        known |= {"model": None, "data": None, "split": None}
    else:
        restored, _, found = open_run(run, data_dir, device, model, data)
        known |= {"model": restored, "data": found, "split": found.test}
    return list(gallery.draw(folder.figures, only, **known, results=folder.results("test")))


def draw(run: str | Path, *only: str, **options: Any) -> list[Path]:
    """The name of `plot` in earlier versions."""
    warnings.warn("vaelab.draw is called vaelab.plot now; the old name goes in the next version", FutureWarning, 2)
    return plot(run, *only, **options)
