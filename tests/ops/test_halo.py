"""Message passing over a graph in parts equals that on one device."""

import json
import subprocess
import sys

import pytest
from helpers.processes import environment

EXACT = 1e-10

pytestmark = pytest.mark.distributed


def compared(*cases):
    """What helpers.parts finds in a process with eight simulated devices, in float64."""
    command = [sys.executable, "-m", "helpers.parts", json.dumps(cases)]
    done = subprocess.run(command, env=environment(8, x64=True), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_values_and_gradients_are_those_of_one_device():
    (found,) = compared(("EGNN", 4, 1))
    assert found["difference"] < EXACT and found["gradient"] > 1e-3
    assert found["all_to_all"] and not found["all_gather"]
    assert found["wrong"] > 1e-3  # the comparison sees what is exchanged


@pytest.mark.slow
def test_all_networks_that_say_so_run_in_parts():
    cases = [
        ("ESTAG", 2, 1),
        ("ESTAG", 8, 4),
        ("ESTAG in chunks", 4, 4),
        ("ST_EGNN", 4, 1),
        ("ST_EGNN", 8, 4),
        ("EGNN", 2, 4),
    ]
    for case, found in zip(cases, compared(*cases), strict=True):
        assert found["difference"] < EXACT and found["gradient"] > 1e-3, case
