"""`python -m torture`: all campaigns, or one, or one case; exits with 1 where a case failed."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch starts its threads

import pooch

import vaelab.cli
import vaelab.evaluation.evaluate  # what children would import, each for itself
import vaelab.report  # noqa: F401
from torture.campaign import GIGABYTE, Limits, judged, told
from torture.files import Files
from torture.kills import BROKEN, KILLED, Kills
from torture.recipes import Recipes
from vaelab.io import places as library

CAMPAIGNS = {  # what is tortured, how many cases, and the limits of one
    "kills": (Kills, KILLED + len(BROKEN), Limits(300, None)),
    "recipes": (Recipes, 10_000, Limits(20, GIGABYTE)),
    "files": (Files, 1000, Limits(60, GIGABYTE)),
}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--only", choices=CAMPAIGNS, help="one campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="one case of the campaign")
    parser.add_argument("--cases", type=int, help="so many, in place of all")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    pooch.retrieve = _offline
    well = True
    for name in [asked.only] if asked.only else CAMPAIGNS:
        make, count, limits = CAMPAIGNS[name]
        cases = range(asked.cases or count) if asked.case is None else [asked.case]
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            library.cache = lambda place=Path(folder): place / "cache"
            campaign = make(Path(folder), asked.seed)
            well &= told(name, judged(campaign.judge, cases, limits, asked.processes), asked.seed)
    return 0 if well else 1


def _offline(*_: object, **__: object) -> None:
    raise ConnectionError("no case waits for the network")


if __name__ == "__main__":
    sys.exit(main())
