"""Attention over the frames, without geometry, and the normalisation that goes with it."""

from __future__ import annotations

from functools import partial

import flax.linen as nn
import jax

from estag_jax.nn.linear import uniform_fan_in
from estag_jax.ops.linalg import HIGHEST, einsum, flat

LayerNorm = partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)
"""Layer normalisation (arXiv 1607.06450) with the constant of the released program."""


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
        scores = einsum("...thd,...shd->...hts", query, key)
        alpha = jax.nn.softmax(scores * self.size**-0.5, axis=-1)
        alpha = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(alpha)
        out = einsum("...hts,...shd->...thd", alpha, value)
        return linear(x.shape[-1], "output")(flat(out.reshape(*x.shape[:-1], -1))).reshape(x.shape)
