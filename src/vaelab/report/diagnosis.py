"""What a run's log and numbers say in plain words: each finding with its evidence and what to try."""

from vaelab.io.formatting import counted, typeset
from vaelab.report.course import diverged, failed, overfitting, too_short, under_trained
from vaelab.report.evidence import LEVELS, Evidence, Finding
from vaelab.report.learned import collapsed, over_regularised, scale_ran_away, unlike_prior, worse_than_uniform
from vaelab.report.trends import FEW

RULES = (
    *(diverged, failed, collapsed, scale_ran_away, worse_than_uniform, unlike_prior),
    *(over_regularised, overfitting, under_trained, too_short),
)


def diagnose(evidence: Evidence) -> list[Finding]:
    """All findings, the gravest first; where none is grave, also that nothing, or nothing else, is conspicuous."""
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    if not any(f.level in ("warning", "bad") for f in found) and evidence.valid:
        found.append(_inconspicuous(evidence, bool(found)))
    return sorted(found, key=lambda f: -list(LEVELS).index(f.level))


def _inconspicuous(e: Evidence, noted: bool) -> Finding:
    told = f"Validation loss {typeset(e.last('loss'))}, KL {typeset(e.last('kl'))} nats per image"
    told += f" after {counted(len(e.valid), 'epoch')}"
    so_far = " so far" if e.state == "running" else ""
    if noted:
        return Finding("nothing", "note", f"Otherwise nothing conspicuous{so_far}.", f"{told}.")
    none = "no sign of collapse, over-regularisation, overfitting or numbers that are none"
    none = none if so_far or len(e.valid) < 2 * FEW else none.replace(" or ", ", ") + " or a loss still falling"
    return Finding("nothing", "good", f"Nothing conspicuous{so_far}.", f"{told}; {none}.")
