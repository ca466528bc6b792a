"""Rollouts against closed forms."""

import dataclasses

import jax
import numpy as np
import pytest

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import WindowConfig
from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.rollout import rollout_errors, rollout_figures, rollout_starts
from estag_jax.models.copies import ConstantVelocity, LastFrame
from estag_jax.ops.rollout import at_horizons, rollout


def straight(frames, nodes=3, channels=2):
    rng = np.random.default_rng(0)
    start, velocity = rng.normal(size=(2, nodes, channels, 3))
    return start + velocity * np.arange(frames)[:, None, None, None], velocity


def task(positions, starts, past, delta):
    drawn = Split(*[np.asarray(starts)] * 3, kind="given")
    trajectory = Trajectory.from_arrays(positions)
    return Task(trajectory, WindowConfig(past, delta), [drawn], GraphConfig("full"))


def test_constant_velocity_goes_on_straight_in_both_forms():
    positions, velocity = straight(20)
    history = np.moveaxis(positions[:8:2], 0, 1)
    predict = ConstantVelocity().fit(task(positions, [0], 4, 2)).predict
    eager = rollout(predict, history, 5)
    np.testing.assert_allclose(eager, positions[8:18:2], atol=1e-12)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda h: rollout(predict, h, 5))(history)
        np.testing.assert_allclose(compiled, eager, atol=1e-12)
    ahead = at_horizons(predict, history[None], (1, 2, 5))
    np.testing.assert_allclose(ahead[0], eager[[0, 1, 4]], atol=1e-12)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(ahead[0], eager[[0, 1, 3]], atol=1e-3)


def test_errors_of_the_last_frame_grow_with_the_square_of_time():
    positions, velocity = straight(40)
    of = task(positions, [0, 3, 9], past=3, delta=2)
    errors = rollout_errors(LastFrame().fit(of), of, steps=4)
    expected = np.mean(velocity**2) * (2 * np.arange(1, 5)) ** 2
    np.testing.assert_allclose(errors, np.repeat(expected[:, None], 3, axis=1))


def test_a_rollout_that_diverges_is_counted_and_not_averaged():
    errors = np.zeros((4, 3))
    errors[2:, 0], errors[3, 1] = np.inf, 1e300
    errors[3, 1] = np.inf
    figures = rollout_figures(errors, size=1.0)
    assert figures["mse"] == [0, 0, None, None]
    assert figures["median"] == [0, 0, 0, None]
    np.testing.assert_allclose(figures["diverged"], [0, 0, 1 / 3, 2 / 3])


def test_starts_leave_room_for_the_truth_within_their_run():
    lengths, window, steps, every = (20, 30), WindowConfig(3, 2), 4, np.arange(50)
    frames = Trajectory.from_arrays(np.zeros((50, 1, 3)), lengths=lengths)
    kept = rollout_starts(every, frames, window, steps, limit=100)
    span = (window.past - 1 + steps) * window.delta
    assert kept.tolist() == [*range(20 - span), *range(20, 50 - span)]
    assert rollout_starts(every, frames, window, steps, limit=4).tolist() == [0, 1, 2, 3]
    assert rollout_starts(every, frames, window, 50, limit=4).size == 0
    ahead = WindowConfig(3, 2, horizons=(2,))
    assert rollout_starts(every, frames, ahead, steps, limit=4).size == 0
    holes = dataclasses.replace(frames, missing=np.arange(50) == 27)
    # Frame 27 is met from 27, 25, …, 27 - span, whether as history or as truth.
    missed = set(kept) - set(rollout_starts(every, holes, window, steps, limit=100))
    assert missed == {27 - 2 * k for k in range(7)} & set(kept.tolist())
