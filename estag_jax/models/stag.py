"""STAG: ESTAG's non-equivariant twin, a graph convolution and a transformer over time."""

from __future__ import annotations

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.models.stgcn import GraphConvolution, normalized_adjacency
from estag_jax.nn.heads import Head, TemporalPooling
from estag_jax.nn.layers import Linear, WindowNorm
from estag_jax.ops.geometry import HIGHEST
from estag_jax.types import Topology


@dataclasses.dataclass(frozen=True)
class StagConfig:
    """STAG, as in the released program of ESTAG's authors."""

    hidden: int = 8
    """Width of the graph convolution and of the transformer."""
    layers: int = 2
    """Layers of the transformer; 0 leaves the graph convolution and the output."""
    heads: int = 4
    """Attention heads, each of hidden / heads features."""
    feed_forward: int = 12
    """Width between the two linear layers that follow the attention."""
    dropout: float = 0.1
    """Probability; acts where ``apply`` is given ``rngs={"dropout": key}``, as the training step does."""
    head: Head = "last"
    """How the output becomes the prediction; published: added to the last frame."""

    def __post_init__(self):
        if min(self.hidden, self.heads, self.feed_forward) < 1 or self.layers < 0:
            raise ValueError(
                f"hidden={self.hidden}, heads={self.heads}, feed_forward={self.feed_forward}, "
                f"layers={self.layers}: the first three must be at least 1, layers at least 0"
            )
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} is not a multiple of heads={self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}, expected at least 0 and less than 1")


LayerNorm = partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)
"""Layer normalisation (arXiv 1607.06450) with the constant of the released program."""


def sinusoids(frames: int, width: int) -> jax.Array:
    """sin(t w_i) and cos(t w_i) in turn, w_i = 10000^(-2i/width) (arXiv 1706.03762, section 3.5).

    Args:
      frames: T.
      width: of the encoding.

    Returns:
      [T, width].
    """
    column = jnp.arange(width)
    angle = jnp.arange(frames)[:, None] / 10_000.0 ** (2 * (column // 2) / width)
    return jnp.where(column % 2, jnp.cos(angle), jnp.sin(angle))


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
                kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
                param_dtype=x.dtype,
                name=name,
            )

        query, key, value = (
            linear(self.heads * self.size, name)(x).reshape(*x.shape[:-1], self.heads, self.size)
            for name in ("query", "key", "value")
        )
        scores = jnp.einsum("...thd,...shd->...hts", query, key, precision=HIGHEST)
        alpha = jax.nn.softmax(scores * self.size**-0.5, axis=-1)
        alpha = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(alpha)
        out = jnp.einsum("...hts,...shd->...thd", alpha, value, precision=HIGHEST)
        return linear(x.shape[-1], "output")(out.reshape(*x.shape[:-1], -1))


class Stag(nn.Module):
    """Graph convolution in every frame, transformer over the frames of every node, one output.

    relu(Â X Theta) with batch normalisation; sinusoidal positions; layers of attention and
    feed-forward network, each added to its input and normalised afterwards; from all frames
    linearly to C * 3 numbers. (The non-equivariant network of arXiv 2405.12868's ablation.)

    Not equivariant; the batch normalisation keeps statistics of every node, so that N is fixed and
    nodes are told apart (no permutation equivariance).

    Differs from the reference: the graph, as for :class:`estag_jax.models.stgcn.Stgcn`.

    Args:
      config: sizes and options.
    """

    config: StagConfig = StagConfig()

    @nn.compact
    def __call__(
        self, history: jax.Array, node_features: jax.Array, topology: Topology
    ) -> jax.Array:
        """Returns the predicted frame [N, C, 3].

        Args:
          history: past frames, oldest first [N, T, C, 3].
          node_features: features [N, F].
          topology: the graph.
        """
        config = self.config
        nodes, past, channels, _ = history.shape
        dtype, width = history.dtype, config.hidden
        features = jnp.broadcast_to(
            node_features.astype(dtype)[:, None], (nodes, past, node_features.shape[-1])
        )
        x = jnp.concatenate([features, history.reshape(nodes, past, channels * 3)], axis=-1)
        x = GraphConvolution(width, name="graph")(x, normalized_adjacency(topology, dtype))
        x = WindowNorm(axis=0, name="norm")(x)

        def drop(values):
            keep = not self.has_rng("dropout")
            return nn.Dropout(config.dropout, deterministic=keep)(values)

        x = drop(x + sinusoids(past, width).astype(dtype))
        x = LayerNorm(param_dtype=dtype, name="norm_start")(x)
        for i in range(config.layers):
            attention = SelfAttention(
                config.heads, width // config.heads, config.dropout, name=f"attention_{i}"
            )
            x = LayerNorm(param_dtype=dtype, name=f"norm_attention_{i}")(x + drop(attention(x)))
            y = nn.relu(Linear(config.feed_forward, name=f"wide_{i}")(x))
            y = drop(Linear(width, name=f"narrow_{i}")(y))
            x = LayerNorm(param_dtype=dtype, name=f"norm_feed_forward_{i}")(x + y)

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -1, 1)

        theta = self.param("theta", uniform, (past * width, channels * 3), dtype)
        y = jnp.matmul(x.reshape(nodes, -1), theta, precision=HIGHEST)
        head = TemporalPooling(config.head, displacements=True, name="pooling")
        return head(y.reshape(nodes, channels, 3), history)
