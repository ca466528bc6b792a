"""What STGCN, STAG, AGL-STAN and siMLPe share: networks with parameters or statistics of single nodes."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.config import Head
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.linear import uniform
from estag_jax.ops.linalg import einsum, matmul


class NodeNetwork(nn.Module):
    """A network that tells nodes apart by their number, so that it takes no padding nodes."""

    title: ClassVar[str]
    """Its name, for messages."""

    def refuse(self, channels: int, graph: Graph) -> str | None:
        """Why a system is not taken, in one line, or None: the systems of padded graphs differ, and so
        would the meaning of a node's number; Â knows no padding edges."""
        del channels  # any number
        if graph.node_mask is None and graph.edge_mask is None:
            return None
        return f"{self.title} has parameters of single nodes and takes no padded graphs"

    def predicted(self, y: jax.Array, history: jax.Array, head: Head) -> jax.Array:
        """The predicted frame from C * 3 numbers a node, in any shape, and the history."""
        pooling = TemporalPooling(head, displacements=True, name="pooling")
        return pooling(y.reshape(*history.shape[:2], *history.shape[3:]), history)


def with_features(history: jax.Array, node_features: jax.Array) -> jax.Array:
    """Node features beside the coordinates of every frame [B, N, T, F + 3 C].

    Args:
      history: [B, N, T, C, 3].
      node_features: [G, N, F], cast to the history's dtype.
    """
    frames, width = history.shape[:3], node_features.shape[-1]
    features = node_features.astype(history.dtype)[:, :, None]
    coordinates = history.reshape(*frames, history.shape[3] * 3)
    return jnp.concatenate([jnp.broadcast_to(features, (*frames, width)), coordinates], axis=-1)


def normalized_adjacency(graph: Graph, dtype: jnp.dtype) -> jax.Array:
    """D^(-1/2) (A + I) D^(-1/2), dense, with D the row sums of A + I.

    A is one where an edge joins two nodes in either direction. (arXiv 1609.02907, equation 2.)

    Args:
      graph: the edges, without padding; their features are not looked at.
      dtype: of the result.

    Returns:
      Symmetric [G, N, N].
    """

    def dense(senders, receivers):
        adjacency = jnp.eye(graph.num_nodes, dtype=dtype)
        adjacency = adjacency.at[receivers, senders].set(1).at[senders, receivers].set(1)
        scale = jax.lax.rsqrt(jnp.sum(adjacency, axis=1))
        return scale[:, None] * adjacency * scale

    return jax.vmap(dense)(graph.senders, graph.receivers)


class GraphConvolution(nn.Module):
    """relu(Â X Theta) in every frame, Theta uniform on ±1/sqrt(outputs) at the start.

    (arXiv 1709.04875, equation 7.)

    Args:
      features: outputs.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, adjacency: jax.Array) -> jax.Array:
        """Maps [B, N, T, inputs] to [B, N, T, features].

        Args:
          x: [B, N, T, inputs].
          adjacency: Â [G, N, N].
        """
        initializer, shape = uniform(self.features**-0.5), (x.shape[-1], self.features)
        theta = self.param("theta", initializer, shape, x.dtype)
        return nn.relu(matmul(einsum("bij,bjtc->bitc", adjacency, x), theta))
