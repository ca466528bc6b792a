"""A run's folder belongs to one writer, and only what a run wrote is deleted."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.springs import QUICK, Stop, config

from estag_jax.report.run_figures import draw
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


def test_what_a_run_wrote_stands_in_run_json(springs, tmp_path):
    out = tmp_path / "run"
    draw(out, train(config(springs, epochs=2), out))
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    named = json.loads((out / folder.RUN).read_text())["files"]
    assert {name for name in written if not name.startswith(folder.CHECKPOINTS + "/")} <= {*named}
    assert {"run.json", "figures/loss.png", "figures/overlay.png"} <= written & {*named}


def test_a_users_files_in_the_folders_of_a_run_stay(springs, tmp_path):
    quick = dataclasses.replace(config(springs), method="var-ridge", model=None)
    out = tmp_path / "run"
    train(quick, out)
    mine = [out / folder.FIGURES / "mine.png", out / folder.CHECKPOINTS / "notes.txt"]
    for path in (*mine, mine[0].with_name("loss.png")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = (out / folder.RUN).read_text()
    with pytest.raises(RunError, match=r"checkpoints: holds notes\.txt"):
        train(quick, out, overwrite=True)
    assert (out / folder.RUN).read_text() == before
    mine[1].unlink()
    train(quick, out, overwrite=True)
    assert mine[0].read_text() == "mine" and not mine[0].with_name("loss.png").exists()


@pytest.mark.parametrize("name", ["../precious.txt", "/precious.txt", "figures/../../precious.txt"])
def test_a_run_that_names_files_elsewhere_as_its_own_is_refused(name, springs, tmp_path):
    quick = dataclasses.replace(config(springs), method="var-ridge", model=None)
    out, precious = tmp_path / "run", tmp_path / "precious.txt"
    train(quick, out)
    precious.write_text("mine")
    saved = json.loads((out / folder.RUN).read_text())
    saved["files"].append(
        name.replace("/precious", f"{tmp_path}/precious") if name[0] == "/" else name
    )
    (out / folder.RUN).write_text(json.dumps(saved))
    with pytest.raises(RunError, match=r"run\.json: names .*precious\.txt"):
        train(quick, out, overwrite=True)
    assert precious.read_text() == "mine" and (out / folder.FORECASTER).exists()


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


def test_no_file_is_lost_wherever_setting_aside_and_bringing_back_are_cut(
    springs, tmp_path, monkeypatch
):
    quick = dataclasses.replace(config(springs), method="var-ridge", model=None)
    made = tmp_path / "made"
    train(quick, made)
    for name in (f"{folder.CHECKPOINTS}/2/state", folder.SUMS, folder.DRAWN[0]):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    rename, left = Path.rename, [0]

    def cut(path, target):
        left[0] -= 1
        if left[0] == 0:
            raise Stop
        return rename(path, target)

    def contents(out):
        return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}

    monkeypatch.setattr(Path, "rename", cut)
    cuts = 0
    for there, back in itertools.product(range(1, 9), range(1, 9)):
        out = tmp_path / f"{there}-{back}"
        shutil.copytree(made, out)
        try:
            left[0] = there
            folder.set_aside(out)
            folder.write_run(out, quick, "another")
            (out / folder.RESULT).write_text("of another")
        except Stop:
            cuts += 1
        try:
            left[0] = back
            folder.bring_back(out)
        except Stop:
            cuts += 1
            left[0] = 0
            folder.bring_back(out)
        assert contents(out) == contents(made), (there, back)
    assert cuts > 60  # of either


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
