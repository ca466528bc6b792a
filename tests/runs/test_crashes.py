"""Operations on files that fail, and processes that are killed: what goes on equals an undisturbed command.

A sample; make soak lets every operation fail (ESTAG_SWEEP=0), kills each command 50 times (ESTAG_KILLS) and
sends it as many signals.
"""

import json
import os
import subprocess
import sys

import pytest
from helpers import faults
from helpers.paths import ROOT

SEED = os.environ.get("ESTAG_SEED", "0")
COMMANDS = ("train", "closed form", "table", "data prepare")
SLOW = ("table", "data prepare")  # tables are killed and go on in test_grid too
SOME = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in COMMANDS]

pytestmark = pytest.mark.skipif(
    faults.COMPILER is None or sys.platform != "linux", reason="needs Linux and a C compiler, cc"
)


def tried(mode, command, count, folder):
    """What helpers.crashes did, and the faults that it found."""
    ended = subprocess.run(
        [sys.executable, "-m", "helpers.crashes", mode, command, str(folder), str(count), SEED],
        cwd=ROOT / "tests",
        env=faults.environment(folder),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    *found, done = map(json.loads, ended.stdout.splitlines())
    print(done)
    assert not found, f"{len(found)} faults, the first: {found[0]}"
    return done


@pytest.mark.parametrize("command", SOME)
def test_an_operation_fails(command, tmp_path):
    done = tried("sweep", command, os.environ.get("ESTAG_SWEEP", "2"), tmp_path)
    assert min(done["operations"][kind] for kind in ("write", "rename", "create")) > 0


@pytest.mark.parametrize("command", SOME)
def test_signals_within_saves_and_at_random_moments(command, tmp_path):
    count = int(os.environ.get("ESTAG_KILLS", "2"))
    assert tried("signals", command, count, tmp_path)["signals"] == count


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_kills_at_random_moments(command, tmp_path):
    count = int(os.environ.get("ESTAG_KILLS", "4"))
    assert tried("kills", command, count, tmp_path)["kills"] == count
