"""Covariances that turn with a system, and the invariants of a forecast that their size depends on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg

PARITY = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
"""Entries of a covariance in a local frame: what couples the pseudo-scalar third component is zero."""

ORDERS = 3
"""The highest difference of a forecast that is looked at."""


def motion(xp: Any, history: Array, forecast: Array) -> Array:
    """Squared differences of a forecast and the frames before it.

        d_mp(t) = |(m-th difference of x_p that ends at t)|²,  m = 1 … min(ORDERS, T)

    at the forecast for each point, at the forecast on average over points, and on average over points and
    the whole window. With m = 1 they are squared steps, with m = 2 accelerations. All are invariant to
    rotation, reflection and translation.

    Args:
      xp: numpy or jax.numpy.
      history: [B, N, T, C, 3].
      forecast: x* [B, N, C, 3].

    Returns:
      [3M, B, N, C].
    """
    frames = xp.concatenate([history, forecast[:, :, None]], axis=2)
    found = []
    for _ in range(min(ORDERS, history.shape[2])):
        frames = frames[:, :, 1:] - frames[:, :, :-1]
        square = xp.sum(frames**2, axis=-1)  # [B, N, t, C]
        last, average = square[:, :, -1], square.mean((1, 2, 3))[:, None, None]
        mean = last.mean((1, 2), keepdims=True)
        found += [last, xp.broadcast_to(mean, last.shape), xp.broadcast_to(average, last.shape)]
    return xp.stack(found)


def lost(backend: linalg.Backend, frames: Array) -> Array:
    """I - R^T R [..., 3, 3]: the directions that a degenerate frame lacks; of a whole one about zero."""
    xp, _, matmul = backend
    return xp.eye(3, dtype=frames.dtype) - matmul(xp.swapaxes(frames, -1, -2), frames)


def root_of_lost(backend: linalg.Backend, frames: Array) -> Array:
    """(I - R^T R)^{1/2} [..., 3, 3].

    The eigenvalues of I - R^T R are 1 - |e3|², and 0 along an axis that exists: its root is itself over
    sqrt(1 - |e3|²).
    """
    xp = backend.xp
    rest = 1 - xp.sum(frames[..., 2, :] ** 2, axis=-1)[..., None, None]
    found = lost(backend, frames) / xp.sqrt(xp.where(rest > 0, rest, 1.0))
    return xp.where(rest > 0, found, 0.0)


def turned_back(backend: linalg.Backend, frames: Array, covariance: Array, rest: Array) -> Array:
    """R^T Σ R + s (I - R^T R): a covariance in local frames in the axes of the data.

    Args:
      backend: what arrays are computed with.
      frames: R [..., 3, 3].
      covariance: Σ [..., 3, 3].
      rest: s [...], the variance along the directions that a frame lacks.
    """
    xp, _, matmul = backend
    turned = matmul(matmul(xp.swapaxes(frames, -1, -2), covariance), frames)
    return turned + rest[..., None, None] * lost(backend, frames)


def log_likelihood(error: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distance e^T Σ^{-1} e and log density of errors, by the 3×3 Cholesky factor.

    Args:
      error: e [..., 3].
      covariance: Σ [..., 3, 3].

    Returns:
      The distance [...], and the log density in nats a coordinate [...],
      -(distance + log det Σ + 3 log 2π) / 6.
    """
    a, b, c = covariance[..., 0, 0], covariance[..., 1, 0], covariance[..., 2, 0]
    d, e, f = covariance[..., 1, 1], covariance[..., 2, 1], covariance[..., 2, 2]
    # Written out: a loop over small matrices would take ten times as long.
    first = np.sqrt(a)
    below, last = b / first, c / first
    second = np.sqrt(d - below**2)
    between = (e - last * below) / second
    third = np.sqrt(f - last**2 - between**2)
    x = error[..., 0] / first
    y = (error[..., 1] - below * x) / second
    z = (error[..., 2] - last * x - between * y) / third
    distance = x**2 + y**2 + z**2
    size = np.log(first) + np.log(second) + np.log(third)
    return distance, -distance / 6 - size / 3 - 0.5 * math.log(2 * math.pi)
