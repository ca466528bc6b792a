"""An up that changes from frame to frame, through every command; and one that the data lack."""

from __future__ import annotations

import numpy as np
import pytest

import estag_jax
from estag_jax.cli.main import main
from estag_jax.runs.readers import load_task

NAME = "VAR ridge, vertical apart"
OPTIONS = ["--window.past", "3", "--window.delta", "1", "--split.train", "40"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(0)
    positions = 0.1 * rng.normal(size=(300, 3, 3)).cumsum(0) + 3 * np.eye(3)
    up = rng.normal(size=(300, 3)).cumsum(0)
    bonds = [[0, 1], [1, 2]]
    np.savez(folder / "a.npz", positions=positions, bonds=bonds, up=up, wind=up)
    np.savez(folder / "without.npz", positions=positions, bonds=bonds)
    return folder


def test_a_run_evaluates_draws_and_rolls_out_with_the_up_of_its_windows(
    folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    train = ["train", "--data", "a.npz", "--model", "var-ridge-vertical-apart", "--out", "run"]
    main([*train, *OPTIONS])
    assert f"| {NAME} |" in (folder / "run" / "table.md").read_text()
    main(["evaluate", "run"])
    assert NAME in capsys.readouterr().out
    main(["rollout", "run", "--start", "200", "--steps", "2", "--out", "path.npz"])
    _, task = load_task("run")
    trajectory, forecaster = task.trajectories[0], estag_jax.load("run")
    history = forecaster.history(trajectory.positions, 200)
    expected = forecaster.predict(history, {"up": trajectory.vectors["up"][202]})
    path = np.load("path.npz")["forecast"]
    np.testing.assert_allclose(path[0], expected, atol=1e-5)
    main(["rollout", "run", "--start", "200", "--steps", "2", "--samples", "3", "--out", "s.npz"])
    np.testing.assert_allclose(np.load("s.npz")["forecast"], path, atol=1e-6)
    main(["export", "run", "--out", "out"])


def test_data_without_up_are_refused_in_one_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    train = ["train", "--data", "without.npz", "--model", "var-ridge-vertical-apart"]
    with pytest.raises(SystemExit) as stopped:
        main([*train, "--out", "none", *OPTIONS])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2 and "'up'" in error and "--read.up" in error
    main([*train, "--out", "given", "--read.up", "z", *OPTIONS])
    assert estag_jax.load("given").system.vectors["up"].tolist() == [0, 0, 1]
    # Other tables do not speak of it.
    main(["train", "--data", "without.npz", "--model", "var-ridge", "--out", "plain", *OPTIONS])
    assert NAME not in (folder / "plain" / "table.md").read_text()
