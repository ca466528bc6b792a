"""Forecasts of many frames: a model fed with its own predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import WindowConfig, known
from estag_jax.types import Array

Predict = Callable[[jax.Array], jax.Array]
"""From a history [..., N, T, C, 3] to the next frame [..., N, C, 3]."""


def rollout(predict: Predict, history: jax.Array, steps: int) -> jax.Array:
    """Predicts ``steps`` frames, each from the T frames before it, in one lax.scan.

    Pure: may be jitted, differentiated and vmapped.

    Args:
      predict: one-step forecaster.
      history: past frames [..., N, T, C, 3].
      steps: how many frames to predict.

    Returns:
      [steps, ..., N, C, 3].
    """

    def step(history, _):
        frame = predict(history)
        return jnp.concatenate([history[..., 1:, :, :], frame[..., None, :, :]], axis=-3), frame

    return jax.lax.scan(step, history, length=steps)[1]


def rollout_eager(predict: Callable[[np.ndarray], np.ndarray], history: np.ndarray, steps: int):
    """:func:`rollout` as a plain loop, for predictors on numpy arrays: nothing is compiled."""
    frames = []
    for _ in range(steps):
        frames.append(predict(history))
        history = np.concatenate([history[..., 1:, :, :], frames[-1][..., None, :, :]], axis=-3)
    return np.stack(frames)


def rollout_errors(
    roll: Callable[[np.ndarray, int], Array],
    positions: np.ndarray,
    starts: np.ndarray,
    past: int,
    delta: int,
    steps: int,
) -> np.ndarray:
    """Squared error at each step of each rollout.

    Args:
      roll: from histories [W, N, T, C, 3] and a number of steps to forecasts [steps, W, N, C, 3].
      positions: true frames [frames, N, C, 3].
      starts: first history frame of each rollout [W]; start + (past - 1 + steps) * delta must exist.
      past: T.
      delta: trajectory steps between frames.
      steps: S.

    Returns:
      [S, W], mean over nodes, channels and the 3 coordinates, float64; infinite where a forecast is
      not finite.
    """
    frames = positions[np.asarray(starts)[:, None] + delta * np.arange(past + steps)]
    predicted = np.asarray(roll(np.moveaxis(frames[:, :past], 1, 2), steps), np.float64)
    truth = np.moveaxis(frames[:, past:], 1, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.mean((predicted - truth) ** 2, axis=(2, 3, 4))
    return np.where(np.isfinite(errors), errors, np.inf)


def rollout_figures(errors: np.ndarray, size: float) -> dict[str, Any]:
    """What is said of a predictor's rollouts.

    One rollout that runs away makes the mean over all of them meaningless, so the median is given
    too, and how many ran away.

    Args:
      errors: [S, W] from :func:`rollout_errors`.
      size: mean squared coordinate of the nodes about their centroid; a rollout whose error is larger
        is lost: it places the nodes worse than putting all of them at the centroid would.

    Returns:
      ``mse`` and ``median`` [S], None where infinite (JSON has no infinity), and ``lost`` [S], the
      share of rollouts that are lost.
    """

    def listed(values):
        return [float(v) if np.isfinite(v) else None for v in values]

    return {
        "mse": listed(errors.mean(axis=1)),
        "median": listed(np.median(errors, axis=1)),
        "lost": np.mean(errors > size, axis=1).tolist(),
    }


def rollout_starts(
    starts: np.ndarray, trajectory: Trajectory, window: WindowConfig, steps: int, limit: int
) -> np.ndarray:
    """Those of the given starts from which ``steps`` frames can be compared with the truth.

    Args:
      starts: first frames of windows [W].
      trajectory: a rollout must not leave its run nor meet a missing frame.
      window: the shape of a window; with a horizon of more than one step, a forecast is not the next
        frame and there are no rollouts.
      steps: frames to predict.
      limit: the first so many are taken.

    Returns:
      At most ``limit`` starts, possibly none.
    """
    if window.horizon != 1:
        return starts[:0]
    longer = dataclasses.replace(window, horizon=steps)
    ends = np.cumsum(trajectory.lengths)
    end_of_run = ends[np.searchsorted(ends, starts, side="right")]
    starts = starts[starts + longer.span < end_of_run]
    every = dataclasses.replace(
        window, past=window.past + steps - 1
    )  # all frames, not just the last
    return known(starts, every, trajectory.missing)[:limit]
