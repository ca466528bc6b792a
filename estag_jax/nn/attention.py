"""Attention over the frames, without geometry, and the normalisation that goes with it."""

from __future__ import annotations

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.linear import uniform_fan_in
from estag_jax.ops.linalg import HIGHEST, einsum, flat

LayerNorm = partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)
"""Layer normalisation (arXiv 1607.06450) with the constant of the released program."""


SMALL = 16
"""Frames T, and features of a head, up to which the products of attention are written as sums."""


def attend_by_sums(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """softmax_s(q_t · k_s) v_s for few frames and small heads, windows last.

    XLA's CPU backend calls a matrix product for every window and head, which takes longer than the sums
    over one long axis, and computes exp by vectors only along such an axis.

    Args:
      query: [..., T, heads, d].
      key: likewise.
      value: likewise.

    Returns:
      [..., T, heads, d].
    """
    *windows, past, heads, size = query.shape
    count = math.prod(windows)

    def windows_last(values):
        values = values.reshape(count, past, heads, size)
        return values.transpose(3, 1, 2, 0).reshape(size, past, count * heads)

    query, key, value = map(windows_last, (query, key, value))
    alpha = jax.nn.softmax(jnp.sum(query[:, :, None] * key[:, None], axis=0), axis=1)
    out = jnp.sum(alpha * value[:, None], axis=2)
    out = out.reshape(size, past, heads, count).transpose(3, 1, 2, 0)
    return out.reshape(*windows, past, heads, size)


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / sqrt(d)) V over the frames, several heads, no biases.

    (arXiv 1706.03762, section 3.2.)

    Args:
      heads: number of heads.
      size: d of a head.
      dropout: probability for the attention weights; needs a key named dropout.
    """

    heads: int
    size: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., T, width] to the same shape."""

        def linear(features, name):
            return nn.Dense(
                features,
                use_bias=False,
                precision=HIGHEST,
                kernel_init=uniform_fan_in,
                param_dtype=x.dtype,
                name=name,
            )

        query, key, value = (
            linear(self.heads * self.size, name)(flat(x)).reshape(*x.shape[:-1], self.heads, -1)
            for name in ("query", "key", "value")
        )
        if self.dropout == 0 and max(self.size, x.shape[-2]) <= SMALL:
            out = attend_by_sums(query * self.size**-0.5, key, value)
        else:
            scores = einsum("...thd,...shd->...hts", query, key)
            alpha = jax.nn.softmax(scores * self.size**-0.5, axis=-1)
            alpha = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(alpha)
            out = einsum("...hts,...shd->...thd", alpha, value)
        return linear(x.shape[-1], "output")(flat(out.reshape(*x.shape[:-1], -1))).reshape(x.shape)
