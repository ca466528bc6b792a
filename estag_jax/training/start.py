"""Training from a closed form: the network learns what forecasts leave that have not seen the window."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from estag_jax.data.splits import Split
from estag_jax.data.task import Part, Task
from estag_jax.evaluation.predictions import predictions
from estag_jax.io import reporting_as
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.models.started import Started, StartedPredictor
from estag_jax.training.fitted import Fit
from estag_jax.training.loop import Loop

FOLDS = 5
"""Blocks of time, each forecast by a fit without it."""


class StartedLoop(Loop):
    """The loop on what a closed form leaves; its snapshots hold both.

    Arguments are those of Loop, and ``start``, the closed form.
    """

    def __init__(self, label: str, method: Any, task: Task, *others: Any, start: ClosedForm):
        began = time.perf_counter()
        self.whole, self.start = task, start
        with reporting_as(f"{label}: start"):
            self.fitted = start.fit(task)
            left = remaining(task, start, self.fitted)
        spent = time.perf_counter() - began
        super().__init__(label, method, left, *others)
        self.seconds["start"] = spent

    def snapshot(self) -> Fit:
        """The best so far, with the closed form that is fitted to all training windows."""
        found = super().snapshot()
        return dataclasses.replace(
            found,
            task=self.whole,
            method=Started(self.method, self.start),
            predictors=tuple(StartedPredictor(one, self.fitted) for one in found.predictors),
        )


def starting_method(name: str, task: Task, label: str) -> ClosedForm:
    """The closed form that a network starts from; asked before anything is compiled.

    Raises:
      ValueError: it cannot be fitted to the task, or the task has several horizons.
    """
    method = catalog.settings(name, task)
    if why := method.refuse(task):
        raise ValueError(f"{label} cannot start from {name}: it {why}")
    if len(task.window.horizons) > 1:
        raise ValueError(
            f"{label} cannot start from {name} with several horizons {task.window.horizons}; give one"
        )
    return method


def remaining(task: Task, method: ClosedForm, fitted: Predictor) -> Task:
    """The task of what a closed form leaves: targets x(T-1) + x - f(x).

    A training window is forecast by a fit without its block of time and without windows that share a
    frame with the block, so that a network sees errors as large as those on new windows. Validation
    windows are forecast by the fit to all training windows: the errors of a network there are those of
    the final forecaster. Test windows are not read; the validation windows stand in for them.

    Args:
      task: with one horizon.
      method: the closed form.
      fitted: its fit to the task.
    """
    train = _left(task, "train", _cross_fitted(task, method))
    validation = _left(task, "validation", predictions(fitted, task, "validation"))
    tasks = [
        Task.from_windows(system, train=seen, validation=held_out, test=held_out)
        for system, seen, held_out in zip(task.systems, train, validation, strict=True)
    ]
    trajectories, drawn = zip(*((t.trajectories[0], t.splits[0]) for t in tasks), strict=True)
    return Task(trajectories, tasks[0].window, drawn)


def folds(starts: np.ndarray, span: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of the windows of each block of time, and of those that share no frame with the block.

    Args:
      starts: first frames of windows [W].
      span: frames from the first of a window to its last.
    """
    for held in np.array_split(np.argsort(starts, kind="stable"), FOLDS):
        low, high = (starts[held[0]], starts[held[-1]]) if len(held) else (np.inf, -np.inf)
        yield held, np.flatnonzero((starts < low - span) | (starts > high + span))


def _cross_fitted(task: Task, method: ClosedForm) -> Iterator[Any]:
    """Forecasts of all training windows by fits that have not seen them."""
    parts = [list(folds(split.train, task.window.span)) for split in task.splits]
    for blocks in zip(*parts, strict=True):
        drawn = []
        for split, (held, apart) in zip(task.splits, blocks, strict=True):
            if not len(apart):
                raise ValueError(
                    f"a network starts from forecasts of {FOLDS} blocks of time, but every training "
                    f"window shares a frame with the same block; lower past or delta, or leave out start"
                )
            drawn.append(Split(split.train[apart], split.validation, split.train[held], "given"))
        fold = Task(task.trajectories, task.window, drawn)
        yield from predictions(method.fit(fold), fold, "test")


def _left(task: Task, part: Part, forecasts: Iterator[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each system the histories of a part and x(T-1) + x - f(x), in the order of their draw."""
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in task.systems]
    for windows, frames in forecasts:
        last = windows.history[:, :, -1]
        targets = (last + (windows.target[:, 0] - frames[:, 0])).astype(task.dtype)
        pairs = zip(windows.history, targets, strict=True)
        found[windows.which].update(zip(windows.starts.tolist(), pairs, strict=True))
    parts = []
    for known, split in zip(found, task.splits, strict=True):
        pairs = [known[start] for start in getattr(split, part).tolist()]
        history, target = zip(*pairs, strict=True)
        parts.append((np.stack(history), np.stack(target)))
    return parts
