"""Images per second of MLP VAEs: vaelab beside pythae and pytorch/examples' loop, interleaved in one run."""

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contenders import ALL, BARS, BATCH, LATENT, OURS, TITLES
from measure import Lap, Ratio, Runner, interleaved, load_average, plain, serve_laps, verdict


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)  # here only to be passed on
    images = options.images // BATCH * BATCH
    source = read_images(images)[1]
    names = [name for name in ALL if name in options.only]
    if "pythae" in names and importlib.util.find_spec("pythae") is None:
        names.remove("pythae")
        print("pythae is not installed, so it is left out; pip install -e .[bench]")
    print(
        f"whole epochs of {images:,} images ({source}) at batch {BATCH}, torch {torch.__version__}, "
        f"{options.threads} threads, {options.rounds} interleaved rounds"
    )
    results = {f"784-{width}-{LATENT}": compare(width, names, images, options.rounds) for width in options.widths}
    if options.json:
        facts = {
            "torch": torch.__version__,
            "threads": options.threads,
            "images": images,
            "source": source,
        }
        options.json.write_text(json.dumps(facts | {"results": results}, indent=2, default=plain) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed epochs of each contender (default 9)")
    parser.add_argument(
        "--images", type=int, default=59_904, help="images per epoch (default 59904: MNIST in whole batches)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=ALL, default=list(ALL), metavar="NAME", help=f"of {', '.join(ALL)}"
    )
    parser.add_argument("--widths", nargs="+", type=int, default=[256, 400], help="hidden units (default 256 400)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write every lap to this file")
    return parser.parse_args()


def read_images(count: int) -> tuple[Tensor, str]:
    """MNIST if it is on this machine, else noise; the time does not depend on the values."""
    import vaelab.data
    from vaelab.io.places import locate

    if locate("mnist/train-images-idx3-ubyte.gz"):
        return vaelab.data.load("mnist", train_size=count, valid_size=96).train.images, "MNIST"
    return torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8), "random; MNIST was not found"


def serve(pipe: Any, name: str, folder: str, width: int, images: int, epochs: int, threads: int) -> None:
    """One contender, in its own process."""
    torch.set_num_threads(threads)
    if name in OURS:
        torch.set_flush_denormal(True)  # as in vaelab.train: before threads start, so that they do so, too
    serve_laps(pipe, ALL[name](read_images(images)[0], width, Path(folder), epochs))


def compare(width: int, names: list[str], images: int, rounds: int) -> dict[str, Any]:
    """Run and print one architecture."""
    print(f"\nMLP 784-{width}-{LATENT}; load average before: {load_average()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (width, images, rounds + 2, torch.get_num_threads())
        runners = {name: Runner(serve, name, str(Path(folder) / name), *arguments) for name in names}
        warm = {name: runner.lap()[0] for name, runner in runners.items()}
        began = time.perf_counter()
        laps = list(interleaved(runners, rounds))
        seconds = time.perf_counter() - began
        losses = {name: runner.lap()[1] for name, runner in runners.items()}  # the last writes checkpoints: untimed
        for runner in runners.values():
            runner.stop()
    print(f"{rounds} rounds took {seconds:.0f} s; load average after: {load_average()}")
    print("warm-up: what the first, untimed epoch took longer, such as compiling (from the disk cache, if met before)")
    table(names, warm, laps, images, losses)
    return {
        "load_average": os.getloadavg(),
        "warm_up": warm,
        "laps": {name: [round_[name] for round_ in laps] for name in names},
        "final_loss": losses,
        "ratios": {f"{ours} / {peer}": judge(peer, ours, bar, laps) for (peer, ours), bar in pairs(names).items()},
    }


def table(
    names: list[str], warm: dict[str, Lap], laps: list[dict[str, Lap]], images: int, losses: dict[str, float]
) -> None:
    print(f"{'':28}{'img/s median':>13}{'best':>9}{'CPU µs/img':>12}{'cores':>7}{'warm-up':>9}{'loss':>8}")
    for name in names:
        wall = [round_[name].wall for round_ in laps]
        cpu = statistics.median(round_[name].cpu for round_ in laps) / images * 1e6
        median, best = images / statistics.median(wall), images / min(wall)
        cores = statistics.median(round_[name].cpu / round_[name].wall for round_ in laps)
        extra = f"{max(0, warm[name].wall - statistics.median(wall)):.1f} s"
        print(f"{TITLES[name]:28}{median:13,.0f}{best:9,.0f}{cpu:12.1f}{cores:7.2f}{extra:>9}{losses[name]:8.1f}")


def pairs(names: list[str]) -> dict[tuple[str, str], float]:
    return {pair: bar for pair, bar in BARS.items() if set(pair) <= set(names)}


def judge(peer: str, ours: str, bar: float, laps: list[dict[str, Lap]]) -> dict[str, Any]:
    """Print a verdict by wall time; CPU time beside it."""
    wall, cpu = (
        Ratio.of([getattr(r[peer], k) for r in laps], [getattr(r[ours], k) for r in laps]) for k in ("wall", "cpu")
    )
    text = verdict(bar, wall)
    print(f"  {TITLES[ours]} : {TITLES[peer]}\n    {text}   [wall {wall}, CPU {cpu}]", flush=True)
    return {"bar": bar, "wall": wall, "cpu": cpu, "verdict": text}


if __name__ == "__main__":
    main()
