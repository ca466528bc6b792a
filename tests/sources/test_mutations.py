"""Damaged files are read or refused in one line with their name; nothing else, and no process dies."""

import json
import os
import subprocess
import sys

import pytest
from helpers.paths import ROOT
from helpers.small_files import FORMATS, xyz

from estag_jax.data.system import DataError
from estag_jax.sources.catalog import load

COUNT = int(os.environ.get("ESTAG_MUTATIONS", 25))
SEED = os.environ.get("ESTAG_SEED", "0")


FEW = COUNT <= 25
"""Then starting a process takes longer than reading all that it reads."""


@pytest.mark.parametrize("names", [",".join(FORMATS)] if FEW else FORMATS)
def test_mutants_of_a_file(names, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "helpers.mutations", names, str(COUNT), SEED, str(tmp_path)],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        timeout=120 + 20 * COUNT,
    )
    faults = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert not faults, f"{len(faults)} faults, the first: {faults[0]}"
    at = (tmp_path / "at").read_text() if (tmp_path / "at").exists() else "none"
    assert done.returncode == 0, (
        f"ended with {done.returncode} at mutant {at}: {done.stderr[-500:]}"
    )


@pytest.mark.parametrize(
    "error", [IndexError("list index out of range"), ZeroDivisionError("by zero")]
)
def test_a_library_that_stumbles_over_a_file(error, tmp_path, monkeypatch):
    def stumbles(*_):
        raise error

    monkeypatch.setattr("estag_jax.sources.files.reader.read_frames", stumbles)
    path = tmp_path / xyz(tmp_path)[0]
    with pytest.raises(DataError, match="cannot be read, it may be damaged") as found:
        load(path)
    assert str(found.value).startswith(str(path)) and str(error) in str(found.value)
