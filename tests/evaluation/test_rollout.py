"""Rollouts against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import FULL, task

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.rollout import (
    expected_errors,
    roll,
    roll_samples,
    rollout_errors,
    rollout_figures,
    rollout_starts,
)
from estag_jax.models.base import Predictor
from estag_jax.models.copies import ConstantVelocity, LastFrame
from estag_jax.models.linear import LinearPredictor
from estag_jax.ops.rollout import at_horizons, rollout
from estag_jax.training.fit import fit


def straight(frames, nodes=3, channels=2):
    rng = np.random.default_rng(0)
    start, velocity = rng.normal(size=(2, nodes, channels, 3))
    return start + velocity * np.arange(frames)[:, None, None, None], velocity


def task_of(positions, past, delta, **split):
    given = dict(train=10, validation=10, test=10) | split
    window = WindowConfig(past=past, delta=delta)
    return Task(Trajectory.from_arrays(positions), window, SplitConfig(**given), FULL)


class Stepwise(Predictor):
    """A predictor that is a function of the history."""

    parameters = 0

    def __init__(self, step):
        self.step = step

    def predict(self, history, inputs):
        return self.step(history)

    def to_arrays(self):
        return {}

    @classmethod
    def from_arrays(cls, method, arrays):
        return cls(None)


def test_constant_velocity_goes_on_straight_in_both_forms():
    positions, velocity = straight(20)
    history = np.moveaxis(positions[:8:2], 0, 1)
    predictor = ConstantVelocity().fit(task_of(straight(99)[0], 4, 2))
    eager = rollout(predictor.predict, history, 5)
    np.testing.assert_allclose(eager, positions[8:18:2], atol=1e-12)
    assert isinstance(eager, np.ndarray)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda h: rollout(predictor.predict, h, 5))(history)
        np.testing.assert_allclose(compiled, eager, atol=1e-12)


def test_the_frames_at_horizons_are_frames_of_the_rollout():
    """Of a forecast that depends on the whole history; and only as many as are needed."""
    history, _ = straight(6)
    history, called = np.moveaxis(history, 0, 1)[None], []

    def predict(h):
        called.append(h.shape)
        return 0.3 * h[:, :, 0] + 0.9 * h[:, :, -1]

    frames = rollout(predict, history, 5)
    called.clear()
    found = at_horizons(predict, history, (1, 2, 5))
    assert len(called) == 5
    np.testing.assert_allclose(found, np.moveaxis(frames[[0, 1, 4]], 0, 1))
    # A single horizon is reached by one forecast, whatever it is.
    called.clear()
    np.testing.assert_allclose(at_horizons(predict, history, (4,))[:, 0], frames[0])
    assert len(called) == 1
    np.testing.assert_allclose(
        at_horizons(predict, jnp.asarray(history), (1, 2, 5)), found, rtol=1e-5
    )


def test_errors_of_the_last_frame_grow_with_the_square_of_time():
    positions, velocity = straight(200)
    of = task_of(positions, past=3, delta=2, test=5)
    errors = rollout_errors(LastFrame().fit(of), of, steps=4)
    expected = np.mean(velocity**2) * (2 * np.arange(1, 5)) ** 2
    assert (
        errors.shape[1]
        == len(rollout_starts(of.splits[0].test, of.trajectories[0], of.window, 4, 99))
        > 1
    )
    np.testing.assert_allclose(
        errors, np.repeat(expected[:, None], errors.shape[1], axis=1), rtol=1e-5
    )
    assert rollout_errors(LastFrame().fit(of), of, steps=4, limit=2).shape == (4, 2)


def test_errors_are_those_of_a_loop_over_the_frames_of_all_systems(monkeypatch):
    """Whatever the size of the batches."""
    of = task((3, 5), dtype=np.float64)
    predictor = LinearPredictor(np.array([0.1, -0.4, 0.2]))
    expected = []
    for trajectory, drawn in zip(of.trajectories, of.splits, strict=True):
        x, reach = trajectory.positions, 2 * (3 + 5)
        for start in (s for s in drawn.test if s + reach < len(x)):
            history, row = [x[start + 2 * t] for t in range(4)], []
            for step in range(1, 6):
                differences = [h - history[-1] for h in history[-4:-1]]
                frame = history[-1] + np.tensordot([0.1, -0.4, 0.2], differences, 1)
                history.append(frame)
                row.append(np.mean((frame - x[start + 2 * (3 + step)]) ** 2))
            expected.append(row)
    for width in (3, 500):
        monkeypatch.setattr("estag_jax.evaluation.rollout.batch_width", lambda *a, w=width: w)
        found = rollout_errors(predictor, of, steps=5)
        np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9)
    few = rollout_errors(predictor, of, steps=5, limit=25)
    np.testing.assert_allclose(few, np.transpose(expected)[:, :25], rtol=1e-9)


def test_a_rollout_that_runs_away_is_counted_and_not_averaged():
    step = {"number": 0}

    def diverging(history):
        step["number"] += 1
        out = np.zeros_like(history[:, :, 0])
        if step["number"] > 2:
            out[0] = np.nan
        if step["number"] > 3:
            out[1] = 1e300
        return out

    of = task_of(np.zeros((99, 2, 1, 3)), past=2, delta=1)
    errors = rollout_errors(Stepwise(diverging), of, steps=4, limit=3)
    assert errors.shape == (4, 3)
    figures = rollout_figures(errors, size=1.0)
    assert figures["mse"] == [0, 0, None, None]
    assert figures["median"] == [0, 0, 0, None]
    np.testing.assert_allclose(figures["diverged"], [0, 0, 1 / 3, 2 / 3])


def test_a_predictor_that_is_not_worth_compiling_gets_numpy_arrays():
    history = np.moveaxis(straight(4)[0], 0, 1)[None].astype(np.float32)
    kinds = []

    def predict(h):
        kinds.append(type(h))
        return h[:, :, -1] + 1

    own = Stepwise(predict)
    np.testing.assert_allclose(
        roll(own, history, None, 3)[:, 0],
        history[0, :, -1] + np.array([1, 2, 3])[:, None, None, None],
    )
    assert set(kinds) == {np.ndarray} and len(kinds) == 3


def test_there_are_no_rollouts_of_further_horizons():
    of = task(window=WindowConfig(past=4, delta=2, horizons=(2,)))
    assert rollout_errors(ConstantVelocity().fit(of), of, steps=3).shape == (3, 0)


def test_starts_leave_room_for_the_truth_within_their_run():
    lengths, window, steps, every = (20, 30), WindowConfig(3, 2), 4, np.arange(50)
    frames = Trajectory.from_arrays(np.zeros((50, 1, 1, 3)), lengths=lengths)
    kept = rollout_starts(every, frames, window, steps, limit=100)
    span = (window.past - 1 + steps) * window.delta
    assert kept.tolist() == [*range(20 - span), *range(20, 50 - span)]
    assert rollout_starts(every, frames, window, steps, limit=4).tolist() == [0, 1, 2, 3]
    assert rollout_starts(every, frames, window, 50, limit=4).size == 0
    further = dataclasses.replace(window, horizons=(2,))
    assert rollout_starts(every, frames, further, steps, limit=4).size == 0
    several = dataclasses.replace(window, horizons=(1, 3))
    assert rollout_starts(every, frames, several, steps, limit=100).tolist() == kept.tolist()
    holes = frames.changed(missing=np.arange(50) == 27)
    # Frame 27 is met from 27, 25, …, 27 - span, whether as history or as truth.
    missed = set(kept) - set(rollout_starts(every, holes, window, steps, limit=100))
    assert missed == {27 - 2 * k for k in range(7)} & set(kept.tolist())


def test_samples_start_from_the_path_without_errors_and_spread_as_the_bars_say():
    of = task()
    fitted = fit("Last frame", of)
    bars, history = fitted.error_bars[0][0], next(of.windows("test")).history[:2]
    paths = roll_samples(fitted.predictor, bars, history, None, 3, 4000, seed=1)
    assert paths.shape == (4001, 3, 2, 3, 1, 3)
    np.testing.assert_array_equal(paths[0], roll(fitted.predictor, history, None, 3))
    first = bars.distribution(np.asarray(history, np.float64), paths[0, 0]).covariance
    spread = (paths[1:, 0] - paths[0, 0]).reshape(4000, -1, 3)
    for p, covariance in enumerate(first.reshape(-1, 3, 3)):
        found = spread[:, p].T @ spread[:, p] / 4000
        np.testing.assert_allclose(found, covariance, atol=0.1 * covariance.max())
    expected = expected_errors(fitted.predictor, [bars], of, 3, samples=5, starts=2)
    assert expected.shape == (3, 10)
    # Errors of the last frame's copies add up.
    assert (np.diff(expected.mean(1)) > 0).all()
    size = np.trace(first, axis1=-2, axis2=-1).mean() / 3
    assert expected[0].mean() == pytest.approx(size, rel=0.5)
    assert expected_errors(fitted.predictor, [None], of, 3) is None
