"""VAR ridge: every point from the past of all points, by ridge regression."""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.task import Part, Task
from estag_jax.models.base import SPEED, Predictor
from estag_jax.models.linear import LinearForm, LinearPredictor, coupled_rows, fitting_windows
from estag_jax.ops.ridge import line_search, ridge_path

AFFORDABLE = 4 * 2**30
"""Bytes that a fit may take without being asked."""


@dataclasses.dataclass(frozen=True)
class VarRidge(LinearForm):
    """Vector autoregression with ridge (Hoerl and Kennard 1970); one system only.

    min_{W,V} |step - W differences - V centred last frame|² + λ (|W|² + |V|²), over windows and the
    three coordinates as rows. λ is the best of a logarithmic grid on the validation windows, widened
    while its best lies at an end, then refined once.
    """

    centred: bool = True
    """Fit V too, i.e. read where the points stand; False leaves it zero."""
    memory: int = AFFORDABLE
    """Bytes that the fit may take: it grows with the square of the number of nodes."""

    tied = True

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        points, rows = task.system.num_nodes * task.system.channels, 3 * task.count("train")
        features = points * task.window.past
        needed = 8 * (
            3 * features * points  # the weights, and what they are made of
            + 2 * (rows + 3 * task.count("validation")) * (features + points)
            + 3 * min(rows, features) ** 2
        )
        if needed > self.memory:
            return (
                f"would take {needed / 2**30:.1f} GiB for {task.system.num_nodes} nodes, more than the "
                f"{self.memory / 2**30:.1f} GiB allowed"
            )
        return None

    def seconds(self, task: Task) -> float:
        points, rows = task.system.num_nodes * task.system.channels, 3 * task.count("train")
        features = points * task.window.past
        rank = min(rows, features)
        solved = 2 * rows * features * rank + 10 * rank**3
        tried = 2 * rank * points * 3 * task.count("validation")
        return (solved + 30 * tried) / SPEED

    def fit(self, task: Task) -> Predictor:
        if why := self.refuse(task):
            raise ValueError(f"VAR ridge {why}")
        return self.solve(*(self.rows(task, part) for part in ("train", "validation")))

    def rows(self, task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """What a part's windows say of each coordinate: [W, 3, N*C, T] and steps [W, 3, N*C]."""
        past, future = fitting_windows(task, part)
        step = np.moveaxis(future - past[:, :, -1], -1, 1)
        return coupled_rows(np, past), step.reshape(*step.shape[:2], -1)

    def solve(self, *parts: tuple[np.ndarray, np.ndarray]) -> LinearPredictor:
        """The ridge regression on the training rows, λ by the validation rows."""

        def matrix_rows(x: np.ndarray) -> np.ndarray:
            return x.reshape(x.shape[0] * x.shape[1], -1)

        used = slice(None) if self.centred else slice(-1)
        (design, step), (val_design, val_step) = (
            (matrix_rows(x[..., used]), matrix_rows(y)) for x, y in parts
        )
        basis, coefficients = ridge_path(design, step)
        val_design = val_design @ basis

        def validation_error(exponent: float) -> float:
            return float(np.mean((val_design @ coefficients(10.0**exponent) - val_step) ** 2))

        ridge = 10.0 ** line_search(validation_error)
        points, past = parts[0][0].shape[-2:]
        matrix = (basis @ coefficients(ridge)).T
        weights = np.zeros((points, points, past))
        weights[..., used] = matrix.reshape(points, points, -1)
        return LinearPredictor(weights, np.float64(ridge), matrix.size)
