"""The numbers of an evaluation that matter most, each with a word of meaning; the rest stands in the file."""

from collections.abc import Mapping
from typing import Any

from vaelab.io.formatting import counted, images_of, number
from vaelab.report.listing import interval, say, say_features, show_table, unit_of

COUNT = 10
# In the order in which they are shown, the first COUNT of those that were measured; short enough for 80 columns.
MEANINGS = {
    "elbo": "bound on log p(x) ↑",
    "ais": "log p(x) ↑",
    "bits_per_dim": "to store a pixel ↓",
    "kl": "what a code tells",
    "active_units_kl": "dimensions in use",
    "aggregate_ks": "codes against prior ↓",
    "psnr": "of reconstructions ↑",
    "frechet": "distance of samples ↓",
    "precision": "plausible samples ↑",
    "recall": "variety of samples ↑",
    "memorised": "copied samples ↓",
    "probe_knn": "classes from codes ↑",
    "lpips": "of reconstructions ↓",
    "coverage": "images covered ↑",
    "ssim": "of reconstructions ↑",
    "active_units": "dimensions in use",
}


def show_headlines(report: Mapping[str, Any]) -> None:
    """A table of ten lines, what could not be measured, and where the rest is."""
    unavailable = report["unavailable"]
    entries = {name: entry for name, entry in report["metrics"].items() if name not in unavailable}
    values = {key: (value, entry) for entry in entries.values() for key, value in entry["values"].items()}
    names = [name for name in MEANINGS if name in values][:COUNT]
    rows = [_row(name, *values[name]) for name in names]
    head = f"{report.get('run') or report['images_folder']}: {images_of(report, report['metrics'])}"
    show_table(head, ["name", "value", "95 % interval", "meaning (↑ is better)"], rows, markdown=False)
    say_features(entries)
    if unavailable:
        say(f"not measured: {', '.join(unavailable)}; to learn why, name one: --metrics {next(iter(unavailable))}")
    more = sum(not key.endswith("_error") for key in values) - len(names)
    say(f"{counted(more, 'more number')}, how each was measured, and notes: --all, or the file of metrics")


def _row(name: str, value: Any, entry: Mapping[str, Any]) -> list[str]:
    told = f"{number(value)} {unit_of(name)}".rstrip()
    if name.startswith("active_units") and "latent_dim" in entry["values"]:
        told = f"{value} of {entry['values']['latent_dim']}"
    return [name, told, interval(entry["intervals"].get(name)), MEANINGS[name]]
