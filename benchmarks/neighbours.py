"""Memory and seconds of precision, recall, density and coverage, and the seconds beside the package prdc's."""

import argparse
import contextlib
import importlib.util
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from measure import Ratio, load_average, plain
from vaelab.metrics.precision_recall import overlap

BAR = 2.0  # GB beyond the features themselves
K = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="in each of the two sets (default 10000)")
    parser.add_argument("--features", type=int, default=2048, help="of each image (default 2048)")
    parser.add_argument("--small", type=int, default=2000, help="images in each set beside prdc (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="beside prdc (default 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    print(f"load {load_average()}; {options.threads} threads")
    ours(*sets(100, options.features))  # once unmeasured: the libraries' own memory
    facts = in_memory(options.images, options.features)
    if importlib.util.find_spec("prdc") is None:
        print("prdc is not installed, so it is left out; pip install prdc")
    else:
        facts["times_faster_than_prdc"] = beside_prdc(options.small, options.features, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2, default=plain) + "\n")


def sets(count: int, dims: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(count, dims), torch.randn(count, dims)


def ours(real: Tensor, fake: Tensor) -> dict[str, float]:
    return {name: x.double().mean().item() for name, x in overlap(real, fake, K)._asdict().items()}


def theirs(real: Tensor, fake: Tensor) -> dict[str, float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(real.numpy(), fake.numpy(), K)


def in_memory(count: int, dims: int) -> dict[str, float]:
    """Seconds, and by how much the peak of the process's memory rose above what the features took."""
    real, fake = sets(count, dims)
    before = peak()
    taken = seconds(lambda: ours(real, fake))
    extra = peak() - before
    print(f"{count:,} × {count:,} × {dims:,}: {taken:.1f} s; peak {peak():.2f} GB, {extra:.2f} GB beyond the features")
    print(f"bar {BAR:g} GB : {extra:.2f} GB {'met' if extra <= BAR else 'MISSED'}")
    return {"images": count, "features": dims, "seconds": taken, "peak_gb": peak(), "extra_gb": extra}


def beside_prdc(count: int, dims: int, rounds: int) -> Ratio:
    """Interleaved laps on the same features, whose numbers must be the same."""
    real, fake = sets(count, dims)
    mine, peers = ours(real, fake), theirs(real, fake)
    if any(abs(mine[name] - peers[name]) > 1e-9 for name in mine):
        sys.exit(f"vaelab gives {mine}, prdc {peers}")
    laps = [(seconds(lambda: theirs(real, fake)), seconds(lambda: ours(real, fake))) for _ in range(rounds)]
    slow, fast = map(list, zip(*laps, strict=True))
    ratio = Ratio.of(slow, fast)
    print(f"{count:,} × {count:,} × {dims:,}: the numbers of prdc, {ratio} its speed")
    return ratio


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak() -> float:
    """The most memory that this process has held, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main()
