"""Images per second of a convolutional VAE on JPEGs of 32 × 32 that are decoded live, beside the same in memory."""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from measure import Lap, Runner, interleaved, judged, load_average, serve_laps

BATCH, LATENT, CHANNELS, QUALITY, BAR = 128, 128, (32, 64, 128), 95, 0.9
WAYS = {"memory": "an array in memory", "once": "decoded once, mapped", "live": "decoded live"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="timed epochs of each way (default 7)")
    parser.add_argument("--images", type=int, default=20_000, help="images per epoch (default 20000)")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=["memory", "live"], help=f"of {', '.join(WAYS)}")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = write_jpegs(Path(folder) / "jpeg", options.images)
        print(
            f"whole epochs of {options.images:,} images ({source}) at batch {BATCH}, torch {torch.__version__}, "
            f"{options.threads} threads, {options.rounds} interleaved rounds; load average: {load_average()}"
        )
        runners = {way: Runner(serve, way, folder, options.rounds + 2, options.threads) for way in options.only}
        for runner in runners.values():
            runner.lap()  # the files are in the system's cache from now on
        laps = list(interleaved(runners, options.rounds))
        losses = {way: runner.lap()[1] for way, runner in runners.items()}
        for runner in runners.values():
            runner.stop()
    print(f"load average after: {load_average()}")
    report(laps, losses, options.images)


def report(laps: list[dict[str, Lap]], losses: dict[str, float], images: int) -> None:
    print(f"{'':24}{'img/s median':>13}{'best':>9}{'CPU µs/img':>12}{'loss':>10}")
    for way, loss in losses.items():
        wall = [lap[way].wall for lap in laps]
        cpu = statistics.median(lap[way].cpu for lap in laps) / images * 1e6
        print(
            f"{WAYS[way]:24}{images / statistics.median(wall):13,.0f}{images / min(wall):9,.0f}{cpu:12.1f}{loss:10.2f}"
        )
    for way in losses:
        if way != "memory" and "memory" in losses:
            mine, theirs = ([lap[name] for lap in laps] for name in (way, "memory"))
            print(judged(f"{WAYS[way]} : {WAYS['memory']}", BAR, theirs, mine))


def write_jpegs(folder: Path, count: int) -> str:
    """CIFAR-10 if it is on this machine, else smooth noise, 1,000 files to a folder, and which of them it is."""
    from PIL import Image

    x, source = pictures(count)
    for i, pixels in enumerate(x.permute(0, 2, 3, 1).numpy()):
        path = folder / f"{i // 1000:03d}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=QUALITY)
    return source


def pictures(count: int) -> tuple[Tensor, str]:
    import vaelab.data
    from vaelab.errors import UsageError

    try:
        return vaelab.data.load("cifar10", train_size=count).train.images, "CIFAR-10"
    except UsageError:
        noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        x = torch.nn.functional.interpolate(noise, size=32, mode="bicubic").mul(255).clamp(0, 255)
        return x.to(torch.uint8), "smooth noise; CIFAR-10 was not found"


def serve(pipe: Any, way: str, folder: str, epochs: int, threads: int) -> None:
    """One way, in its own process."""
    from vaelab.performance import tune_process

    tune_process()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    serve_laps(pipe, learned(way, Path(folder), epochs))


def learned(way: str, folder: Path, epochs: int) -> Iterator[float]:
    """The loss of each epoch; of the same images in the same order."""
    from vaelab.backbones.conv import conv
    from vaelab.data.folder import ImageFolder
    from vaelab.data.source import Dataset, Split
    from vaelab.likelihoods.normal import NormalLikelihood
    from vaelab.model import VAE
    from vaelab.objectives.elbo import ELBO
    from vaelab.posteriors.gaussian import GaussianPosterior
    from vaelab.priors.normal import NormalPrior
    from vaelab.runs.log import LogWriter
    from vaelab.training.interrupt import Interrupt
    from vaelab.training.loop import Loop
    from vaelab.training.options import TrainOptions
    from vaelab.training.process_group import ProcessGroup

    decode = "once" if way == "once" else "live"
    source = ImageFolder(path=str(folder / "jpeg"), folders="classes", valid_size=BATCH, test_size=BATCH, decode=decode)
    data: Dataset = source.load()
    if way == "memory":
        data = replace(data, train=Split(data.train.images[:].clone()))
    torch.manual_seed(0)
    encoder, decoder = conv(data.x_shape, LATENT, 3, channels=CHANNELS)
    posterior, likelihood = GaussianPosterior(encoder, data.x_shape, LATENT), NormalLikelihood(sigma=0.1)
    model = VAE(NormalPrior(LATENT), posterior, decoder, likelihood)
    steps = epochs * len(data.train) // BATCH
    options = TrainOptions(steps=steps, batch_size=BATCH, lr=1e-3, save_every=1_000_000)
    run, group = folder / way, ProcessGroup.join("cpu")
    run.mkdir()
    loop = Loop(model, ELBO(), data, options, run, group, LogWriter(run / "log.jsonl"), Interrupt())
    while True:
        yield loop.learn()["loss"]


if __name__ == "__main__":
    main()
