"""What reaches the terminal: no control characters, no lines that are too long, no letters that it lacks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.command import estag
from helpers.ethanol import NAMES, WINDOW, X, info, npz
from helpers.paths import PACKAGE

from estag_jax.cli.main import COMMANDS, DATA_COMMANDS

pytestmark = pytest.mark.usefixtures("folder")


def test_what_a_file_says_does_not_reach_the_terminal(capsys):
    name = os.fsdecode(b"\x1b[2J\xff.npz")
    arrays = {"positions": X, "names": np.array(["\x1b[2J", *NAMES[1:]])}
    code, out, _ = info(capsys, npz(name, **arrays, provenance="\x07\x1b[0m", notes=["a\nb"]))
    assert code == 0 and r"\x1b[2J\xff.npz" in out and r"\x07\x1b[0m" in out and r"a\nb" in out
    code, _, err = estag(capsys, "data", "info", f"{name}x")
    assert code == 2 and err.count("\n") == 1
    assert not set("\x1b\x07\udcff") & set(out + err)


@pytest.mark.parametrize(
    "command",
    [
        ["data", "list"],
        *(f"{c} --help".split() for c in ("", *COMMANDS, *(f"data {c}" for c in DATA_COMMANDS))),
    ],
)
@pytest.mark.parametrize("columns", [60, 80])
def test_narrow_terminals(columns, command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = estag(capsys, *command)
    assert code == 0 and max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("columns", [60, 80])
def test_narrow_terminals_for_facts(columns, capsys, monkeypatch):
    npz("a.npz")
    wide = estag(capsys, "data", "info", "a.npz", *WINDOW)[1]
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = estag(capsys, "data", "info", "a.npz", *WINDOW)
    assert max(map(len, wide.splitlines())) > columns >= max(map(len, out.splitlines()))
    # Nothing is lost but where lines are broken.
    assert "".join(out.split()) == "".join(wide.split())


def test_a_terminal_without_the_letters():
    npz("a.npz")
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["PYTHONPATH"] = str(PACKAGE.parent)
    command = [sys.executable, "-m", "estag_jax", "data", "info", "a.npz", *WINDOW]
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    assert b"length unit        ?" in done.stdout and not done.stderr
    command[-len(WINDOW) :] = ["--read.frame-stp", "2"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "---" not in done.stderr
    assert "--read.frame-stp" in done.stderr and "did you mean --read.frame-step?" in done.stderr
