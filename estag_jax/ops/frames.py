"""Local reference frames: axes that turn with a system.

Coordinates in them are invariant to rotation, and to reflection but for the sign of the third, which is
a pseudo-scalar: e3 is a cross product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estag_jax.graph import Array

SOFTENING = 1e-3
"""The sine of an angle below which the second and the third axis fade to zero."""


def local_frames(xp: Any, origin: Array, first: Array, second: Array) -> Array:
    """Right-handed axes of three points, as rows.

        e1 = a / |a|,  e2 = b' / sqrt(|b'|² + (ε |b|)²),  e3 = e1 × e2

    with a = first - origin, b = second - origin, b' its part orthogonal to e1 and ε = SOFTENING. Where
    the three points are collinear e2 and e3 are zero, and where first and origin coincide all axes are:
    a map that works in these axes then says nothing along the lost ones, stays finite, equivariant and
    smooth. The axes of any other points are orthonormal up to ε² / (2 sin²).

    Args:
      xp: numpy or jax.numpy.
      origin: [..., 3].
      first: [..., 3].
      second: [..., 3].

    Returns:
      [..., 3, 3], the axes as rows.
    """
    a, b = first - origin, second - origin
    e1 = a / _norm(xp, a)
    rest = b - xp.sum(b * e1, axis=-1, keepdims=True) * e1
    square = xp.sum(rest * rest, -1, keepdims=True) + SOFTENING**2 * xp.sum(
        b * b, -1, keepdims=True
    )
    e2 = rest / _root(xp, square)
    return xp.stack([e1, e2, xp.cross(e1, e2)], axis=-2)


def sine(origin: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The sine of the angle at the origin [...], 0 where two of the points coincide."""
    a, b = first - origin, second - origin
    area = np.linalg.norm(np.cross(a, b), axis=-1)
    scale = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide(area, scale, out=np.zeros_like(area), where=scale > 0)


def backward_differences(xp: Any, history: Array) -> Array:
    """The m-th backward difference at the last frame for m = 0 … T-1; for m = 0 the last frame.

    (D x)_m = sum_k (-1)^k (m over k) x(T-1-k), by differences of differences: those of nearby numbers are
    exact in floating point, where the sum would cancel.

    Args:
      xp: numpy or jax.numpy.
      history: [..., T, C, 3].

    Returns:
      [..., T, C, 3], the orders in place of the frames.
    """
    found = [history[..., -1, :, :]]
    for _ in range(1, history.shape[-3]):
        history = history[..., 1:, :, :] - history[..., :-1, :, :]
        found.append(history[..., -1, :, :])
    return xp.stack(found, axis=-3)


def _norm(xp: Any, vector: Array) -> Array:
    return _root(xp, xp.sum(vector * vector, axis=-1, keepdims=True))


def _root(xp: Any, square: Array) -> Array:
    """The square root with 0 replaced by 1, so that 0 / root is 0 and so is its gradient."""
    return xp.sqrt(xp.where(square > 0, square, 1.0))
