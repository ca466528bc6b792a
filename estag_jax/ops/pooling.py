"""From T frames to one: the temporal poolings."""

from __future__ import annotations

import jax

from estag_jax.ops.linalg import einsum


def residual_pooling(x: jax.Array, weights: jax.Array) -> jax.Array:
    """x(T-1) + sum_{t<T-1} w_t (x(t) - x(T-1)): extrapolates, equivariant for every w.

    (ESTAG, arXiv 2405.12868, section 3.4.)

    Args:
      x: positions [B, N, T, C, 3].
      weights: [T-1], free.

    Returns:
      [B, N, C, 3].
    """
    last = x[:, :, -1]
    return last + einsum("t,bntcx->bncx", weights, x[:, :, :-1] - last[:, :, None])


def softmax_pooling(x: jax.Array, logits: jax.Array) -> jax.Array:
    """sum_t softmax(logits)_t x(t): a weighted mean, which cannot leave the range of the frames.

    (The "without pooling" row of the ablation, and the head of the published baselines.)

    Args:
      x: positions [B, N, T, C, 3].
      logits: [T].

    Returns:
      [B, N, C, 3].
    """
    return einsum("t,bntcx->bncx", jax.nn.softmax(logits), x)
