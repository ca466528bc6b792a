"""Causal attention over the frames of a node: invariant weights, equivariant coordinate update.

    alpha_i(t,s) = softmax over s<=t of q_i(t)·k_i(s)
    h_i(t) <- h_i(t) + sum_s alpha_i(t,s) v_i(s)
    x_i(t) <- x_i(t) + sum_s alpha_i(t,s) (x_i(t) - x_i(s)) phi_x(v_i(s))

(ESTAG, arXiv 2405.12868, section 3.3, ETM.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.ops.linalg import einsum
from estag_jax.ops.long_attention import attend_in_blocks

BLOCKS_FROM = 128
"""Window length from which attention is computed in blocks (ops.long_attention), and is faster so."""


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    gate: jax.Array,
    x: jax.Array,
    causal: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """The updates of features and coordinates: the two sums over s above.

    Args:
      query: [B, N, T, H].
      key: [B, N, T, H].
      value: [B, N, T, H].
      gate: phi_x(v) [B, N, T, C].
      x: positions [B, N, T, C, 3].
      causal: frame t sees frames s <= t only.

    Returns:
      [B, N, T, H] and [B, N, T, C, 3].
    """
    past, channels = x.shape[2:4]
    if past < BLOCKS_FROM:
        alpha = attention_weights(query, key, causal)
        return attend_features(alpha, value), attend_coordinates(alpha, gate, x)
    offset = x - x[:, :, -1:]  # as in attend_coordinates
    pushes = (gate[..., None] * offset).reshape(*x.shape[:3], 3 * channels)
    values = jnp.concatenate([value, gate, pushes], axis=-1)
    widths = np.cumsum([value.shape[-1], channels])
    out, total, pushes = jnp.split(attend_in_blocks(query, key, values, causal), widths, axis=-1)
    return out, offset * total[..., None] - pushes.reshape(x.shape)


def attention_weights(query: jax.Array, key: jax.Array, causal: bool = True) -> jax.Array:
    """alpha: softmax over past frames of the products of queries and keys, not scaled.

    Args:
      query: [B, N, T, H].
      key: [B, N, T, H].
      causal: frame t sees frames s <= t only.

    Returns:
      [B, N, T, T], rows add up to one.
    """
    scores = einsum("...th,...sh->...ts", query, key)
    if causal:
        past = scores.shape[-1]
        seen = jnp.tril(jnp.ones((past, past), bool))
        scores = jnp.where(seen, scores, -jnp.inf)
    return jax.nn.softmax(scores, axis=-1)


def attend_features(alpha: jax.Array, value: jax.Array) -> jax.Array:
    """sum_s alpha(t,s) v(s).

    Args:
      alpha: [B, N, T, T].
      value: [B, N, T, H].

    Returns:
      [B, N, T, H].
    """
    return einsum("...ts,...sh->...th", alpha, value)


def attend_coordinates(alpha: jax.Array, gate: jax.Array, x: jax.Array) -> jax.Array:
    """sum_s alpha(t,s) g(s) (x(t) - x(s)), invariant under translation, turning with x.

    Args:
      alpha: [B, N, T, T].
      gate: phi_x(v) [B, N, T, C].
      x: positions [B, N, T, C, 3].

    Returns:
      [B, N, T, C, 3].
    """
    # Relative to each node's last frame the terms are small, so their difference keeps its digits.
    offset = x - x[:, :, -1:]
    total = attend_features(alpha, gate)[..., None]
    return offset * total - einsum("...ts,...scx->...tcx", alpha, gate[..., None] * offset)
