"""Attention over many frames in blocks, in memory linear in their number.

    out(t) = sum_s softmax_s(q(t)·k(s)) v(s)

The softmax is taken over one block of frames after another, with the largest score so far (arXiv 1805.02867);
the gradient computes the weights again, block by block (arXiv 2205.14135). Of causal attention, only blocks
that see each other are computed.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.ops.linalg import einsum

BLOCK = 64
"""Frames of a block."""


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def attend_in_blocks(
    query: jax.Array, key: jax.Array, values: jax.Array, causal: bool = True, block: int = BLOCK
) -> jax.Array:
    """The mean of values weighted by the softmax of products of queries and keys, not scaled.

    Reverse-mode differentiation only.

    Args:
      query: [B, N, T, H].
      key: [B, N, T, H].
      values: [B, N, T, V].
      causal: frame t sees frames s <= t only.
      block: frames of a block; memory is proportional to T * block.

    Returns:
      [B, N, T, V].
    """
    return _forward(query, key, values, causal, block)[0]


def _forward(query, key, values, causal, block):
    past = query.shape[2]
    queries, keys, parts = (_cut(each, block) for each in (query, key, values))

    def step(sums, pair):
        i, j = pair
        top, total, out = (each[i] for each in sums)
        scores = _scores(queries[i], keys[j], pair, past, causal)
        highest = jnp.maximum(top, scores.max(axis=-1))  # finite: every frame sees one of block 0
        kept, weights = jnp.exp(top - highest), jnp.exp(scores - highest[..., None])
        total = kept * total + weights.sum(axis=-1)
        out = kept[..., None] * out + einsum("...ts,...sv->...tv", weights, parts[j])
        new = highest, total, out
        return tuple(each.at[i].set(own) for each, own in zip(sums, new, strict=True)), None

    rows = jnp.zeros(queries.shape[:-1], query.dtype)
    sums = rows - jnp.inf, rows, jnp.zeros_like(parts)
    (top, total, out), _ = jax.lax.scan(step, sums, _pairs(len(queries), causal))
    out = out / total[..., None]
    residuals = queries, keys, parts, out, top + jnp.log(total)
    return _joined(out, past), (residuals, past)


def _backward(causal, block, residuals, slope):
    (queries, keys, parts, out, log_total), past = residuals
    slopes = _cut(slope, block)
    shares = jnp.sum(out * slopes, axis=-1)

    def step(carry, pair):
        i, j = pair
        of_query, of_key, of_values = carry
        scores = _scores(queries[i], keys[j], pair, past, causal)
        weights = jnp.exp(scores - log_total[i][..., None])
        of_weights = einsum("...tv,...sv->...ts", slopes[i], parts[j])
        of_scores = weights * (of_weights - shares[i][..., None])
        return (
            of_query.at[i].add(einsum("...ts,...sh->...th", of_scores, keys[j])),
            of_key.at[j].add(einsum("...ts,...th->...sh", of_scores, queries[i])),
            of_values.at[j].add(einsum("...ts,...tv->...sv", weights, slopes[i])),
        ), None

    nothing = jax.tree.map(jnp.zeros_like, (queries, keys, parts))
    found, _ = jax.lax.scan(step, nothing, _pairs(len(queries), causal))
    return tuple(_joined(each, past) for each in found)


attend_in_blocks.defvjp(_forward, _backward)


def _scores(query, key, pair, past, causal) -> jax.Array:
    """Products of two blocks [B, N, block, block], -inf where a frame is not seen."""
    frames = np.arange(query.shape[-2])
    t, s = (len(frames) * index + frames for index in pair)
    seen = (s < past) & ((s <= t[:, None]) | (not causal))
    return jnp.where(seen, einsum("...th,...sh->...ts", query, key), -jnp.inf)


def _pairs(blocks: int, causal: bool) -> tuple[jax.Array, jax.Array]:
    """Blocks of queries and of keys that see each other, of every query block 0 first."""
    i, j = np.nonzero(np.tri(blocks) if causal else np.ones((blocks, blocks)))
    return jnp.asarray(i), jnp.asarray(j)


def _cut(values: jax.Array, block: int) -> jax.Array:
    """[B, N, T, V] as [blocks, B, N, block, V], filled up behind."""
    blocks = -(-values.shape[2] // block)
    values = jnp.pad(values, [(0, 0), (0, 0), (0, blocks * block - values.shape[2]), (0, 0)])
    return jnp.moveaxis(values.reshape(*values.shape[:2], blocks, block, -1), 2, 0)


def _joined(parts: jax.Array, past: int) -> jax.Array:
    values = jnp.moveaxis(parts, 0, 2)
    return values.reshape(*values.shape[:2], -1, values.shape[-1])[:, :, :past]
