"""Kernels of a body's past: a Gaussian and a linear one in a metric that is learnt.

    phi(z) = e^size / sqrt(3 T F) · (M z) e^points e^axes
    k(z, z') = exp(-|phi(z) - phi(z')|² / 2) + e^linear phi(z) · phi(z')

M mixes the T times of z [T, F, 3], F vectors at each time have a weight each, and so do the three axes:
automatic relevance determination (MacKay 1996) of a separable form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from estag_jax.graph import Array
from estag_jax.ops import linalg


class Metric(NamedTuple):
    """The numbers of the kernel; all but ``mix`` are logarithms.

    Args:
      mix: M [..., T, T].
      points: [..., F].
      axes: [..., 3].
      size: [...].
      linear: [...].
      noise: σ², of the regression [...].
    """

    mix: Array
    points: Array
    axes: Array
    size: Array
    linear: Array
    noise: Array


def initial_metric(groups: int, past: int, vectors: int) -> Metric:
    """Times apart, all vectors and axes alike: for T times and F vectors, with a leading axis of groups."""
    alike = jnp.zeros((groups,), jnp.float32)
    return Metric(
        mix=jnp.tile(jnp.eye(past, dtype=jnp.float32), (groups, 1, 1)),
        points=jnp.zeros((groups, vectors), jnp.float32),
        axes=jnp.zeros((groups, 3), jnp.float32),
        size=alike + 0.2,
        linear=alike - 3.0,
        noise=alike + math.log(0.01),
    )


def embedded(metric: Metric, z: jax.Array) -> jax.Array:
    """phi of windows [B, T, F, 3]: [B, 3 T F]."""
    scale = jnp.exp(metric.size) / math.sqrt(math.prod(z.shape[1:]))
    mixed = linalg.einsum("st,btfx->bsfx", metric.mix, z)
    weights = jnp.exp(metric.points)[:, None] * jnp.exp(metric.axes) * scale
    return (mixed * weights).reshape(len(z), -1)


def gaussian(a: Array, b: Array) -> jax.Array:
    """exp(-|a - b|² / 2) of rows [A, D] and [B, D]: [A, B]."""
    squares = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)
    return jnp.exp(-jnp.maximum(squares - 2 * linalg.matmul(a, b.T), 0) / 2)


def metric_kernel(metric: Metric, a: Array, b: Array) -> jax.Array:
    """k of embedded rows [A, D] and [B, D]: [A, B]."""
    return gaussian(a, b) + jnp.exp(metric.linear) * linalg.matmul(a, b.T)
