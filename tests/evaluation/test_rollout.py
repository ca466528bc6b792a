"""Rollouts against closed forms."""

import dataclasses

import jax
import numpy as np
from estag_jax.models.closed_form import constant_velocity, last_frame

from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import WindowConfig
from estag_jax.evaluation.rollout import (
    rollout,
    rollout_eager,
    rollout_errors,
    rollout_figures,
    rollout_starts,
)


def straight(frames, nodes=3, channels=2):
    rng = np.random.default_rng(0)
    start, velocity = rng.normal(size=(2, nodes, channels, 3))
    return start + velocity * np.arange(frames)[:, None, None, None], velocity


def test_constant_velocity_goes_on_straight_in_both_forms():
    positions, velocity = straight(20)
    history = np.moveaxis(positions[:8:2], 0, 1)
    eager = rollout_eager(constant_velocity(4), history, 5)
    np.testing.assert_allclose(eager, positions[8:18:2], atol=1e-12)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda h: rollout(constant_velocity(4), h, 5))(history)
        np.testing.assert_allclose(compiled, eager, atol=1e-12)


def test_errors_of_the_last_frame_grow_with_the_square_of_time():
    positions, velocity = straight(40)
    starts = np.array([0, 3, 9])

    def roll(history, steps):
        return rollout_eager(last_frame(3), history, steps)

    errors = rollout_errors(roll, positions, starts, past=3, delta=2, steps=4)
    expected = np.mean(velocity**2) * (2 * np.arange(1, 5)) ** 2
    np.testing.assert_allclose(errors, np.repeat(expected[:, None], 3, axis=1))


def test_a_rollout_that_runs_away_is_counted_and_not_averaged():
    def roll(history, steps):
        out = np.zeros((steps, *history[:, :, 0].shape))
        out[2:, 0] = np.nan
        out[3, 1] = 1e300
        return out

    positions = np.zeros((30, 2, 1, 3))
    errors = rollout_errors(roll, positions, np.array([0, 1, 2]), past=2, delta=1, steps=4)
    figures = rollout_figures(errors, size=1.0)
    assert figures["mse"] == [0, 0, None, None]
    assert figures["median"] == [0, 0, 0, None]
    np.testing.assert_allclose(figures["lost"], [0, 0, 1 / 3, 2 / 3])


def test_starts_leave_room_for_the_truth_within_their_run():
    lengths, window, steps, every = (20, 30), WindowConfig(3, 2), 4, np.arange(50)
    frames = Trajectory(np.zeros((50, 1, 1, 3)), np.ones((1, 1)), ("0",), 1.0, lengths=lengths)
    kept = rollout_starts(every, frames, window, steps, limit=100)
    span = (window.past - 1 + steps) * window.delta
    assert kept.tolist() == [*range(20 - span), *range(20, 50 - span)]
    assert rollout_starts(every, frames, window, steps, limit=4).tolist() == [0, 1, 2, 3]
    assert rollout_starts(every, frames, window, 50, limit=4).size == 0
    assert rollout_starts(every, frames, WindowConfig(3, 2, horizon=2), steps, limit=4).size == 0
    holes = dataclasses.replace(frames, missing=np.arange(50) == 27)
    # Frame 27 is met from 27, 25, …, 27 - span, whether as history or as truth.
    missed = set(kept) - set(rollout_starts(every, holes, window, steps, limit=100))
    assert missed == {27 - 2 * k for k in range(7)} & set(kept.tolist())
