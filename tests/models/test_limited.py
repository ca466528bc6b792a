"""Limited motion: forecasts within what training showed, rollouts that would diverge, files, the command."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from helpers.springs import SPLIT

import estag_jax
from estag_jax.cli.main import main
from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.testing import random_symmetry
from estag_jax.training.fit import fit

BONDS = np.array([[0, 1], [1, 2], [2, 3]])
SIGNS = np.array([1, -1, 1, -1])[:, None]


def chain(frames=300):
    """Four nodes in a row that vibrate along it and across [frames, 4, 3]."""
    t, node = np.arange(frames)[:, None], np.arange(4)
    along = node + 0.1 * np.sin(0.5 * t + node)
    across = 0.2 * np.cos(0.3 * t + 2 * node)
    return np.stack([along, across, 0.1 * np.sin(0.2 * t + node)], axis=-1)


@pytest.fixture(scope="module")
def task():
    trajectory = Trajectory.from_arrays(chain(), bonds=BONDS)
    return Task(trajectory, WindowConfig(past=4, delta=2), SPLIT)


@pytest.fixture(scope="module")
def forecaster(task):
    return fit("VAR ridge", task).forecaster


@pytest.fixture(scope="module")
def wild(forecaster):
    """A forecaster that overshoots: fed back it diverges."""
    weights = 1.7 * forecaster.predictor.weights
    return dataclasses.replace(
        forecaster, predictor=dataclasses.replace(forecaster.predictor, weights=weights)
    )


def seen(task):
    """Longest step of each node and range of each bond in the histories, window by window and by loops."""
    steps, ranges = np.zeros(4), np.array([[np.inf, -np.inf]] * 3)
    (windows,) = task.windows("train")
    for window in windows.history.astype(float)[..., 0, :]:
        for t in range(4):
            for k, (i, j) in enumerate(BONDS):
                length = np.sqrt(sum((window[i, t] - window[j, t]) ** 2))
                ranges[k] = min(ranges[k, 0], length), max(ranges[k, 1], length)
        for t in range(3):
            for node in range(4):
                step = window[node, t + 1] - window[node, t]
                steps[node] = max(steps[node], np.sqrt(sum(step**2)))
    return steps, ranges


def lengths(x):
    return np.linalg.norm(x[..., BONDS[:, 0], 0, :] - x[..., BONDS[:, 1], 0, :], axis=-1)


def test_a_rollout_that_diverges_stays_within_what_training_showed(task, wild):
    steps, ranges = seen(task)
    (windows,) = task.windows("test")
    history = windows.history[:8]
    free, held = (np.asarray(f.rollout(history, 60)) for f in (wild, wild.limited(task)))
    wider = 0.1 * np.ptp(ranges, axis=1)
    low, high = ranges[:, 0] - wider, ranges[:, 1] + wider
    # Negative control: without limits bonds and steps are lost.
    assert (lengths(free) > 2 * high).any()
    assert (lengths(held) > low - 0.02).all() and (lengths(held) < high + 0.02).all()
    moved = np.linalg.norm(np.diff(held[..., 0, :], axis=0), axis=-1)
    # Bonds that are brought back move their ends once more.
    assert (moved < 1.1 * steps + 0.3).all() and np.isfinite(held).all()


def test_forecasts_within_the_limits_stay_as_they_are(task, forecaster):
    (windows,) = task.windows("test")
    own = np.asarray(forecaster.predict(windows.history))
    held = forecaster.limited(task)
    np.testing.assert_array_equal(held.predict(windows.history), own)
    assert repr(held).startswith("Forecaster(VAR ridge (limited motion), 4 nodes")


def test_steps_are_cut_in_their_own_direction(task, wild):
    steps, _ = seen(task)
    alone = dataclasses.replace(wild.system, bonds=None)
    free = dataclasses.replace(wild, system=alone)
    loose = Task(Trajectory.from_arrays(chain()), task.window, SPLIT)
    (windows,) = loose.windows("test")
    last = windows.history[:, :, -1]
    one, other = (
        np.asarray(f.predict(windows.history)) - last for f in (free, free.limited(loose))
    )
    sizes, cut = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (one, other))
    expected = np.minimum(sizes, 1.1 * steps[:, None, None])
    np.testing.assert_allclose(cut, expected, rtol=1e-4)
    np.testing.assert_allclose(other, one / sizes * expected, atol=1e-5)
    assert (cut < 0.9 * sizes).any()


@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_limited_forecasts_turn_with_the_history(kind, task, wild, x64):
    held = jax.tree.map(
        lambda a: np.asarray(a, float) if a.dtype == np.float32 else a, wild.limited(task)
    )
    history = next(iter(task.windows("test"))).history.astype(float)
    symmetry = random_symmetry(2, 4, kind)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(4))
    found = held.predictor.predict(history, held.inputs)
    assert np.abs(found - wild.predictor.predict(history, wild.inputs)).max() > 1e-2
    moved = held.predictor.predict(symmetry.on_positions(history), held.inputs)
    np.testing.assert_allclose(moved, symmetry.on_positions(found), atol=1e-9)


def test_a_file_keeps_the_limits(task, wild, tmp_path):
    held = wild.limited(task)
    held.save(tmp_path / "f.npz")
    loaded = estag_jax.load(tmp_path / "f.npz")
    (windows,) = task.windows("test")
    assert loaded.method == held.method and repr(loaded) == repr(held)
    np.testing.assert_array_equal(
        loaded.rollout(windows.history[0], 30), held.rollout(windows.history[0], 30)
    )
    with pytest.raises(ValueError, match="^motion is limited already$"):
        loaded.limited(task)


def test_the_command_limits_motion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("chain.npz", positions=chain(), bonds=BONDS)
    options = ["--window.past", "4", "--window.delta", "2", "--split.train", "23"]
    main(
        [
            "train",
            "--data",
            "chain.npz",
            "--model",
            "constant-acceleration",
            "--out",
            "run",
            *options,
        ]
    )
    found = {}
    for name, flags in (("free", []), ("held", ["--limit-motion"])):
        main(["rollout", "run", "--steps", "40", "--out", f"{name}.npz", *flags])
        found[name] = lengths(np.load(f"{name}.npz")["forecast"]).max()
    assert found["held"] < 1.6 < 10 < found["free"]
