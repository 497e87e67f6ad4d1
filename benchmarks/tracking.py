"""Images per second of an MLP VAE with a tracker and without, interleaved, at the default logging interval."""

import argparse
import importlib.util
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from contenders import BATCH
from contenders import vaelab as training
from measure import Lap, judged, load_average
from vaelab.registry.schema import Part
from vaelab.tracking.beside import tracked

TRACKERS = ("tensorboard", "swanlab", "wandb", "mlflow")
BAR = 0.98  # of the throughput without a tracker
PAUSE = 1.5  # seconds in which a tracker reads what the lap before wrote, so that it is in no other lap
IMAGES = 468 * BATCH  # MNIST in whole batches
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed laps with and without (default 9)")
    parser.add_argument("--epochs", type=int, default=2, help=f"epochs of {IMAGES:,} images in a lap (default 2)")
    parser.add_argument("--width", type=int, default=400, help="hidden units (default 400)")
    parser.add_argument("--threads", type=int, default=1, help="of the training (default 1)")
    parser.add_argument("--only", nargs="+", choices=TRACKERS, default=list(TRACKERS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ |= {"WANDB_MODE": "offline"}
    print(f"{options.threads} threads, {options.rounds} rounds; load average before: {load_average()}", flush=True)
    for name in options.only:
        if importlib.util.find_spec(name):
            with tempfile.TemporaryDirectory() as folder:
                beside(name, Path(folder), options)
        else:
            print(f"{name} is not installed, so it is left out")
    print(f"load average after: {load_average()}")


def beside(name: str, folder: Path, options: argparse.Namespace) -> None:
    """One training, whose tracker is stopped in every other lap: of two processes, one is always a bit faster."""
    images = torch.randint(256, (IMAGES, 1, 28, 28), dtype=torch.uint8)
    count = 2 * options.rounds * options.epochs + 1
    epochs = training(images, options.width, folder, count, precision="float32", compile=False)
    (folder / "recipe.yaml").write_text("train: {}")
    off, on, spent = [], [], 0.0
    with tracked(folder, [Part(name)]):
        next(epochs)
        time.sleep(4 * PAUSE)  # importing, connecting
        for number in range(options.rounds):
            for laps in (on, off) if number % 2 else (off, on):
                before = tracker_seconds()
                if laps is off:
                    signalled(signal.SIGSTOP)
                laps.append(lap(epochs, options.epochs))
                signalled(signal.SIGCONT)
                time.sleep(PAUSE)
                spent += tracker_seconds() - before if laps is on else 0
        if not sessions():
            print(f"{name} has ended, so nothing was measured")
    print(f"{name}: {options.epochs * IMAGES / statistics.median(x.wall for x in off):,.0f} images/s without")
    title = f"its own process took {spent / sum(x.wall for x in on):.1%} of a core"
    print(judged(title, BAR, off, on), flush=True)


def lap(epochs: Iterator[float], count: int) -> Lap:
    """Some epochs, timed; the CPU time is of this process, which is the training."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(epochs)
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


def signalled(number: int) -> None:
    """Let the tracker stand still, or go on."""
    for session in sessions():
        os.killpg(session, number)


def sessions() -> list[int]:
    """The sessions that this process has started: one, of the process that tracks."""
    return [int(s[3]) for pid, s in stats().items() if s[1] == str(os.getpid()) and s[3] == pid and s[0] != "Z"]


def tracker_seconds() -> float:
    """CPU seconds so far of the process that tracks, and of those that it started."""
    known = {str(session) for session in sessions()}
    return sum(int(s[11]) + int(s[12]) for s in stats().values() if s[3] in known) / TICKS


def stats() -> dict[str, list[str]]:
    """The state of each process, from its third field on: state, parent, group, session, …"""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[path.parent.name] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
    return found


if __name__ == "__main__":
    main()
