"""The predictor of all closed forms that are linear in the past frames.

    x*_i = x_i(T-1) + sum_j sum_{t<T-1} W[i,j,t] (x_j(t) - x_j(T-1)) + sum_j V[i,j] (x_j(T-1) - o)

with scalar weights that x, y and z share and o the centroid of the last frame, so it is exactly
E(3)-equivariant; i and j run over nodes and channels.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Part, Task
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.ops import linalg


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LinearPredictor(Predictor):
    """A forecast that is linear in the past frames.

    Args:
      weights: W as [T-1] (shared by all nodes) or [N, C, T-1] (per node and channel), without V; or
        coupled [N*C, N*C, T], node-major: W for t < T-1 and V at t = T-1 (zero: differences only).
      ridge: the chosen λ relative to the mean of the Gram matrix's diagonal; 0 where there is none.
      fitted: how many numbers were fitted.
    """

    weights: Array
    ridge: Array = dataclasses.field(default_factory=lambda: np.float64(0))
    fitted: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def parameters(self) -> int:
        return self.fitted

    @property
    def chosen(self) -> dict[str, Any]:
        return {"ridge": float(self.ridge)} if np.any(self.ridge) else {}

    def predict(self, history: Array, inputs: Any = None) -> Array:
        del inputs
        (xp, einsum, matmul), history = linalg.backend_of(history)
        if history.ndim < 4 or history.shape[-1] != 3:
            raise ValueError(f"history has shape {history.shape}, expected [..., N, T, C, 3]")
        nodes, frames, channels = history.shape[-4:-1]
        points, shape = nodes * channels, np.shape(self.weights)
        weights = xp.asarray(self.weights, history.dtype)
        if shape == (frames - 1,):
            step = einsum("t,...ntcx->...ncx", weights, differences(history))
        elif shape == (nodes, channels, frames - 1):
            step = einsum("nct,...ntcx->...ncx", weights, differences(history))
        elif shape == (points, points, frames):
            rows = coupled_rows(xp, history)
            rows = rows.reshape(*rows.shape[:-2], points * frames)
            step = xp.moveaxis(matmul(rows, weights.reshape(points, -1).T), -1, -2)
            step = step.reshape(*history.shape[:-4], nodes, channels, 3)
        else:
            raise ValueError(f"weights {shape} do not fit history {history.shape}")
        return history[..., -1, :, :] + step

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> LinearPredictor:
        del method
        return cls(arrays["weights"], arrays["ridge"], int(arrays["fitted"]))


class LinearForm(ClosedForm):
    """A closed form whose predictor is linear in the past frames."""

    predictor = LinearPredictor
    needs = 2


def differences(history: Any) -> Any:
    """x(t) - x(T-1) for t < T-1: [..., N, T-1, C, 3]."""
    return history[..., :-1, :, :] - history[..., -1:, :, :]


def least_squares(history: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The weights of AR-LS [T-1] for windows [W, N, T, C, 3] in memory and targets [W, N, C, 3]."""
    rows = np.moveaxis(differences(history), 2, -1).reshape(-1, history.shape[2] - 1)
    return np.linalg.lstsq(rows, (target - history[:, :, -1]).reshape(-1), rcond=None)[0]


def coupled_rows(xp: Any, history: Any) -> Any:
    """What a coupled forecast reads [..., 3, N*C, T]: the differences, then x(T-1) - centroid."""
    last = history[..., -1:, :, :]
    centred = last - last.mean((-4, -2), keepdims=True)
    rows = xp.concatenate([differences(history), centred], axis=-3)
    rows = xp.moveaxis(rows, (-1, -4, -2, -3), (-4, -3, -2, -1))
    return rows.reshape(*rows.shape[:-3], rows.shape[-3] * rows.shape[-2], rows.shape[-1])


def checked(history: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Windows as float64, if they can be fitted.

    Args:
      history: [W, N, T, C, 3].
      target: [W, P, N, C, 3], of which the first horizon is fitted.

    Returns:
      history and target [W, N, C, 3].

    Raises:
      ValueError: T < 2, no windows, or values that are not finite.
    """
    history, target = np.asarray(history, np.float64), np.asarray(target[:, 0], np.float64)
    if history.shape[0] < 1 or history.shape[2] < 2:
        raise ValueError(f"a fit needs windows of at least 2 past frames, got {history.shape}")
    if not (np.isfinite(history).all() and np.isfinite(target).all()):
        raise ValueError("history or target holds values that are not finite")
    return history, target


def fitting_windows(task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """History and target of a part, as float64."""
    (windows,) = task.windows(part)
    return checked(windows.history, windows.target)


def fitting_vectors(task: Task, part: Part) -> dict[str, np.ndarray]:
    """External vectors of the windows of a part, by name [1 or W, 3], in the order of fitting_windows."""
    (trajectory,), (drawn,) = task.trajectories, task.splits
    return trajectory.vectors_at(getattr(drawn, part) + task.window.last)
