"""The figures of a comparison: what the models draw, what they make of test images, and how sharp that is."""

from collections.abc import Sequence
from pathlib import Path

from vaelab.data.images import to_floats
from vaelab.errors import UsageError
from vaelab.evaluation.images import reconstructions
from vaelab.evaluation.measure import draw
from vaelab.figures.columns import columns
from vaelab.figures.distributions import boxes, violins
from vaelab.figures.style import save
from vaelab.figures.tiles import few_images, shown
from vaelab.metrics.sharpness import STATISTICS, sharpness_statistics
from vaelab.recipe.restore import open_run, restore
from vaelab.recipe.sections import Evaluate
from vaelab.runs.folder import RunFolder
from vaelab.samplers.drawing import images

SHOWN = 24  # images of each run


def draw_figures(
    runs: Sequence[RunFolder], folder: Path, *, n: int, seed: int, data_dir: str | Path | None, device: str
) -> list[Path]:
    """Samples, reconstructions, boxes and violins as PNGs, each beside real images of the test split.

    Sharpness is of `n` images each, drawn as `evaluate` draws them. UsageError where the runs' images differ.
    """
    for run in runs:
        if run.recipe.test_images != runs[0].recipe.test_images:
            raise UsageError(f"no figures: {runs[0].name} and {run.name} are of different images; compare them apart")
    data = open_run(runs[0].path, data_dir, device)[2]
    real = shown(to_floats(data.test.images[:SHOWN]), data.colours)
    real = real[: few_images(len(real), real.shape)]
    drawn, back, sharp = {"real": real}, {"original": real}, {"real": sharpness_statistics(data.test[:n].images)}
    for run in runs:
        model = restore(run.path, device)[0]
        drawn[run.name] = shown(images(model, model.p_z(), len(real), seed), data.colours)
        back[run.name] = shown(reconstructions(model, data.test[: len(real)]), data.colours)
        sharp[run.name] = sharpness_statistics(draw(Evaluate(metrics=(), n=n, seed=seed), model, data, n)[0])
    values = {title: {name: found[key] for name, found in sharp.items()} for key, title in STATISTICS.items()}
    made = {
        "samples": columns(drawn, title="Samples", note="Real test images, and mean images of latents from the prior."),
        "reconstructions": columns(back, title="Reconstructions", note="The same test images everywhere."),
        "boxes": boxes(values),
        "violins": violins(values),
    }
    return [save(figure, folder / f"{name}.png") for name, figure in made.items()]
