"""Random kills: a training that was killed anywhere, and resumed until done, equals one that was not, bit for bit."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors import safe_open

import vaelab
from torture.campaign import Judged
from torture.fork import Fork
from vaelab import workbench
from vaelab.runs.log import Log
from vaelab.training import loop as engine
from vaelab.training.checkpoint import Checkpoint
from vaelab.training.optimiser import Adam

TINY = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 3, backbone: {kind: mlp, width: 16}}
objective: {kind: elbo, beta: {kind: linear, steps: 6}}
train: {epochs: 4, batch_size: 16, lr: 1e-2, clip_norm: 20, ema: 0.9, weight_decay: 0.01, log_steps: 2, draw_every: 2}
"""
GROWING = "{kind: progressive, start_res: 4, base_channels: 8, min_channels: 4, epochs_per_stage: 1}"
KINDS: dict[str, tuple[str, ...]] = {
    "mlp": ("train.lr_schedule=cosine", "train.lr_warmup_steps=3", "train.draw_every=1"),
    "batch-norm": (
        "model.backbone={kind: vampalign_resnet, width: 4, norm: batch}",
        "data.resize=32",
        "train.save_every=2",
    ),
    "vamp": ("model.prior={kind: vamp, components: 7, init: data}", "data.binarise=dynamic"),
    "growing": ("data.pad=4", "objective.beta=1", f"model.backbone={GROWING}", "train.at_stage=reset"),
    "hierarchical": (
        *("data.pad=4", "objective.beta=1", f"model.backbone={GROWING}", "model.latent_dim=[2, 3]"),
        "model.posterior={kind: ladder, width: 8}",
        "model.prior=ladder",
    ),
    "iwae": ("objective={kind: iwae, samples: 3, doubly_reparameterised: true}", "train.optimizer=adam"),
    "conditional": ("model.condition=[encoder, decoder]", "data.flip=true", "train.precision=bfloat16"),
    "flow-prior": (
        "model.prior={kind: flow, flow: {kind: coupling, layers: 2, width: 8}}",
        "evaluate={metrics: [reconstruction, active_units], every: 2}",
        "best={metric: ssim, mode: max}",
    ),
    "mixture": ("model.prior={kind: mixture, components: 4}", "model.likelihood={kind: normal, fit: optimal}"),
}


def _skip() -> None:
    read = workbench.find_checkpoint
    workbench.find_checkpoint = lambda folder: _later(read(folder))  # pyright: ignore[reportPrivateImportUsage]


def _later(kept: Checkpoint | None) -> Checkpoint | None:
    if kept:
        kept.progress.step += 1
    return kept


def _reseed() -> None:
    seed_of = engine.seed_of
    engine.seed_of = lambda stream, seed, *rest: seed_of(stream, seed + 1, *rest)


def _forget() -> None:
    load = Adam.load_state_dict

    def halved(self: Adam, state: dict[str, Any]) -> None:
        load(self, state)
        self.m[0].zero_()

    Adam.load_state_dict = halved


# Resumptions that are broken on purpose, which the comparison has to notice.
BROKEN: dict[str, Callable[[], None]] = {"a step is left out": _skip, "another seed": _reseed, "one moment": _forget}


KILLED = 100  # cases, after which come the controls


