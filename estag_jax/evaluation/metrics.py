"""Errors of predicted frames, for numpy and jax arrays alike.

numpy input is reduced in float64, whatever its type; jax input stays on its device and in its type,
so that the same functions serve as training loss under ``jax.jit`` and ``jax.grad``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.models.error_bars import Distribution
from estag_jax.ops import linalg
from estag_jax.ops.error_bars import log_likelihood


def mse(prediction: Array, target: Array) -> Array:
    """Mean of (x* - x)² over windows, nodes, channels and the 3 coordinates.

    (The loss of arXiv 2405.12868, and the figure in its tables.)

    Args:
      prediction: [W, N, C, 3].
      target: [W, N, C, 3].

    Returns:
      A scalar, in squared length units.

    Raises:
      ValueError: the shapes differ or are not of that form.

    Example:
      >>> float(mse(np.zeros((5, 2, 1, 3)), np.full((5, 2, 1, 3), 0.5)))
      0.25
    """
    return per_window_mse(prediction, target).mean()


def per_window_mse(prediction: Array, target: Array, mask: Array | None = None) -> Array:
    """Mean of (x* - x)² over nodes, channels and the 3 coordinates, of every window.

    Args:
      prediction: [W, N, C, 3].
      target: [W, N, C, 3].
      mask: which nodes are real [1 or W, N]; None for all.

    Returns:
      [W]; its mean is ``mse``, for all windows count the same.

    Raises:
      ValueError: the shapes differ or are not of that form.
    """
    if prediction.shape != target.shape or prediction.ndim != 4 or prediction.shape[-1] != 3:
        # Shapes that merely broadcast would silently give a wrong figure.
        raise ValueError(
            f"prediction {prediction.shape} and target {target.shape} must both be [W, N, C, 3]"
        )
    square = (_float(prediction) - _float(target)) ** 2
    if mask is None:
        return square.mean((1, 2, 3))
    return square.mean((1, 2, 3), where=mask[..., None, None])


def per_window_rmsd(prediction: Array, target: Array, mask: Array | None = None) -> Array:
    """sqrt(mean over nodes and channels of |x* - x|²), a length: sqrt(3 MSE), of every window.

    Frames are compared as they lie, without superposition, because the prediction has to be right
    about translation and rotation as well. Arguments and errors are those of ``per_window_mse``.

    Returns:
      [W], in length units.
    """
    return (3 * per_window_mse(prediction, target, mask)) ** 0.5


def per_window_aligned_mse(prediction: Array, target: Array, mask: Array | None = None) -> Array:
    """The mean squared error after the rotation and the shift that make it least, of every window.

    With p and x about their centroids and U S V^T = sum_i p_i x_i^T, p R for R = U diag(1, 1, ±1) V^T with
    det R = 1 (W. Kabsch, Acta Cryst. A32, 1976): what is left when the motion of the whole body is taken
    out of the error. Arguments and errors are those of ``per_window_mse``.

    Returns:
      [W], in squared length units.
    """
    per_window_mse(prediction, target, mask)  # refuses shapes
    backend, _ = linalg.backend_of(prediction)
    xp, _, matmul = backend
    where = True if mask is None else mask[..., None, None]
    about = []
    for frames in (_float(prediction), _float(target)):
        centred = frames - frames.mean((1, 2), keepdims=True, where=where)
        points = xp.where(where, centred, 0.0)
        about.append(points.reshape(len(points), -1, 3))
    one, other = about
    turned = matmul(one, linalg.nearest_rotation(backend, matmul(xp.swapaxes(one, 1, 2), other)))
    return per_window_mse(turned.reshape(prediction.shape), other.reshape(target.shape), mask)


METRICS: dict[str, Callable[..., Array]] = {
    "mse": per_window_mse,
    "rmsd": per_window_rmsd,
    "aligned_mse": per_window_aligned_mse,
}
"""By name: from prediction and target [W, N, C, 3] to one number a window [W]."""


def per_window_calibration(distribution: Distribution, target: np.ndarray) -> dict[str, np.ndarray]:
    """How error bars fare against the truth, of every window.

    Args:
      distribution: of each point, mean [W, N, C, 3] and covariance [W, N, C, 3, 3].
      target: [W, N, C, 3].

    Returns:
      By name [W]: ``covers_90``, the share of points whose truth is in the region of 90 %; ``nats``, the
      mean log density of the truth for a coordinate, of lengths in the data's unit; ``error_bar``, the
      root mean square of the standard deviations, a length.
    """
    mean, covariance = (np.asarray(a, np.float64) for a in distribution[:2])
    distance, density = log_likelihood(np.asarray(target, np.float64) - mean, covariance)
    variance = np.trace(covariance, axis1=-2, axis2=-1) / 3
    return {
        "covers_90": (distance <= np.float64(distribution.radius) ** 2).mean((1, 2)),
        "nats": density.mean((1, 2)),
        "error_bar": np.sqrt(variance.mean((1, 2))),
    }


def standard_error(values: Array) -> Array:
    """Standard error of the mean over windows, s / sqrt(W) with s² = sum (v - mean)² / (W - 1).

    Windows of one trajectory that overlap are not independent; then this is a lower bound.

    Args:
      values: one figure a window [W].

    Returns:
      A scalar.

    Raises:
      ValueError: fewer than 2 windows.
    """
    values = _float(values)
    if values.ndim != 1 or values.shape[0] < 2:
        raise ValueError(f"a standard error needs [W] with W >= 2, got shape {values.shape}")
    return values.std(ddof=1) / values.shape[0] ** 0.5


def _float(values: Any) -> Array:
    if isinstance(values, jax.Array):
        return values.astype(jnp.result_type(values.dtype, jnp.float32))
    return np.asarray(values, np.float64)
