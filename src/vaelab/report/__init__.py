"""A report: one HTML file that needs nothing else, made of run folders alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vaelab.errors import UsageError
from vaelab.evaluation.quality import distinct
from vaelab.io.files import expanded, write_whole
from vaelab.io.progress import note
from vaelab.report.diagnosis import diagnose
from vaelab.report.finding import Finding
from vaelab.report.page import page
from vaelab.runs.folder import RunFolder


def report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of a run into its folder, or of several side by side to `report.html`; returns the file.

    What is missing or damaged in a folder is said on the page, and the rest is shown; of what is no run there is a note
    on stderr too. UsageError where no run is left.
    """
    folders, refused = [], []
    for run in dict.fromkeys(expanded(run) for run in runs):
        try:
            folders.append(RunFolder.read(run))
        except UsageError as error:
            refused.append(str(error))
    if not folders:
        raise UsageError("; ".join(refused) or "name a run folder; vaelab runs lists them")
    for text in refused:
        note(text)
    folders = list({folder.path.resolve(): folder for folder in folders}.values())
    names = [folders[0].name] if len(folders) == 1 else distinct([folder.path.resolve() for folder in folders])
    path = Path(out) if out else folders[0].path / "report.html" if len(folders) == 1 else Path("report.html")
    text = page([replace(folder, name=name) for folder, name in zip(folders, names, strict=True)], refused)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8") and None)
    return path


def refresh(run: Path) -> list[Finding]:
    """The report of a run anew after a command, and the diagnosis in it.

    What hinders it is a note, and never the command's failure.
    """
    try:
        report([run])
        return diagnose(RunFolder.read(run))
    except Exception as error:  # whatever lies in the folder, the command itself has succeeded
        note(f"the report of {run} was not written: {error}")
        return []
