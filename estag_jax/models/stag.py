"""STAG: ESTAG's non-equivariant twin, a graph convolution and a transformer over time."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.attention import LayerNorm, SelfAttention
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.linear import Linear, uniform
from estag_jax.nn.node_networks import (
    GraphConvolution,
    NodeNetwork,
    normalized_adjacency,
    with_features,
)
from estag_jax.nn.norm import BatchNorm
from estag_jax.ops.linalg import matmul


@dataclasses.dataclass(frozen=True)
class StagConfig(NetworkConfig):
    """STAG, as in the released program of ESTAG's authors."""

    hidden: int = 8
    """Width of the graph convolution and of the transformer."""
    layers: int = 2
    """Layers of the transformer; 0 leaves the graph convolution and the output."""
    activation: Activation = "silu"
    """Not used: the nonlinearity is that of the released program, relu."""
    head: Head = "last"
    """How the output becomes the prediction; published: added to the last frame."""
    heads: int = 4
    """Attention heads, each of hidden / heads features."""
    feed_forward: int = 12
    """Width between the two linear layers that follow the attention."""
    dropout: float = 0.1
    """Probability; acts where ``apply`` is given ``rngs={"dropout": key}``, as the training step does."""

    def __post_init__(self):
        super().__post_init__()
        if min(self.heads, self.feed_forward) < 1:
            raise ValueError(
                f"heads={self.heads}, feed_forward={self.feed_forward}: must be at least 1"
            )
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} is not a multiple of heads={self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}, expected at least 0 and less than 1")

    def build(self) -> Stag:
        """The network, without parameters."""
        return Stag(self)


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


class Stag(NodeNetwork):
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

    title = "STAG"
    config: StagConfig = StagConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: features [G, N, F].
          graph: the edges, without padding.

        Raises:
          ValueError: the graph is padded.
        """
        config = self.config
        windows, nodes, past, channels, _ = history.shape
        if reason := self.refuse(channels, graph):
            raise ValueError(reason)
        dtype, width = history.dtype, config.hidden
        x = with_features(history, node_features)
        x = GraphConvolution(width, name="graph")(x, normalized_adjacency(graph, dtype))
        x = BatchNorm(axis=1, name="norm")(x)

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
        theta = self.param("theta", uniform(1), (past * width, channels * 3), dtype)
        y = matmul(x.reshape(windows, nodes, -1), theta)
        return self.predicted(y, history, config.head)
