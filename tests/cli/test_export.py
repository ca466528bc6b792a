"""``estag export`` as a user meets it."""

import json
import re

import jax
import numpy as np
import pytest
from helpers.springs import FULL, SPLIT, frames, task

from estag_jax import cli
from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.training.fit import fit


@pytest.fixture
def saved(tmp_path):
    fit("VAR ridge", task(dtype=np.float64)).forecaster.save(tmp_path / "saved.npz")
    return tmp_path / "saved.npz"


def test_a_folder_or_a_file_is_written_and_said(saved, tmp_path, capsys):
    cli.main(["export", str(saved), "--out", str(tmp_path / "new"), "--steps", "2"])
    out = capsys.readouterr().out
    assert "['b', 3, 4, 1, 3] -> ['b', 3, 1, 3]" in out and "six months" in out
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "forecast.stablehlo",
        "forecast_rollout.stablehlo",
        "forecast.json",
        "forecast.npz",
    }
    path = tmp_path / "one" / "springs.bin"
    cli.main(["export", str(saved), "--out", str(path), "--dtype", "float64", "--platforms", "cpu"])
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["platforms"] == ["cpu"] and about["programs"]["forecast"]["file"] == "springs.bin"
    # As the page says, with float64 all the way from the file.
    history = frames(dtype=np.float64)[:7:2].swapaxes(0, 1)[None, :, :, None]
    with jax.enable_x64(True):
        program = jax.export.deserialize(path.read_bytes())
        found = np.asarray(program.call(history))
    exact = fit("VAR ridge", task(dtype=np.float64)).predictor.predict(history)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12)


def test_what_cannot_be_exported_is_one_line(saved, tmp_path, capsys):
    far = Task(task().trajectories[0], WindowConfig(4, 2, horizons=(3,)), SPLIT, FULL)
    fit("AR-LS", far).forecaster.save(tmp_path / "far.npz")
    for arguments, message in (
        ([str(saved), "--steps", "0"], "--steps is 0"),
        ([str(tmp_path / "far.npz"), "--steps", "2"], "far.npz: .*looks 3 steps ahead"),
        ([str(tmp_path / "none.npz")], "none.npz: there is no such file"),
        ([str(saved), "--platforms", "gpu"], "invalid choice .gpu"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["export", *arguments, "--out", str(tmp_path / "x")])
        out, err = capsys.readouterr()
        assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
        assert re.search(message, err), err
    assert not (tmp_path / "x").exists()
