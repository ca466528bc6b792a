"""``estag data`` as a user meets it, and training on what is no molecule."""

import json
import logging
import re
import sys

import numpy as np
import pytest
from helpers.command import estag

import estag_jax
from estag_jax.data.trajectory import Trajectory
from estag_jax.simulate.settings import SyntheticConfig
from estag_jax.sources import catalog as sources
from estag_jax.sources.files.npz import write_npz

TINY = "--read.synthetic.runs 4 --read.synthetic.frames 60".split()
MODEL = (
    "--split.train 20 --split.validation 10 --split.test 10 --model.hidden 3 --model.layers 1 "
    "--train.epochs 2 --train.evaluate-every 1"
).split()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def facts(out):
    return dict(
        re.match(r"(.+?) {2,}(.*)", line).groups() for line in out.splitlines() if "  " in line
    )


def test_list_names_every_source(capsys):
    code, out, _ = estag(capsys, "data", "list")
    assert code == 0 and all(key in out for key in sources.SOURCES)


def test_info_prints_the_facts_and_draws_the_spectrum(capsys, tmp_path):
    code, out, _ = estag(capsys, "data", "info", "demo")
    found = facts(out)
    assert code == 0 and found["frames"] == "20000" and found["step"] == "0.5 fs"
    assert found["edges"] == "60 (bonds, up to 2 bonds apart)"
    assert found["overlap"].startswith("0 test windows (0.0%)")
    demo = sources.load("demo")
    moved = np.sqrt(np.mean(np.sum((demo.positions[10:] - demo.positions[:-10]) ** 2, axis=-1)))
    printed = float(re.search(r"([\d.]+) over 10,", found["RMS displacement"])[1])
    assert printed == pytest.approx(moved, rel=0.02)
    # Over a step of the window, the mean square of a coordinate is the last frame's error.
    last = float(found["last frame"].split()[0])
    assert last == pytest.approx(moved**2 / 3, rel=0.2)
    assert float(found["constant velocity"].split()[0]) < last
    assert "figure: runs/data/demo_spectrum.png" in out
    assert (tmp_path / "runs/data/demo_spectrum.png").stat().st_size > 10_000
    # The vibrations of aspirin that heavy atoms share lie below 2000 cm⁻¹.
    assert 0 < float(re.search(r"strongest at ([\d.]+) cm⁻¹", out)[1]) < 2000


def test_info_says_why_there_are_no_windows_and_counts_what_is_dropped(capsys, tmp_path):
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(400, 3, 1, 3)).cumsum(0) * 0.01 + np.arange(3)[:, None, None]
    missing = np.arange(400) % 90 == 7
    positions[missing] = np.nan
    holes = Trajectory.from_arrays(
        positions, names="abc", frame_step=0.1, time_unit="s", missing=missing
    )
    write_npz(tmp_path / "holes.npz", holes)
    code, out, _ = estag(capsys, "data", "info", "holes.npz", "--window.delta", "2")
    found = facts(out)
    assert code == 0 and found["frames"] == "400, 5 missing" and found["step"] == "0.1 s"
    assert re.match(r"\d+ windows touch a missing frame", found["dropped"])
    code, out, _ = estag(capsys, "data", "info", "holes.npz", "--window.past", "60")
    assert code == 0 and "none: holes.npz has 400 frames, but T=60" in facts(out)["windows"]


def test_a_jump_is_worth_a_word(capsys, tmp_path):
    walk = np.random.default_rng(0).normal(size=(60, 4, 3)).cumsum(0) * 0.01
    walk[30:, 2] += 20
    np.save(tmp_path / "walk.npy", walk + np.arange(4)[:, None])
    _, out, _ = estag(capsys, "data", "info", "walk.npy")
    assert "node 2, from frame 29" in facts(out)["largest step"]
    assert "times the median" in out and "look for a periodic box" in out


def test_prepare_keeps_everything_in_one_file(capsys, tmp_path):
    spec = "synthetic:pendulum"
    code, out, _ = estag(capsys, "data", "prepare", spec, *TINY, "--out", "new/pendulum.npz")
    assert code == 0 and "written: new/pendulum.npz" in out
    read = sources.ReadConfig(synthetic=SyntheticConfig(runs=4, frames=60))
    first, second = sources.load(spec, read=read), sources.load("new/pendulum.npz")
    assert first.fingerprint == second.fingerprint
    assert (second.time_unit, second.system.length_unit, second.notes) == ("s", "m", first.notes)
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["pendulum.npz"]
    code, out, _ = estag(capsys, "data", "prepare", "demo")
    assert code == 0 and "ready: --data demo" in out


@pytest.mark.parametrize("command", [["data", "prepare"], ["spectrum"]])
def test_an_out_that_can_be_no_file_is_refused_first(capsys, tmp_path, command):
    folder, file = tmp_path / "a.npz", tmp_path / "b.npz"
    folder.mkdir()
    np.savez(file, positions=np.zeros((2, 1, 3)))  # is not looked at
    for out, words in [
        (folder, f"--out is {folder}, a folder; name a file in it"),
        (file / "c.npz", f"{file} is a file and no folder"),
    ]:
        code, _, err = estag(capsys, *command, file, "--out", out)
        assert code == 2 and words in err and err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_training_takes_the_windows_and_split_of_its_source(capsys, tmp_path):
    argv = ["--data", "synthetic:springs", *TINY, *MODEL, "--out", "run"]
    code, out, err = estag(capsys, "train", *argv)
    assert code == 0, err
    config = json.loads((tmp_path / "run/run.json").read_text())["config"]
    assert config["window"]["delta"] == 1 and config["split"]["kind"] == "by-trajectory"
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["data"]["runs"] == 4 and any("drift" in n for n in result["data"]["notes"])
    assert estag(capsys, "evaluate", "run")[0] == 0
    assert estag(capsys, "rollout", "run", "--steps", "3")[0] == 0
    # Of these windows the paper's split of MD17 knows nothing, and says so before anything is run.
    code, _, err = estag(capsys, "train", *argv, "--split.kind", "paper", "--out", "other")
    assert (
        code == 2
        and "has 4 runs, but split kind 'paper'" in err
        and not (tmp_path / "other").exists()
    )


def test_a_longer_horizon_is_forecast_and_not_rolled_out(capsys, tmp_path):
    argv = ["--data", "synthetic:springs", *TINY, *MODEL, "--window.horizons", "3", "--out", "run"]
    code, out, err = estag(capsys, "train", *argv)
    assert code == 0, err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["rollout"] == {} and "diverged" not in out
    forecaster = estag_jax.load("run")
    assert forecaster.horizon == 3
    code, _, err = estag(capsys, "rollout", "run", "--steps", "3")
    assert code == 2 and "looks 3 steps ahead" in err and "--window.horizons 1" in err


def test_what_mdanalysis_logs_is_not_shown(monkeypatch, capsys):
    """Some libraries of training give the root logger a handler, which would print it."""
    log = logging.getLogger("MDAnalysis")
    monkeypatch.setattr(log, "propagate", True)  # which Python users keep
    estag(capsys, "data", "list")
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stderr)])
    logging.getLogger("else").warning("shown")
    log.getChild("coordinates.AMBER").warning("netCDF4 is not available")
    assert capsys.readouterr().err == "shown\n"
