"""The numbers of an evaluation as rows to read: value, interval, unit, and in short how each was measured."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vaelab.evaluation.comparison.judged import Column, Judged
from vaelab.evaluation.comparison.table import rows_of
from vaelab.io.formatting import counted, expectation, images_of, typeset
from vaelab.recipe.recipe import Recipe
from vaelab.report.listing import unit_of
from vaelab.report.reading import Told
from vaelab.runs.folder import kind_of

TITLES = {
    "elbo": "ELBO",
    "log_px": "Reconstruction term log p(x | z)",
    "kl": "KL",
    "iwae": "Importance-weighted bound",
    "iwae_gain": "Gain of the importance-weighted bound",
    "ais": "log p(x) by annealing",
    "bits_per_dim": "Bits per dimension",
    "rate": "Rate",
    "marginal_kl": "KL of the aggregated posterior",
    "dimension_kl": "KL within single dimensions",
    "aggregate_mmd": "Aggregated posterior to prior, MMD",
    "aggregate_p": "Aggregated posterior to prior, p-value",
    "aggregate_ks": "Aggregated posterior to prior, largest KS",
    "aggregate_ks_mean": "Aggregated posterior to prior, mean KS",
    "nearest_ratio": "Nearest training image, samples to real ones",
    "copying_z": "Copying, z-score",
    "train_share": "Nearer to training than to test images",
    "probe_linear": "Linear probe, accuracy",
    "probe_knn": "Neighbour probe, accuracy",
    "ess": "Effective sample size",
    "active_units": "Active units, by variance of the means",
    "active_units_kl": "Active units, by KL",
    "active_units_ratio": "Active units, by share of variance",
    "latent_dim": "Latent dimensions",
    "mse": "Squared error per pixel",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "frechet": "Fréchet distance",
    "frechet_unbiased": "Fréchet distance, without bias",
    "kernel": "Kernel distance",
    "mig": "MIG",
    "sap": "SAP",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "factor_vae": "FactorVAE score",
    "beta_vae": "β-VAE score",
}
GROUPS = {"ais": "AIS", "elbo_surgery": "ELBO surgery", "frechet": "Fréchet", "lpips": "LPIPS"}  # metrics
SPLITS = {"valid": "validation", "train": "training"}


class Line(NamedTuple):
    """A number of one run."""

    title: str
    value: str
    interval: str
    unit: str


class Group(NamedTuple):
    """The numbers of one metric, and in short how they were measured."""

    title: str
    protocol: str
    lines: list[Line]


class Measured(NamedTuple):
    """A split's numbers, what could not be measured and why, and what must be known of them."""

    of: str  # which images
    groups: list[Group]
    remarks: list[str]
    protocols: str  # in full


class Cell(NamedTuple):
    """A number in the table of several runs."""

    value: str
    interval: str
    best: bool


def measured(told: Told) -> list[Measured]:
    """The tables of one run."""
    return [_measured(split, report) for split, report in told.reports.items()]


def side_by_side(runs: Sequence[Told]) -> tuple[list[tuple[str, str, list[Cell]]], list[str]]:
    """Title, unit and a cell for each run, row by row; and what does not compare, is missing or must be known."""
    columns = [
        Column((Judged(run.name, run.folder.path, Recipe(run.folder.recipe, _complete(run)), run.report),))
        for run in runs
        if run.report
    ]
    rows, notes = rows_of(columns)
    table = []
    for row in rows:
        cells = []
        for run in runs:
            cell = row.cells.get(run.name)
            ends = f"{typeset(cell.interval[0])} … {typeset(cell.interval[1])}" if cell and cell.interval else ""
            cells.append(Cell(typeset(cell.value) if cell else "–", ends, run.name in row.best))
        table.append((row.label.replace(row.name, title_of(row.name), 1), unit_of(row.name), cells))
    return table, notes


def title_of(name: str) -> str:
    """A number's name as people say it; `kl_1` is the KL of the top level of latents."""
    if (level := name.removeprefix("kl_")).isdecimal():
        return f"KL of level {level}{' (top)' if level == '1' else ''}"
    return _titled(name, TITLES)


def _titled(name: str, known: Mapping[str, str]) -> str:
    return known.get(name) or name.replace("_", " ").capitalize()


def _measured(split: str, report: Mapping[str, Any]) -> Measured:
    groups = [
        Group(_titled(name, GROUPS), _short(entry["protocol"]), _lines(entry))
        for name, entry in report["metrics"].items()
    ]
    remarks = [f"{name} was not measured: {reason}" for name, reason in report["unavailable"].items()]
    remarks += [_capital(expectation(verdict, title_of(verdict["name"]), typeset)) for verdict in report["expected"]]
    notes = {note for entry in report["metrics"].values() for note in entry["notes"]}
    protocols = {name: entry["protocol"] for name, entry in report["metrics"].items()}
    full = json.dumps(protocols, indent=2, ensure_ascii=False)
    of = images_of({**report, "split": SPLITS.get(split, split)}, report["metrics"])
    return Measured(of, groups, [*remarks, *report["notes"], *sorted(notes)], full)


def _lines(entry: Mapping[str, Any]) -> list[Line]:
    lines = []
    for key, value in entry["values"].items():
        if not key.endswith("_error"):
            ends = entry["intervals"].get(key)
            interval = f"{typeset(ends[0])} … {typeset(ends[1])}" if ends else ""
            lines.append(Line(title_of(key), typeset(value), interval, unit_of(key)))
    return lines


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _short(protocol: Mapping[str, Any]) -> str:
    """`10,000 images · 100 draws · 10,000 samples of the prior · features of classifier 91e7 · k = 5`."""
    said = [counted(protocol["images"], "image")] if isinstance(protocol.get("images"), int) else []
    if isinstance(protocol.get("samples"), int):
        said.append(counted(protocol["samples"], "draw"))
    if isinstance(protocol.get("fakes"), int):
        kind = kind_of(protocol.get("sampler", "prior"))
        said.append(f"{protocol['fakes']:,} samples of the {kind}".replace("the gmm", "a fitted mixture"))
    for key in ("extractor", "network"):
        if isinstance(found := protocol.get(key), Mapping):
            said.append(f"features of {found.get('name', '?')} {str(found.get('hash', ''))[:4]}".rstrip())
    said += [f"{key} = {protocol[key]}" for key in ("k", "pca_dim", "temperatures") if protocol.get(key)]
    return " · ".join(said)


def _complete(run: Told) -> dict[str, Any]:
    """The recipe with the sections that a comparison looks at, also where recipe.yaml is not whole."""
    return {"train": {}, **run.folder.options, "data": run.folder.options.get("data") or run.report["data"] or "?"}