class Kills:
    """The campaign over some kinds of recipe: its references, and the judge of a case."""

    def __init__(self, folder: Path, seed: int, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
        self.folder, self.seed, self.kinds = folder, seed, kinds
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(TINY)
        warm = folder / "warm"  # what a training imports, each child would import anew
        vaelab.train(str(self.recipe), "train.epochs=1", "train.draw_every=1", "objective.beta=1", run=warm, quiet=True)
        self.events: dict[str, int] = {}  # how often a whole run of a kind touches its folder
        self.seconds: dict[str, float] = {}
        for kind in kinds:
            began = time.perf_counter()
            self._leg(kind, folder / kind, None).wait(120)
            self.seconds[kind] = time.perf_counter() - began
            self.events[kind] = int((folder / f"{kind}.events").read_text())

    def judge(self, case: int) -> Judged:
        """One training killed once or twice, at a random moment or where it touches a file; from 100 on, a control."""
        if case >= KILLED:
            return self.control("mlp", list(BROKEN)[case - KILLED])
        random, kind = Random(f"kill {self.seed} {case}"), self.kinds[case % len(self.kinds)]
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            run, kills = Path(place) / "run", random.choice((1, 1, 2))
            legs = [self._killed(kind, run, random) for _ in range(kills)]
            if -signal.SIGKILL not in [code for _, code in legs]:  # all were done before their moment came
                shutil.rmtree(run)
                legs.append(self._at_event(kind, run, random))
            legs.append(("resumed", self._leg(kind, run, None).wait(120)))
            told, codes = [name for name, _ in legs], [code for _, code in legs]
            if codes[-1] or not {0, -signal.SIGKILL}.issuperset(codes):
                return Judged(kind, "stuck", f"{legs}: {_said(run)}")
            gaps = differences(self.folder / kind, run)
        if gaps:
            return Judged(kind, "differ", "; ".join(told + gaps))
        return Judged(kind, f"equal after {codes.count(-signal.SIGKILL)} SIGKILL")

    def control(self, kind: str, broken: str) -> Judged:
        """A broken resumption, which fails where it goes unnoticed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            run = Path(place) / "run"
            self._leg(kind, run, (self.events[kind] * 3 // 5, False)).wait(120)
            assert (run / "last.pt").exists(), "killed too early to be resumed"
            code = self._leg(kind, run, None, BROKEN[broken]).wait(120)
            gaps = [] if code else differences(self.folder / kind, run)
        failure = "" if gaps else f"{kind}: the comparison sees nothing; {code} {_said(run)}"
        return Judged(f"control, {broken}", "unnoticed" if failure else "noticed", failure)

    def _killed(self, kind: str, run: Path, random: Random) -> tuple[str, int]:
        """One leg that is killed, unless it ends before: where, and its exit code."""
        if random.random() < 0.5:
            return self._at_event(kind, run, random)
        after = random.random() * self.seconds[kind]
        child = self._leg(kind, run, None)
        time.sleep(after)
        child.end(signal.SIGKILL)
        return f"killed after {after:.3f} s", child.wait(0)

    def _at_event(self, kind: str, run: Path, random: Random) -> tuple[str, int]:
        at, torn = random.randint(1, self.events[kind]), random.random() < 0.5
        name = f"killed at event {at}" + " within its write" * torn
        return name, self._leg(kind, run, (at, torn)).wait(120)

    def _leg(
        self, kind: str, run: Path, kill: tuple[int, bool] | None, broken: Callable[[], None] = lambda: None
    ) -> Fork:
        """Train, or carry on where there is a run; with a kill at an event."""

        def act() -> None:
            broken()
            resume = (run / "recipe.yaml").exists()
            touched = _count_events(run, kill)
            overrides = () if resume else KINDS[kind]
            vaelab.train(str(self.recipe), *overrides, run=run, device="cpu", quiet=True, resume=resume)
            Path(f"{run}.events").write_text(str(touched()))

        return Fork(act, (0, Path(os.devnull), Path(f"{run}.err")))


def differences(one: Path, two: Path) -> list[str]:
    """What two runs do not have alike: weights, checkpoints, rows, pictures, state, what was left lying about."""
    found = [name for name, read in READERS.items() if not _same(read(one), read(two))]
    left = [path.name for path in two.rglob("*") if path.name.startswith(".") and path.name.endswith(".tmp")]
    return [f"{name} differ" for name in found] + [f"{name} was left" for name in left]


def _weights(run: Path) -> Any:
    with safe_open(run / "model.safetensors", "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118


def _rows(run: Path) -> Any:
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in Log.read(run / "log.jsonl").rows]


READERS: dict[str, Callable[[Path], Any]] = {
    "weights": _weights,
    "checkpoints": lambda run: torch.load(run / "last.pt", weights_only=True),
    "rows": _rows,
    "pictures": lambda run: {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.png")},
    "states": lambda run: json.loads((run / "state.json").read_text())["state"],
}


def _same(one: Any, two: Any) -> bool:
    """Equal to the bit, type and all."""
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(_same, one, two))
    return one == two


def _count_events(run: Path, kill: tuple[int, bool] | None) -> Callable[[], int]:
    """Count from now on how often a file of the run is opened to be written, moved or removed; and die at one of them.

    A kill within a write leaves half of the file that was about to be moved into its place, or half a row.
    """
    count, inside = 0, str(run)

    def touched(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in ("open", "os.rename", "os.remove", "os.mkdir") or not str(arguments[0]).startswith(inside):
            return
        if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax")):
            return
        count += 1
        if kill and count == kill[0]:
            _die(event, str(arguments[0]), torn=kill[1])

    sys.addaudithook(touched)
    return lambda: count


def _die(event: str, path: str, torn: bool) -> None:
    if torn and event == "os.rename":
        os.truncate(path, Path(path).stat().st_size // 2)
    if torn and event == "open" and path.endswith("log.jsonl"):
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(number, b'{"kind": "step", "st')
    os.kill(os.getpid(), signal.SIGKILL)


def _said(run: Path) -> str:
    return Path(f"{run}.err").read_text()[-1000:]
