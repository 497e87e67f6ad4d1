"""Commands that use a trained model: samples, reconstructions, figures."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vaelab.cli.command import DataDir, Device, Run, command
from vaelab.cli.output import show
from vaelab.errors import UsageError

GRID = 10_000  # images in one picture


@command
def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 64,
    images: Annotated[Path | None, typer.Option(help="A folder for single files, in place of one grid.")] = None,
    out: Annotated[Path | None, typer.Option(help="The grid's file [default: RUN/samples.png].")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other images.", min=0)] = 0,
    sampler: Annotated[str, typer.Option(help="prior, gmm, flow, … (vaelab list sampler).")] = "prior",
    options: Annotated[list[str] | None, typer.Option("--set", help="Of the sampler, like components=20.")] = None,
    pixels: Annotated[
        Literal["mean", "sample"], typer.Option(help="Of p(x | z): its mean, or a draw from it.")
    ] = "mean",
    label: Annotated[int | None, typer.Option(help="Of a conditional model: one class [default: all in turn].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Draw new images: from the prior, or by a sampler fitted to the latents of training images."""
    from vaelab.figures.generated_samples import generated_samples
    from vaelab.figures.style import save
    from vaelab.figures.tiles import shown
    from vaelab.recipe.restore import recipe_of
    from vaelab.recipe.text import with_overrides
    from vaelab.runs.folder import folder_of
    from vaelab.workbench import sample, sample_files

    if n > GRID and not images:
        raise UsageError(f"{n:,} images are too many for one grid; add --images FOLDER, or draw {GRID:,} at most")
    spec = with_overrides({"kind": sampler}, options or [])
    how = {"sampler": spec, "pixels": pixels, "seed": seed, "label": label, "data_dir": data_dir, "device": device}
    if images:
        sample_files(run, images, n, **how)
        show(f"{n} images in {images}")
    else:
        drawn = shown(sample(run, n, **how), recipe_of(run).colours)
        show(save(generated_samples(drawn), out or folder_of(run) / "samples.png"))


@command
def reconstruct(
    run: Run,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="Image files [default: test images].")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Crop and resize images of another size.")] = False,
    images: Annotated[
        Path | None, typer.Option(help="A folder for single files, below real/ and recon/, in place of one picture.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture's file [default: RUN/reconstructions.png].")] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="How many test images [default: 20; all with --images].", min=1)
    ] = None,
    label: Annotated[int | None, typer.Option(help="Of a conditional model: the class of the image files.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Encode images and decode them again."""
    from vaelab.data.images import to_floats
    from vaelab.data.source import Split
    from vaelab.evaluation.images import read_images, reconstructed, reconstructions, writer
    from vaelab.figures.reconstructions import reconstructions as pairs
    from vaelab.figures.style import save
    from vaelab.figures.tiles import shown
    from vaelab.recipe.restore import labels_of, open_run, restore
    from vaelab.runs.folder import folder_of

    if files:
        model, recipe, shape = restore(run, device)
        labels = labels_of(model, label, len(files))
        originals = Split(read_images(files, shape, fit, model.scale, recipe.binary), labels)
    elif label is not None:
        raise UsageError("--label is the class of image files; test images have their own, so leave it out")
    else:
        model, recipe, data = open_run(run, data_dir, device)
        originals = data.test[: n or (None if images else 20)]
    if images:
        real, recon = (writer(images / name, model.scale) for name in ("real", "recon"))
        for x, back in reconstructed(model, originals):
            real(x)
            recon(back)
        show(f"{len(originals)} images in {images}/real and {images}/recon")
    else:
        both = to_floats(originals.images[:]), reconstructions(model, originals)
        show(save(pairs(*(shown(x, recipe.colours) for x in both)), out or folder_of(run) / "reconstructions.png"))


@command
def figures(
    run: Run,
    only: Annotated[list[str] | None, typer.Argument(metavar="FIGURE", help="Names [default: all it allows].")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Draw the figures that a run allows into RUN/figures."""
    from vaelab.cli.tables import say
    from vaelab.io.formatting import counted
    from vaelab.report import refresh
    from vaelab.runs.folder import folder_of
    from vaelab.workbench import plot

    drawn = plot(run, *only or [], data_dir=data_dir, device=device)
    say(f"{counted(len(drawn), 'figure')} in {drawn[0].parent}: {', '.join(path.name for path in drawn)}")
    refresh(folder_of(run))
