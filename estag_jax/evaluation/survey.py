"""Test windows one by one: which are the worst, what the error bars hold there, and what followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import gather
from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.evaluation.predictions import inputs_of_windows, predictions
from estag_jax.evaluation.rollout import roll, rollout_starts
from estag_jax.models.base import Predictor
from estag_jax.models.error_bars import PERCENTS, ErrorBars
from estag_jax.ops.error_bars import log_likelihood


class Survey(NamedTuple):
    """The test windows of a predictor.

    Args:
      which: number of the trajectory of each window [W].
      starts: its first frame [W].
      errors: its mean squared error at the first horizon [W].
      shares: of all points whose truth is inside the error bars' regions of 1, 2 … 99 % [99]; None
        where a system has no error bars.
    """

    which: np.ndarray
    starts: np.ndarray
    errors: np.ndarray
    shares: np.ndarray | None

    def worst(self, count: int) -> np.ndarray:
        """The windows with the largest errors, the largest first."""
        return np.argsort(-np.nan_to_num(self.errors, nan=np.inf), kind="stable")[:count]


def survey(
    predictor: Predictor, bars: Sequence[ErrorBars | None] | None, task: Task, numbers: int = 16
) -> Survey:
    """One pass over the test windows.

    Args:
      predictor: of one seed.
      bars: for each system, or None.
      task: the windows.
      numbers: models.memory.edge_numbers of the method, for the size of the batches.
    """
    which, starts, errors, inside, points = [], [], [], np.zeros(len(PERCENTS)), 0
    known = bars is not None and all(one is not None for one in bars)
    for windows, frames in predictions(predictor, task, "test", numbers=numbers):
        forecast, target = np.asarray(frames[:, 0]), windows.target[:, 0]
        which.append(np.full(len(target), windows.which))
        starts.append(windows.starts)
        with np.errstate(over="ignore", invalid="ignore"):
            errors.append(per_window_mse(forecast, target))
        if known:
            own = bars[windows.which]
            found = own.distribution(np.asarray(windows.history, np.float64), forecast)
            distance, _ = log_likelihood(
                np.asarray(target, np.float64) - found.mean,
                np.asarray(found.covariance, np.float64),
            )
            inside += np.searchsorted(np.sort(distance.ravel()), own.quantiles, side="right")
            points += distance.size
    listed = (np.concatenate(each) for each in (which, starts, errors))
    return Survey(*listed, inside / points if known else None)


def followed(
    predictor: Predictor, task: Task, which: int, start: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The last frame of a window and what followed it: in truth, and by repeated forecasts.

    Args:
      predictor: of one seed.
      task: the windows.
      which: number of the trajectory.
      start: first frame of the window.
      steps: frames to forecast, if the truth goes so far; with a horizon of more than one step, the
        one at the horizon.

    Returns:
      Truth and forecast [S + 1, N, C, 3], of which frame 0 is the same.
    """
    trajectory, window = task.trajectories[which], task.window
    first = np.array([start])
    while steps > 1 and not len(rollout_starts(first, trajectory, window, steps, 1)):
        steps -= 1
    history, target = gather(trajectory.positions, first, window)
    inputs = inputs_of_windows(predictor, task, which, first)
    forecast = roll(predictor, history, inputs, steps)[:, 0]
    if steps > 1:
        longer = dataclasses.replace(window, horizons=tuple(range(1, steps + 1)))
        target = gather(trajectory.positions, first, longer)[1]
    last = history[0, :, -1][None]
    truth = target[0, :steps]
    return np.concatenate([last, truth]), np.concatenate([last, np.asarray(forecast)])
