"""A set of 100 GB: trained on in a memory that is small and stays as it is."""

import json
import subprocess
import sys

from numpy.lib import format as npy

COUNT = 127_551_020
RUN = """
import json, sys, torch

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024

before, seen = resident(), {}
import vaelab
from vaelab.objectives.elbo import ELBO
from vaelab.workbench import fit
sys.path.insert(0, sys.argv[2])
from test_fit import compose

def objective(terms, step):
    if int(step) % 100 == 0:
        seen[int(step)] = resident() - before
    return ELBO()(terms, step)

data = {"kind": "arrays", "path": sys.argv[1] + "/x.npy", "valid_size": 100, "test_size": 100, "resize": 8}
fit(compose(), objective, data, {"steps": 401, "draw_every": 0}, run=sys.argv[1] + "/run", device="cpu", quiet=True)
print(json.dumps(seen))
"""


def test_memory_is_small_and_constant_on_a_set_that_is_larger(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:  # of holes
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (COUNT, 28, 28)})
        file.truncate(file.tell() + COUNT * 28 * 28)
    tests = str(__import__("pathlib").Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path), tests], capture_output=True, text=True, check=True)
    seen = {int(step): mib for step, mib in json.loads(done.stdout).items()}
    assert max(seen.values()) < 600  # a number for each image would take 973
    assert abs(seen[400] - seen[100]) < 32  # of which the images that were read are 29
