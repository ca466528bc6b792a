"""A run's folder belongs to one writer, and only what a run wrote is deleted."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.springs import QUICK, Stop, config

from estag_jax.runs import folder
from estag_jax.runs.folder import RunError
from estag_jax.runs.lock import locked
from estag_jax.runs.run import train
from estag_jax.training.callbacks import Callback


def test_a_folder_is_not_overwritten_by_accident(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    with pytest.raises(RunError, match="--resume .* --overwrite"):
        train(config(springs, epochs=2), out)
    other = config(springs, model=dataclasses.replace(QUICK, hidden=5))
    with pytest.raises(RunError, match=r"other settings \(model.hidden\)"):
        train(other, out, resume=True)
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious.txt").write_text("mine")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError, match="precious.txt.* holds no run"):
            train(config(springs), full, **flags)
    (full / "config.json").write_text("{}")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError):
            train(config(springs), full, **flags)
    assert (full / "precious.txt").read_text() == "mine"


def test_overwrite_deletes_what_a_run_wrote_and_nothing_else(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    (out / "precious.txt").write_text("mine")
    shutil.copy(springs, out / "springs.npy")
    finished = train(config(out / "springs.npy", epochs=4), out, overwrite=True)
    assert (out / "precious.txt").read_text() == "mine" and (out / "springs.npy").exists()
    assert finished.result.rows[-1].epochs == 4
    assert not (out / folder.PREVIOUS).exists()


def test_a_run_killed_while_it_replaces_another_does_not_lose_it(springs, tmp_path):
    class KilledAtOnce(Callback):
        def begin(self, loop):
            raise Stop

    out = tmp_path / "run"
    before = train(config(springs, epochs=4), out).result.rows[-1].metrics
    with pytest.raises(Stop):
        train(config(springs, epochs=2), out, overwrite=True, callbacks=[KilledAtOnce()])
    with pytest.raises(RunError, match="--resume .* --overwrite"):
        train(config(springs, epochs=4), out)
    back = train(config(springs, epochs=4), out, resume=True)
    assert back.result.rows[-1].metrics == before


def test_a_second_writer_is_refused_and_a_dead_one_forgotten(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    with locked(out), pytest.raises(RunError, match=f"process {os.getpid()} on "):
        train(config(springs, epochs=4), out, resume=True)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        check=True,
        text=True,
    )
    lock = {"host": os.uname().nodename, "pid": int(ended.stdout), "since": "yesterday"}
    (out / folder.LOCK).write_text(json.dumps(lock))
    train(config(springs, epochs=4), out, resume=True)
    (out / folder.LOCK).write_text(json.dumps(lock | {"host": "elsewhere"}))
    with pytest.raises(RunError, match="on elsewhere .*--take-over"):
        train(config(springs, epochs=6), out, resume=True)
    train(config(springs, epochs=6), out, resume=True, take_over=True)
