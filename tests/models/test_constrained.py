"""Constrained bonds: an option of closed forms, networks, forecasters and commands."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers.springs import SPLIT

import estag_jax
from estag_jax.cli.main import main
from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.egnn import EgnnConfig
from estag_jax.testing import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

BONDS = np.array([[0, 1], [1, 2], [2, 3]])
UP = [0, 0, 1]


def arms(frames=300, seed=0):
    """A chain of rods that turn at their own speeds about moving joints [frames, 4, 3]."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    angle = np.array([0.11, 0.17, 0.23]) * t[:, None] + rng.normal(size=3)
    tilt = 0.8 * np.sin(0.07 * t)[:, None] + rng.normal(size=3)
    rods = np.stack([np.cos(angle) * np.cos(tilt), np.sin(angle) * np.cos(tilt), np.sin(tilt)], -1)
    return np.concatenate([np.zeros((frames, 1, 3)), np.cumsum(rods, axis=1)], axis=1)


def task_of(positions, **about):
    trajectory = Trajectory.from_arrays(
        positions, **{"bonds": BONDS, "vectors": {"up": UP}} | about
    )
    return Task(trajectory, WindowConfig(past=4, delta=2), SPLIT, GraphConfig(kind="full"))


@pytest.fixture(scope="module")
def task():
    return task_of(arms())


def lengths(x):
    return np.linalg.norm(x[..., BONDS[:, 0], 0, :] - x[..., BONDS[:, 1], 0, :], axis=-1)


@pytest.mark.parametrize("method", ["VAR ridge", "VAR ridge, vertical apart", "Frame ridge"])
def test_forecasts_keep_the_bones_and_are_better_for_it(method, task, tmp_path):
    plain, kept = fit(method, task), fit(method, task, constrain_bonds=True)
    assert kept.label == f"{plain.label} (constrained bonds)"
    result = evaluate([plain, kept], task)
    free, held = result.rows
    assert held.mse < free.mse and held.name == kept.label and held.parameters == free.parameters
    assert kept.validation_mse[0] < plain.validation_mse[0]
    assert "coverage90" in held.metrics or len(held.metrics) == len(free.metrics)
    (windows,) = task.windows("test")
    history = windows.history[:4].astype(np.float32)
    kept.forecaster.save(tmp_path / "f.npz")
    loaded = estag_jax.load(tmp_path / "f.npz")
    assert loaded.method == kept.method and repr(loaded) == repr(kept.forecaster)
    frame = np.asarray(loaded.predict(history))
    np.testing.assert_allclose(lengths(frame), 1, atol=1e-4)
    assert np.abs(lengths(np.asarray(plain.forecaster.predict(history))) - 1).max() > 1e-3
    path = np.asarray(jax.jit(lambda f, h: f.rollout(h, 5))(loaded, history))
    np.testing.assert_allclose(lengths(path), 1, atol=5e-4)


def test_constraints_of_a_forecaster_that_was_fitted_without(task):
    plain = fit("VAR ridge", task).forecaster
    held = plain.constrained()
    (windows,) = task.windows("test")
    expected = fit("VAR ridge", task, constrain_bonds=True).forecaster.predict(windows.history[:3])
    np.testing.assert_allclose(held.predict(windows.history[:3]), expected, atol=1e-6)
    with pytest.raises(ValueError, match="already"):
        held.constrained()


def test_a_network_and_what_it_starts_from(task, tmp_path):
    network = EgnnConfig(hidden=4, layers=1, head="residual")
    (windows,) = task.windows("test")
    for start in (None, "VAR ridge, vertical apart"):
        kept = fit(network, task, epochs=1, seeds=(1, 2), start=start, constrain_bonds=True)
        kept.forecaster.save(tmp_path / "f.npz")
        loaded = estag_jax.load(tmp_path / "f.npz")
        frame = np.asarray(loaded.predict(windows.history[:3]))
        np.testing.assert_allclose(lengths(frame), 1, atol=1e-4)
        row = evaluate(kept, task).rows[0]
        assert len(row.metrics["mse"]["seeds"]) == 2 and row.name.endswith("(constrained bonds)")


def test_constrained_forecasts_turn_with_the_history(task, x64):
    fitted = fit("VAR ridge", task, constrain_bonds=True)
    (windows,) = task.windows("test")
    for kind in ("rotation", "reflection", "translation"):
        symmetry = random_symmetry(2, 4, kind)
        out = fitted.predictor(windows.history, task.system)
        moved = fitted.predictor(symmetry.on_positions(windows.history), task.system)
        np.testing.assert_allclose(moved, symmetry.on_positions(out), atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"bonds": None}, "it has no bonds"),
        ({"positions": np.stack([arms(), arms(seed=1)], 2)}, "2 points"),
    ],
)
def test_what_has_no_bonds_is_refused_before_the_fit(changes, fact):
    of = task_of(**{"positions": arms(), "source": "a.npz"} | changes)
    with pytest.raises(ValueError, match=f"^a.npz: bonds cannot be constrained: .*{fact}") as error:
        fit("VAR ridge", of, constrain_bonds=True)
    assert "\n" not in str(error.value)


def test_a_run_keeps_bones_and_has_the_method_without_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("arms.npz", positions=arms(), bonds=BONDS)
    options = ["--window.past", "4", "--window.delta", "2", "--split.train", "23"]
    own = ["--model", "var-ridge", "--constrain-bonds", "--out", "run", *options]
    main(["train", "--data", "arms.npz", *own])
    table = (tmp_path / "run" / "table.md").read_text()
    assert "| VAR ridge |" in table and "| VAR ridge (constrained bonds) |" in table
    capsys.readouterr()
    main(["evaluate", "run"])
    assert "VAR ridge (constrained bonds)" in capsys.readouterr().out
    main(["rollout", "run", "--steps", "3", "--out", "kept.npz"])
    np.testing.assert_allclose(lengths(np.load("kept.npz")["forecast"]), 1, atol=5e-4)
    main(["train", "--data", "arms.npz", "--model", "var-ridge", "--out", "free", *options])
    main(["rollout", "free", "--steps", "3", "--out", "free.npz"])
    main(["rollout", "free", "--steps", "3", "--constrain-bonds", "--out", "held.npz"])
    off = {
        name: np.abs(lengths(np.load(f"{name}.npz")["forecast"]) - 1).max()
        for name in ("free", "held")
    }
    assert off["held"] < 5e-4 < off["free"]
