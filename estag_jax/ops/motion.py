"""What EqMotion makes of a window: cosine coefficients, speeds and angles, vectors cut by vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.ops.geometry import safe_norm, safe_normalize


def dct_matrix(length: int) -> np.ndarray:
    """Orthonormal discrete cosine transform (type II); its transpose is the inverse.

        D_kt = sqrt(2 / T) cos(π k (t + 1/2) / T),     D_0t = 1 / sqrt(T)

    Args:
      length: T.

    Returns:
      D, float64 [T, T]: frequencies, frames.
    """
    # The phase is reduced modulo one turn (4 T quarter steps) in integers: exact for every k * t.
    steps = np.outer(np.arange(length), 2 * np.arange(length) + 1) % (4 * length)
    matrix = np.sqrt(2 / length) * np.cos(np.pi * steps / (2 * length))
    matrix[0] = length**-0.5
    return matrix


def motion_features(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Invariants of a history: the length of each step and the angle between consecutive steps.

    The angle is atan2(|u × v|, u·v), whose derivative, unlike that of arccos, is finite for straight
    motion; beside a step of length zero it is zero.

    Args:
      x: history [B, N, T, C, 3].

    Returns:
      Step lengths [B, N, (T-1) C] and angles in radians [B, N, (T-2) C].
    """
    step = x[:, :, 1:] - x[:, :, :-1]
    unit = safe_normalize(step)
    u, v = unit[:, :, :-1], unit[:, :, 1:]
    sine, cosine = safe_norm(jnp.cross(u, v)), jnp.sum(u * v, axis=-1)
    angle = jnp.arctan2(sine, jnp.where((sine > 0) | (cosine != 0), cosine, 1))
    return tuple(values.reshape(*x.shape[:2], -1) for values in (safe_norm(step), angle))


def vector_relu(query: jax.Array, key: jax.Array) -> jax.Array:
    """q where q·k >= 0, else q - (q·k) k / |k|²: q without its part against k. Turns with both.

    Args:
      query: [..., 3, M], M vectors.
      key: [..., 3, M].

    Returns:
      [..., 3, M].
    """
    unit = safe_normalize(key, axis=-2)
    return query - jnp.minimum(jnp.sum(query * unit, axis=-2, keepdims=True), 0) * unit
