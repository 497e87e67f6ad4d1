"""Seconds until Python, torch, vaelab and its command line are there, in fresh interleaved interpreters."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import time
from functools import partial
from pathlib import Path

from measure import interleaved, load_average

PROGRAM = Path(sysconfig.get_path("scripts")) / "vaelab"
BAR = 0.5  # seconds for `vaelab --help`
IMPORTS = {
    "python, nothing": "pass",
    "import vaelab": "import vaelab",
    "import torch": "import torch",
    "vaelab.train, all it needs": "import vaelab; vaelab.train",
    "pythae VAE + BaseTrainer": "from pythae.models import VAE; from pythae.trainers import BaseTrainer",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="fresh interpreters of each (default 5)")
    parser.add_argument("--json", type=Path, help="also write every time to this file")
    options = parser.parse_args()

    commands = {title: [sys.executable, "-c", code] for title, code in IMPORTS.items()}
    help_command = [str(PROGRAM)] if PROGRAM.exists() else [sys.executable, "-c", "import vaelab.cli as c; c.main()"]
    commands["vaelab --help"] = [*help_command, "--help"]
    runs = {title: partial(subprocess.run, c, check=True, capture_output=True) for title, c in commands.items()}
    for title in list(runs):  # once unmeasured: byte code, the disk cache, and what is not installed
        try:
            runs[title]()
        except subprocess.CalledProcessError:
            print(f"left out: {title}, which does not run here")
            del runs[title]

    laps = list(interleaved(runs, options.rounds))
    seconds = {title: [lap[title].wall for lap in laps] for title in runs}
    print(f"{options.rounds} interleaved rounds; load average {load_average()}\n")
    print(f"{'seconds':30}{'best':>8}{'median':>9}{'÷ torch':>9}")
    for title, times in seconds.items():
        ratio = statistics.median(times) / statistics.median(seconds["import torch"])
        print(f"{title:30}{min(times):8.2f}{statistics.median(times):9.2f}{ratio:9.2f}")
    reached = statistics.median(seconds["vaelab --help"])
    print(f"\nvaelab --help: bar {BAR:g} s : {reached:.2f} s {'met' if reached <= BAR else 'MISSED'}")
    report = {"time": time.strftime("%F %T"), "load_average": os.getloadavg(), "seconds": seconds}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
