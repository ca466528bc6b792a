"""Errors of repeated forecasts: predictors fed with their own forecasts, beside the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import gather, known
from estag_jax.evaluation.predictions import batch_width, inputs_of_windows
from estag_jax.models.base import Predictor
from estag_jax.models.compiled import path
from estag_jax.models.error_bars import ErrorBars


def rollout_errors(
    predictor: Predictor, task: Task, steps: int = 20, limit: int = 200, numbers: int = 16
) -> np.ndarray:
    """Squared error at each step of rollouts from the first test windows.

    External vectors that change keep the value that they have in the last frame of the history.

    Args:
      predictor: of one seed.
      task: with a horizon of one step; otherwise, and where no test window has so many frames behind
        it, there are no rollouts.
      steps: S, frames to predict.
      limit: the most rollouts.
      numbers: models.memory.edge_numbers of the method, for the size of the batches.

    Returns:
      [S, W], mean over nodes, channels and the 3 coordinates, float64; infinite where a forecast is
      not finite.
    """
    errors = [np.empty((steps, 0))]
    width = batch_width(task, numbers)
    for which, starts in _starts(task, steps, limit):
        trajectory = task.trajectories[which]
        longer = dataclasses.replace(task.window, past=task.window.past + steps - 1, horizons=(1,))
        for begin in range(0, len(starts), width):
            chosen = starts[begin : begin + width]
            inputs = inputs_of_windows(predictor, task, which, chosen)
            frames, last = gather(trajectory.positions, chosen, longer)
            frames = np.concatenate([frames, np.moveaxis(last, 1, 2)], axis=2)
            history, truth = frames[:, :, : task.window.past], frames[:, :, task.window.past :]
            predicted = np.asarray(roll(predictor, history, inputs, steps), np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                error = (predicted - np.moveaxis(truth, 2, 0)) ** 2
                errors.append(error.mean(axis=(2, 3, 4)))
    found = np.concatenate(errors, axis=1)
    return np.where(np.isfinite(found), found, np.inf)


def roll(predictor: Predictor, history: np.ndarray, inputs: Any, steps: int) -> np.ndarray:
    """The next frames [steps, B, N, C, 3] after histories [B, N, T, C, 3], compiled where it pays."""
    return _roll(predictor, history, inputs, steps, None, None)


def roll_samples(
    predictor: Predictor,
    bars: ErrorBars,
    history: np.ndarray,
    inputs: Any,
    steps: int,
    samples: int,
    seed: int = 0,
    vectors: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Paths [1 + K, steps, B, N, C, 3] whose every forecast has an error drawn from its error bars.

    The first path is the one without errors.

    Args:
      predictor: of one seed.
      bars: its error bars on the system.
      history: [B, N, T, C, 3].
      inputs: of the system.
      steps: frames to predict.
      samples: K.
      seed: of the errors.
      vectors: external vectors of the windows by name, [1, 3] or [B, 3]; else the system's.
    """
    copied = {n: v if len(v) == 1 else np.tile(v, (samples + 1, 1)) for n, v in vectors.items()}
    inputs = predictor.with_vectors(inputs, copied)
    several = np.concatenate([history] * (samples + 1))
    shape = (steps, *several.shape[:2], several.shape[3], 6)
    noise = np.random.default_rng(seed).standard_normal(shape).astype(several.dtype)
    noise[:, : len(history)] = 0.0
    frames = _roll(predictor, several, inputs, steps, bars, noise)
    paths = frames.reshape(steps, samples + 1, len(history), *frames.shape[2:])
    return np.swapaxes(paths, 0, 1)


def _roll(predictor, history, inputs, steps, bars, noise) -> np.ndarray:
    if predictor.compiled:
        arrays = jax.tree.map(jnp.asarray, (history, inputs, bars, noise))
        return np.asarray(_compiled(predictor.hastened(), *arrays, steps))
    # One that diverges may leave the numbers that can be represented; its error is infinite then.
    with np.errstate(over="ignore", invalid="ignore"):
        return path(predictor, np.asarray(history, np.float64), inputs, bars, noise, steps)


_compiled = partial(jax.jit, static_argnames="steps")(path)


def expected_errors(
    predictor: Predictor,
    bars: Sequence[ErrorBars | None],
    task: Task,
    steps: int,
    samples: int = 10,
    starts: int = 10,
) -> np.ndarray | None:
    """The squared errors of rollouts that error bars expect: of samples from the path without errors.

    Args:
      predictor: of one seed.
      bars: for each system.
      task: as for :func:`rollout_errors`.
      steps: S, frames to predict.
      samples: paths from each start.
      starts: how many starts of the first system that has any.

    Returns:
      [S, samples * starts], infinite where a path is not finite; None where there are no rollouts.
    """
    for which, found in _starts(task, steps, starts):
        own, trajectory = bars[which], task.trajectories[which]
        if own is None:
            continue
        history, _ = gather(trajectory.positions, found, task.window)
        inputs = predictor.inputs(trajectory.system)
        vectors = trajectory.vectors_at(found + task.window.last)
        with np.errstate(over="ignore", invalid="ignore"):
            paths = roll_samples(predictor, own, history, inputs, steps, samples, vectors=vectors)
            square = ((paths[1:] - paths[0]) ** 2).mean((3, 4, 5))  # [K, S, B]
        square = np.swapaxes(square, 0, 1).reshape(steps, -1)
        return np.where(np.isfinite(square), square, np.inf)
    return None


def _starts(task: Task, steps: int, limit: int) -> Iterator[tuple[int, np.ndarray]]:
    for which, (trajectory, drawn) in enumerate(zip(task.trajectories, task.splits, strict=True)):
        starts = rollout_starts(drawn.test, trajectory, task.window, steps, limit)
        limit -= len(starts)
        if len(starts):
            yield which, starts


def rollout_figures(errors: np.ndarray, size: float) -> dict[str, Any]:
    """What is said of a predictor's rollouts.

    One rollout that diverges makes the mean over all of them meaningless, so the median is given
    too, and the share that diverged.

    Args:
      errors: [S, W] from :func:`rollout_errors`.
      size: mean squared coordinate of the nodes about their centroid; a rollout whose error is larger
        has diverged: it places the nodes worse than putting all of them at the centroid would.

    Returns:
      ``mse`` and ``median`` [S], None where infinite (JSON has no infinity), and ``diverged`` [S], the
      share of rollouts that diverged.
    """
    return {
        "mse": finite_list(errors.mean(axis=1)),
        "median": finite_list(np.median(errors, axis=1)),
        "diverged": np.mean(errors > size, axis=1).tolist(),
    }


def finite_list(values: np.ndarray) -> list[float | None]:
    """For JSON, which has no infinity: None in its place."""
    return [float(v) if np.isfinite(v) else None for v in values]


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
    if window.horizons[0] != 1:
        return starts[:0]
    every = dataclasses.replace(window, past=window.past + steps - 1, horizons=(1,))
    ends = np.cumsum(trajectory.lengths)
    end_of_run = ends[np.searchsorted(ends, starts, side="right")]
    starts = starts[starts + every.span < end_of_run]
    return known(starts, every, trajectory.missing)[:limit]
