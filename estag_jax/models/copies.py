"""Predictors without a fit: a frame of the past, or the line or parabola through the last ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.task import Task
from estag_jax.models.linear import LinearForm, LinearPredictor


class _Fixed(LinearForm):
    """Weights that follow from T and the horizon alone."""

    needs = 1

    def fit(self, task: Task) -> LinearPredictor:
        if why := self.refuse(task):
            raise ValueError(f"{type(self).__name__} {why}")
        vector = np.zeros(task.window.past)
        weights = self.weights(task.window.past, float(task.window.horizons[0]))
        vector[list(weights)] = list(weights.values())
        # The last entry would multiply x(T-1) - x(T-1), so it is not a weight.
        return LinearPredictor(vector[:-1])

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        """Weights by frame; of x(t) - x(T-1)."""
        raise TypeError(f"{type(self).__name__} does not define weights()")


@dataclasses.dataclass(frozen=True)
class FirstFrame(_Fixed):
    """x* = x(0) (PT-s of arXiv 2405.12868, table 1)."""

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        return {0: 1.0}


@dataclasses.dataclass(frozen=True)
class MiddleFrame(_Fixed):
    """x* = x((T-1)//2) (PT-m of arXiv 2405.12868, table 1: the fifth of ten)."""

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        return {(past - 1) // 2: 1.0}


@dataclasses.dataclass(frozen=True)
class LastFrame(_Fixed):
    """x* = x(T-1) (PT-t of arXiv 2405.12868, table 1)."""

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        return {}


@dataclasses.dataclass(frozen=True)
class ConstantVelocity(_Fixed):
    """x* = x(T-1) + h (x(T-1) - x(T-2)), the line through the last two frames, h steps after them."""

    needs = 2

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        return {past - 2: -horizon}


@dataclasses.dataclass(frozen=True)
class ConstantAcceleration(_Fixed):
    """The parabola through the last three frames, h steps after them.

    x* = x(T-1) + h d + h (h + 1) / 2 e, with d and e the last first and second differences
    (Newton's backward formula); h = 1: x* = 3 x(T-1) - 3 x(T-2) + x(T-3).
    """

    needs = 3

    def weights(self, past: int, horizon: float) -> dict[int, float]:
        return {past - 2: -horizon * (horizon + 2), past - 3: horizon * (horizon + 1) / 2}
