"""Closed-form predictors: what a learned model has to beat, exactly fitted in milliseconds.

Every predictor is linear in the past frames, with scalar weights that x, y and z share:

    x*_i = x_i(T-1) + sum_j sum_{t<T-1} W[i,j,t] (x_j(t) - x_j(T-1)) + sum_j V[i,j] (x_j(T-1) - o)

with o the centroid of the last frame, so each is exactly E(3)-equivariant; i and j run over nodes
and channels, and only VAR ridge has V. Fits are least squares in float64, differences included.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.ops.geometry import HIGHEST
from estag_jax.ops.ridge import line_search, ridge_path
from estag_jax.types import Array

PREDICTORS = (
    "First frame",
    "Middle frame",
    "Last frame",
    "Constant velocity",
    "Constant acceleration",
    "AR-LS",
    "AR-LS per node",
    "VAR ridge",
)
"""Names in the order of the tables."""


@dataclasses.dataclass(frozen=True, eq=False)
class LinearForecast:
    """A predictor of the next frame, linear in the past frames and exactly E(3)-equivariant.

    x*_i = x_i(T-1) + sum_j sum_{t<T-1} W[i,j,t] (x_j(t) - x_j(T-1)) + sum_j V[i,j] (x_j(T-1) - o).

    Args:
      name: its row in a table.
      weights: W as [T-1] (shared by all nodes) or [N, C, T-1] (per node and channel), without V; or
        coupled [N*C, N*C, T], node-major: W for t < T-1 and V at t = T-1 (zero: differences only).
      ridge: the chosen λ relative to the mean of the Gram matrix's diagonal; None if not ridge.
      parameters: how many numbers were fitted.
    """

    name: str
    weights: np.ndarray
    ridge: float | None = None
    parameters: int = 0

    def __call__(self, history: Array) -> Array:
        """The predicted frame; pure, for numpy (computed in float64) and under ``jax.jit``.

        Args:
          history: past frames [..., N, T, C, 3].

        Returns:
          [..., N, C, 3]; float64 from numpy input, at least float32 from a jax array.

        Raises:
          ValueError: the history has another T, N or C than the weights, or fewer than 4 axes.
        """
        if isinstance(history, jax.Array):
            # By default accelerators multiply in TF32 or bfloat16, coarser than the errors here.
            xp, options = jnp, {"precision": HIGHEST}
            history = history.astype(jnp.result_type(history.dtype, jnp.float32))
        else:
            xp, options = np, {"optimize": True}
            history = np.asarray(history, np.float64)
        if history.ndim < 4 or history.shape[-1] != 3:
            raise ValueError(f"history has shape {history.shape}, expected [..., N, T, C, 3]")
        nodes, frames, channels = history.shape[-4:-1]
        points, shape = nodes * channels, self.weights.shape
        weights = xp.asarray(self.weights, history.dtype)
        if shape == (frames - 1,):
            step = xp.einsum("t,...ntcx->...ncx", weights, _differences(history), **options)
        elif shape == (nodes, channels, frames - 1):
            step = xp.einsum("nct,...ntcx->...ncx", weights, _differences(history), **options)
        elif shape == (points, points, frames):
            rows = _coupled_rows(xp, history)
            step = xp.einsum("mpt,...xpt->...mx", weights, rows, **options)
            step = step.reshape(*history.shape[:-4], nodes, channels, 3)
        else:
            raise ValueError(f"{self.name}: weights {shape} do not fit history {history.shape}")
        return history[..., -1, :, :] + step


def first_frame(frames: int) -> LinearForecast:
    """x* = x(0) (PT-s of arXiv 2405.12868, table 1), of ``frames`` = T >= 1 past frames."""
    return _fixed("First frame", frames, 1, {0: 1.0})


def middle_frame(frames: int) -> LinearForecast:
    """x* = x((T-1)//2) (PT-m of arXiv 2405.12868, table 1: the fifth of ten), T >= 1."""
    return _fixed("Middle frame", frames, 1, {(frames - 1) // 2: 1.0})


def last_frame(frames: int) -> LinearForecast:
    """x* = x(T-1) (PT-t of arXiv 2405.12868, table 1), of ``frames`` = T >= 1 past frames."""
    return _fixed("Last frame", frames, 1, {})


def constant_velocity(frames: int, horizon: int = 1) -> LinearForecast:
    """x* = x(T-1) + h (x(T-1) - x(T-2)), the line through the last two of ``frames`` = T >= 2."""
    return _fixed("Constant velocity", frames, 2, {frames - 2: -float(horizon)})


def constant_acceleration(frames: int, horizon: int = 1) -> LinearForecast:
    """The parabola through the last three frames, T >= 3, at ``horizon`` = h steps after them.

    x* = x(T-1) + h d + h (h + 1) / 2 e, with d and e the last first and second differences
    (Newton's backward formula); h = 1: x* = 3 x(T-1) - 3 x(T-2) + x(T-3).
    """
    h = float(horizon)
    weights = {frames - 2: -h * (h + 2), frames - 3: h * (h + 1) / 2}
    return _fixed("Constant acceleration", frames, 3, weights)


def fit_ar(history: Array, target: Array) -> LinearForecast:
    """AR-LS: one weight per past frame, shared by all nodes, by least squares.

    min_w sum |x(T) - x(T-1) - sum_t w_t (x(t) - x(T-1))|², summed over windows, nodes, channels and
    coordinates: the pooling of ESTAG (arXiv 2405.12868, section 3.4) alone, at its optimum.

    Args:
      history: training windows [W, N, T, C, 3].
      target: their next frames [W, N, C, 3].

    Returns:
      A forecast with weights [T-1].

    Raises:
      ValueError: T < 2, no windows, shapes that do not match, or values that are not finite.
    """
    history, target = _checked(history, target)
    design = np.moveaxis(_differences(history), 2, -1).reshape(-1, history.shape[2] - 1)
    step = (target - history[:, :, -1]).reshape(-1)
    weights = np.linalg.lstsq(design, step, rcond=None)[0]
    return LinearForecast("AR-LS", weights, parameters=weights.size)


def fit_ar_per_node(history: Array, target: Array) -> LinearForecast:
    """AR-LS per node: ``fit_ar`` (same arguments and errors) for every node and channel by itself.

    Returns:
      A forecast with weights [N, C, T-1].
    """
    history, target = _checked(history, target)
    _, nodes, frames, channels, _ = history.shape
    designs = np.moveaxis(_differences(history), (1, 3, 0, 4, 2), range(5))  # N, C, W, 3, T-1
    designs = designs.reshape(nodes, channels, -1, frames - 1)
    steps = np.moveaxis(target - history[:, :, -1], 0, 2).reshape(nodes, channels, -1)
    weights = np.empty((nodes, channels, frames - 1))
    for i, c in np.ndindex(nodes, channels):
        weights[i, c] = np.linalg.lstsq(designs[i, c], steps[i, c], rcond=None)[0]
    return LinearForecast("AR-LS per node", weights, parameters=weights.size)


def fit_var_ridge(
    history: Array, target: Array, val_history: Array, val_target: Array, centred: bool = True
) -> LinearForecast:
    """VAR ridge: every point from the past of all points, by ridge regression.

    min_{W,V} |step - W differences - V centred last frame|² + λ (|W|² + |V|²), over windows and the
    three coordinates as rows (vector autoregression; ridge: Hoerl and Kennard 1970). λ is the best
    of a logarithmic grid on the validation windows, widened while its best lies at an end, then
    refined once. Tied to the identity of the nodes, so not transferable to another system.

    Args:
      history: training windows [W, N, T, C, 3].
      target: their next frames [W, N, C, 3].
      val_history: validation windows [W', N, T, C, 3], only to choose λ.
      val_target: their next frames [W', N, C, 3].
      centred: fit V too, i.e. read where the points stand; False leaves it zero (named so).

    Returns:
      A forecast with weights [N*C, N*C, T] and the chosen relative λ in ``ridge``.

    Raises:
      ValueError: T < 2, no windows, shapes that do not match, or values that are not finite.
    """
    history, target = _checked(history, target)
    val_history, val_target = _checked(val_history, val_target)
    if (shape := history.shape[1:]) != (other := val_history.shape[1:]):
        raise ValueError(f"training windows {shape} and validation windows {other} differ")
    name, used = ("VAR ridge", slice(None)) if centred else ("VAR ridge (differences)", slice(-1))

    def regression(past: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = _coupled_rows(np, past)[..., used]  # [W, 3, N*C, T or T-1]
        step = np.moveaxis(future - past[:, :, -1], -1, 1)
        return rows.reshape(len(past) * 3, -1), step.reshape(len(past) * 3, -1)

    basis, coefficients = ridge_path(*regression(history, target))
    val_design, val_step = regression(val_history, val_target)
    val_design = val_design @ basis

    def validation_error(exponent: float) -> float:
        return float(np.mean((val_design @ coefficients(10.0**exponent) - val_step) ** 2))

    ridge = 10.0 ** line_search(validation_error)
    points, frames = val_step.shape[1], history.shape[2]
    matrix = (basis @ coefficients(ridge)).T
    weights = np.zeros((points, points, frames))
    weights[..., used] = matrix.reshape(points, points, -1)
    return LinearForecast(name, weights, ridge, matrix.size)


def fit_all(
    train_history: Array,
    train_target: Array,
    val_history: Array,
    val_target: Array,
    horizon: int = 1,
) -> list[LinearForecast]:
    """All closed-form predictors in the order of the tables.

    Those of ``PREDICTORS``, without those that need more past frames than the windows have. Arguments
    and errors are those of ``fit_var_ridge``; the others do not read the validation windows.
    ``horizon`` is the windows' own, which the extrapolations need to know.

    Returns:
      Up to eight forecasts.
    """
    frames, train = np.shape(train_history)[2], (train_history, train_target)
    forecasts = [make(frames) for make in (first_frame, middle_frame, last_frame)]
    if frames >= 2:
        forecasts.append(constant_velocity(frames, horizon))
    if frames >= 3:
        forecasts.append(constant_acceleration(frames, horizon))
    if frames < 2:
        return forecasts
    ridge = fit_var_ridge(*train, val_history, val_target)
    return [*forecasts, fit_ar(*train), fit_ar_per_node(*train), ridge]


def _differences(history: Any) -> Any:
    """x(t) - x(T-1) for t < T-1: [..., N, T-1, C, 3]."""
    return history[..., :-1, :, :] - history[..., -1:, :, :]


def _coupled_rows(xp: Any, history: Any) -> Any:
    """What a coupled forecast reads [..., 3, N*C, T]: the differences, then x(T-1) - centroid."""
    last = history[..., -1:, :, :]
    centred = last - last.mean((-4, -2), keepdims=True)
    rows = xp.concatenate([_differences(history), centred], axis=-3)
    rows = xp.moveaxis(rows, (-1, -4, -2, -3), (-4, -3, -2, -1))
    return rows.reshape(*rows.shape[:-3], rows.shape[-3] * rows.shape[-2], rows.shape[-1])


def _checked(history: Array, target: Array) -> tuple[np.ndarray, np.ndarray]:
    history, target = np.asarray(history, np.float64), np.asarray(target, np.float64)
    if history.ndim != 5 or history.shape[-1] != 3:
        raise ValueError(f"history has shape {history.shape}, expected [W, N, T, C, 3]")
    expected = (*history.shape[:2], *history.shape[3:])
    if target.shape != expected:
        raise ValueError(f"target has shape {target.shape}, expected {expected}")
    if history.shape[0] < 1 or history.shape[2] < 2:
        raise ValueError(f"a fit needs windows of at least 2 past frames, got {history.shape}")
    if not (np.isfinite(history).all() and np.isfinite(target).all()):
        raise ValueError("history or target holds values that are not finite")
    return history, target


def _fixed(name: str, frames: int, needed: int, weights: dict[int, float]) -> LinearForecast:
    if frames < needed:
        raise ValueError(f"{name} needs at least {needed} past frames, got T={frames}")
    vector = np.zeros(frames)
    vector[list(weights)] = list(weights.values())
    # The last entry would multiply x(T-1) - x(T-1), so it is not a weight.
    return LinearForecast(name, vector[:-1])
