"""SIGTERM, SIGHUP and SIGINT in a process of its own: a line, an exit code, and a run that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.paths import PACKAGE
from helpers.springs import frames

from estag_jax.runs import folder


def process(folder, *argv):
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "estag_jax", *argv]
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)


def ended(running, number):
    running.send_signal(number)
    _, err = running.communicate(timeout=120)
    return running.returncode, err.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_training_is_saved_between_evaluations(tmp_path, number):
    np.save(tmp_path / "a.npy", frames())
    model = [
        "--model",
        "ST_EGNN",
        "--window.past",
        "4",
        "--window.delta",
        "2",
        "--split.train",
        "23",
    ]
    argv = ["train", "--data", "a.npy", *model, "--train.epochs", "9000", "--out", "r"]
    running = process(tmp_path, *argv, "--train.evaluate-every", "40")
    while not folder.read_metrics(tmp_path / "r"):
        time.sleep(0.05)
    code, lines = ended(running, number)
    assert code == 128 + number and not any("Traceback" in line for line in lines)
    assert "of 9000 is saved, go on with --resume" in lines[-1]
    again = process(tmp_path, *argv, "--train.evaluate-every", "40", "--resume")
    reached = len(folder.read_metrics(tmp_path / "r"))
    while len(folder.read_metrics(tmp_path / "r")) <= reached:
        assert again.poll() is None
        time.sleep(0.05)
    again.kill()
    again.communicate()
    epochs = [line["epoch"] for line in folder.read_metrics(tmp_path / "r")]
    assert epochs == list(range(40, 40 * len(epochs) + 1, 40))


def test_a_signal_ends_what_is_busy_in_c(tmp_path):
    script = (
        "import hashlib, sys\n"
        "from estag_jax.cli import signals\n"
        "signals.GRACE = 0.2\n"
        "signals.install()\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"  # minutes without an instruction of Python's
    )
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", script]
    running = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert running.stderr.readline() == "ready\n"
    time.sleep(1)  # until it is busy: before, Python's own handler would end it
    code, lines = ended(running, signal.SIGTERM)
    assert code == 143 and lines == [
        "estag: stopped by SIGTERM; it was busy; checkpoints written so far are kept"
    ]


def test_a_reader_that_has_seen_enough(tmp_path):
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "estag_jax", "--help"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, **pipes) as running:
        running.stdout.close()  # before a word is written
        assert (running.stderr.read(), running.wait(60)) == (b"", 0)
