"""Vectors and lengths: safe at zero, exact in float32 (no reduced-precision products)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.ops.linalg import einsum
from estag_jax.ops.segment import mean_over_nodes


def safe_norm(x: jax.Array, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> jax.Array:
    """Euclidean norm whose value and gradient are zero, not NaN, at zero length.

    Args:
      x: any shape.
      axis: axis or axes of the vector components.
      keepdims: as in jnp.sum.

    Returns:
      sqrt(sum of squares) over ``axis``.
    """
    square = jnp.sum(x * x, axis=axis, keepdims=keepdims)
    positive = square > 0
    # The inner where keeps the branch that is not taken finite, so that its gradient is not NaN.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def safe_normalize(x: jax.Array, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """x / |x|, and zero (with zero gradient) where |x| = 0.

    Args:
      x: any shape.
      axis: axis or axes of the vector components.

    Returns:
      Unit vectors of the shape of ``x``.
    """
    length = safe_norm(x, axis=axis, keepdims=True)
    return jnp.where(length > 0, x / jnp.where(length > 0, length, 1), 0)


def gram(x: jax.Array, normalize: bool) -> jax.Array:
    """Flattened Gram matrix of the channel vectors, invariant under rotation and reflection.

    G = x xᵀ, for one channel the squared length (method.md, ESM).

    Args:
      x: [..., C, 3].
      normalize: divide by the Frobenius norm (the paper does so for C > 1).

    Returns:
      [..., C * C].
    """
    matrix = einsum("...cx,...dx->...cd", x, x)
    flat = matrix.reshape(*x.shape[:-2], x.shape[-2] ** 2)  # not -1: there may be no edges
    return safe_normalize(flat) if normalize else flat


def centre(history: jax.Array, graph: Graph) -> jax.Array:
    """Mean over nodes and channels of every window's last frame, the origin used inside models.

    Every model is translation-equivariant; working near the origin keeps float32 differences exact
    for systems far away from it.

    Args:
      history: [B, N, T, C, 3].
      graph: says which nodes are real.

    Returns:
      [B, 1, 1, 1, 3].
    """
    return mean_over_nodes(history[:, :, -1:], graph, axes=(2, 3), keepdims=True)
