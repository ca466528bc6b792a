"""What fitting a method leaves."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from estag_jax.data.task import Task
from estag_jax.models.base import Method, Predictor
from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.forecaster import Forecaster


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What fitting a method leaves.

    Args:
      label: the method's name in a table.
      method: its settings.
      task: what it was fitted to.
      predictors: one for each seed; a closed form has one.
      seeds: that were trained, empty for a closed form.
      best_epoch: of each seed [S].
      validation_mse: of each seed at that epoch [S]; infinite where it never was finite.
      epochs: that were run.
      log: one entry an evaluation.
      seconds: ``compile``, ``train`` with its evaluations, and ``step``, the mean of it for a step; of a
        closed form ``fit``.
      choice: what ``auto`` chose the method from: its name as ``method``, ``validation errors`` of all
        that were fitted, best first, and why others were ``left out``.
      tried: the fits that ``auto`` chose from.
      error_bars: of each predictor, for each system of the task; empty while training goes on.
    """

    label: str
    method: Method
    task: Task
    predictors: tuple[Predictor, ...]
    seeds: tuple[int, ...] = ()
    best_epoch: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, int))
    validation_mse: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    epochs: int = 0
    log: tuple[dict[str, Any], ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    choice: dict[str, Any] = dataclasses.field(default_factory=dict)
    tried: tuple[Fit, ...] = ()
    error_bars: tuple[tuple[ErrorBars | None, ...], ...] = ()

    def __repr__(self) -> str:
        return f"Fit({self.label}, {self.task})"

    @property
    def chosen(self) -> dict[str, Any]:
        """What was chosen from the data: by ``auto``, and by the fit."""
        return self.choice | self.predictor.chosen

    @property
    def best(self) -> int:
        """The number of the seed with the least validation error."""
        return int(np.argmin(self.validation_mse))

    @property
    def predictor(self) -> Predictor:
        """That of the best seed."""
        return self.predictors[self.best]

    @property
    def forecaster(self) -> Forecaster:
        """The predictor bound to the task's (first) system and window: predict, roll out, save."""
        trajectory = self.task.trajectories[0]
        bars = self.error_bars[self.best][0] if self.error_bars else None
        bound = Forecaster.bind(self.predictor, self.method, trajectory, self.task.window, bars)
        return dataclasses.replace(bound, choice=json.dumps(self.choice))
