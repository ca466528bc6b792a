"""Files as each released version wrote them (released/VERSION): read, or refused by name; newer ones too.

Made by `estag data prepare springs.npy`, `estag train --data data.npz --model ESTAG-without-layers …` and
`estag table --data data.npz --models Last-frame AR-LS …` of that version.
"""

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import estag_jax
from estag_jax.io import FileError, write_json
from estag_jax.npz import read_npz, write_npz
from estag_jax.runs import folder, grid, readers
from estag_jax.runs.folder import RunError
from estag_jax.runs.run import train

RELEASED = Path(__file__).with_name("released")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A copy, for nothing that is kept may be written to; a function of the version."""
    monkeypatch.chdir(tmp_path)

    def of(version):
        shutil.copytree(RELEASED / version, tmp_path, dirs_exist_ok=True)
        return tmp_path

    return of


def test_a_run_of_0_1_is_refused_by_name(files):
    run = files("0.1") / "run"
    for read in (estag_jax.load, readers.load_task, folder.read_run):
        with pytest.raises(RunError, match=r"run: holds a run of estag_jax before version 0.2"):
            read(run)


def test_data_a_run_and_a_table_of_0_2_are_read(files):
    path = files("0.2")
    trajectory = estag_jax.load_trajectory("data.npz")
    assert trajectory.positions.shape == (120, 3, 1, 3) and trajectory.time_unit == "frame"
    saved = folder.read_result(path / "run")
    assert [line["epoch"] for line in folder.read_metrics(path / "run")] == [1, 2]
    config, task = readers.load_task("run")
    assert config.train.epochs == 2 and task.describe()["windows"]["test"] == 12
    found = estag_jax.evaluate(estag_jax.load("run"), task).rows[0]
    assert found.mse == pytest.approx(saved.rows[-1].mse, rel=1e-5)
    (cell,) = grid.stored(path / "table")
    assert [row.name for row in cell.rows] == ["AR-LS"] and cell.rows[0].mse > 0


@pytest.mark.slow
def test_a_training_of_0_2_goes_on(files):
    path = files("0.2")
    with zipfile.ZipFile("checkpoints.zip") as archive:
        archive.extractall(path / "run")
    config, _ = folder.read_run(path / "run")
    longer = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=4))
    train(longer, path / "run", resume=True)
    straight = train(longer, path / "straight").forecaster.predictor.to_arrays()
    for name, value in estag_jax.load("run").predictor.to_arrays().items():
        np.testing.assert_allclose(value, straight[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("version", ["newer", 2, 99])
def test_newer_files_are_refused_as_newer(version, files):
    run = files("0.2") / "run"

    def newer(path, key):
        saved = json.loads(path.read_text())
        write_json(path, saved | {key: version})

    arrays = read_npz(run / folder.FORECASTER)
    about = json.loads(str(arrays["about"])) | {"version": version}
    write_npz(run / folder.FORECASTER, arrays | {"about": np.array(json.dumps(about))})
    newer(run / folder.RESULT, "format")
    words = "newer" if isinstance(version, int) else "format"
    with pytest.raises(FileError, match=f"forecaster.npz: .*{words}"):
        estag_jax.load(run)
    with pytest.raises(RunError, match=f"result.json: .*{words}"):
        folder.read_result(run)
    newer(run / folder.RUN, "version")
    with pytest.raises(RunError, match=f"run.json: .*{words}"):
        folder.read_run(run)
