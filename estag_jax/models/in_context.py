"""In-context autoregression: every window is forecast by weights that are fitted to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.models.linear import checked
from estag_jax.ops import linalg

STRENGTHS = np.append(10.0 ** np.arange(-9, 4.5, 0.5), np.inf)
"""λ relative to the mean of a window's Gram diagonal; at infinity all windows have the common weights."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class InContextPredictor(Predictor):
    """Autoregression of the velocities, its weights fitted in every window.

        v(t) = x(t) - x(t-1),   x* = x(T-1) + sum_k w_k v(T-k),   k = 1 … L
        min_w sum_{t,i,c} |v_ic(t) - sum_k w_k v_ic(t-k)|² + λ s |w - w0|²

    over the window's own frames, with s the mean of the Gram matrix's diagonal. All nodes and the three
    coordinates share w, so the forecast is exactly equivariant, to renaming too.

    Args:
      common: w0 [L], fitted to all training windows.
      strength: λ.
    """

    common: Array
    strength: Array

    @property
    def parameters(self) -> int:
        return np.size(self.common) + 1

    @property
    def chosen(self) -> dict[str, Any]:
        return {"strength": f"{float(self.strength):.3g}"}

    def predict(self, history: Array, inputs: Any = None) -> Array:
        del inputs
        (xp, einsum, _), history = linalg.backend_of(history)
        order = np.size(self.common)
        if history.ndim < 4 or history.shape[-3] <= order or history.shape[-1] != 3:
            raise ValueError(
                f"history has shape {history.shape}, expected [..., N, T, C, 3] with T > {order}"
            )
        common = xp.asarray(self.common, history.dtype)
        gram, moment, recent = normal_equations(xp, einsum, history, order)
        size = xp.trace(gram, axis1=-2, axis2=-1)[..., None, None] / order
        # A window in which nothing moves has no scale of its own; any weights forecast it.
        size = xp.where(size > 0, size, 1.0)
        # Divided by 1 + λ, so that λ may be infinite.
        strength = xp.asarray(self.strength, history.dtype)
        own = xp.where(xp.isinf(strength), 0.0, 1 / (1 + strength))
        damped = own * gram / size + (1 - own) * xp.eye(order, dtype=history.dtype)
        right = own * moment / size[..., 0] + (1 - own) * common
        weights = xp.linalg.solve(damped, right[..., None])[..., 0]
        return history[..., -1, :, :] + einsum("...l,...nlcx->...ncx", weights, recent)


@dataclasses.dataclass(frozen=True)
class InContextAr(ClosedForm):
    """Autoregression fitted in each window, drawn to common weights as far as validation windows ask.

    Takes any system, and several at once.

    Args:
      order: L; None takes two thirds of the T - 1 velocities.
    """

    predictor = InContextPredictor

    order: int | None = None

    def __post_init__(self):
        if self.order is not None and self.order < 1:
            raise ValueError(f"order is {self.order}, it must be at least 1")

    def refuse(self, task: Task) -> str | None:
        needed = 3 if self.order is None else self.order + 2
        if task.window.past < needed:
            return f"needs {needed} past frames, T is {task.window.past}"
        return None

    def fit(self, task: Task) -> InContextPredictor:
        if why := self.refuse(task):
            raise ValueError(f"in-context AR {why}")
        order = self.order or 2 * (task.window.past - 1) // 3
        parts = {
            part: [checked(w.history, w.target) for w in task.windows(part)]
            for part in ("train", "validation")
        }
        gram, moment = np.zeros((order, order)), np.zeros(order)
        for history, _ in parts["train"]:
            grams, moments, _ = normal_equations(np, np.einsum, history, order)
            gram, moment = gram + grams.sum(axis=0), moment + moments.sum(axis=0)
        size = np.trace(gram) / order or 1.0
        common = np.linalg.solve(gram + 1e-12 * size * np.eye(order), moment)

        def error(strength: float) -> float:
            predictor = InContextPredictor(common, np.float64(strength))
            squares = [np.square(predictor.predict(x) - y) for x, y in parts["validation"]]
            return sum(square.sum() for square in squares) / sum(s.size for s in squares)

        return InContextPredictor(common, np.float64(min(STRENGTHS, key=error)))


def normal_equations(
    xp: Any, einsum: Any, history: Array, order: int
) -> tuple[Array, Array, Array]:
    """Of a window's velocities on those before: G [..., L, L], b [..., L], and the last L [..., N, L, C, 3].

    The last ones come newest first, as the weights do.
    """
    velocities = history[..., 1:, :, :] - history[..., :-1, :, :]
    count = velocities.shape[-3]
    lagged = xp.stack(
        [velocities[..., order - k : count - k, :, :] for k in range(1, order + 1)], axis=-1
    )
    gram = einsum("...ntcxk,...ntcxl->...kl", lagged, lagged)
    moment = einsum("...ntcxk,...ntcx->...k", lagged, velocities[..., order:, :, :])
    return gram, moment, xp.flip(velocities[..., count - order :, :, :], axis=-3)
