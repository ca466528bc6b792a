"""STGCN: spatio-temporal graph convolutional network (arXiv 1709.04875), not equivariant."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.heads import Head, TemporalPooling
from estag_jax.nn.layers import Linear, WindowNorm
from estag_jax.ops.geometry import HIGHEST
from estag_jax.types import Topology


@dataclasses.dataclass(frozen=True)
class StgcnConfig:
    """STGCN, as ESTAG's authors set it up for the comparison."""

    hidden: int = 32
    """Width of the embedding and of the graph convolutions."""
    gated: int = 64
    """Width of the gated temporal convolutions."""
    layers: int = 2
    """Blocks of gated, graph and gated convolution."""
    kernel: int = 2
    """Frames that a temporal convolution sees; each of the 2 layers + 1 shortens the window by one less."""
    head: Head = "last"
    """How the output becomes the prediction; published: added to the last frame."""

    def __post_init__(self):
        if min(self.hidden, self.gated, self.kernel) < 1 or self.layers < 0:
            raise ValueError(
                f"hidden={self.hidden}, gated={self.gated}, kernel={self.kernel}, layers={self.layers}: "
                "the first three must be at least 1, layers at least 0"
            )


def normalized_adjacency(topology: Topology, dtype: jnp.dtype) -> jax.Array:
    """D^(-1/2) (A + I) D^(-1/2), dense, with D the row sums of A + I.

    A is one where an edge joins two nodes in either direction. (arXiv 1609.02907, equation 2.)

    Args:
      topology: the graph; its edge features are not looked at.
      dtype: of the result.

    Returns:
      Symmetric [N, N].
    """
    adjacency = jnp.eye(topology.num_nodes, dtype=dtype)
    adjacency = adjacency.at[topology.receivers, topology.senders].set(1)
    adjacency = adjacency.at[topology.senders, topology.receivers].set(1)
    scale = jax.lax.rsqrt(jnp.sum(adjacency, axis=1))
    return scale[:, None] * adjacency * scale


class GraphConvolution(nn.Module):
    """relu(Â X Theta) in every frame, Theta uniform on ±1/sqrt(outputs) at the start.

    (arXiv 1709.04875, equation 7.)

    Args:
      features: outputs.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, adjacency: jax.Array) -> jax.Array:
        """Maps [N, T, inputs] to [N, T, features].

        Args:
          x: [N, T, inputs].
          adjacency: Â [N, N].
        """
        bound = self.features**-0.5

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        theta = self.param("theta", uniform, (x.shape[-1], self.features), x.dtype)
        x = jnp.einsum("ij,jtc->itc", adjacency, x, precision=HIGHEST)
        return nn.relu(jnp.matmul(x, theta, precision=HIGHEST))


class GatedConvolution(nn.Module):
    """relu(P * sigmoid(Q) + R), where P, Q and R are convolutions over the frames, without padding.

    (arXiv 1709.04875, section 3.4, with a relu and a learned R as in the released program.)

    Args:
      features: outputs.
      kernel: frames that an output sees.
    """

    features: int
    kernel: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, T, inputs] to [N, T - kernel + 1, features]."""
        frames = x.shape[1] - self.kernel + 1
        shifted = [x[:, i : i + frames] for i in range(self.kernel)]
        p, q, r = (Linear(self.features, name=name)(*shifted) for name in "pqr")
        return nn.relu(p * nn.sigmoid(q) + r)


class Stgcn(nn.Module):
    """Gated convolutions over time and graph convolutions in every frame, one output for the window.

    Linear to ``hidden``; blocks of gated convolution, graph convolution, gated convolution and batch
    normalisation; a gated convolution; linear from all remaining frames to C * 3 numbers.
    (arXiv 1709.04875, sections 3.2 to 3.5.)

    Not equivariant; the batch normalisation keeps statistics of every node, so that N is fixed and
    nodes are told apart (no permutation equivariance).

    Differs from the reference: the graph is what ``topology`` says, with self-loops and weights one;
    the released program weights its one- and two-bond pairs by the number of paths, with the number
    of bonds on the diagonal (molecules and motion capture), or by the edge's length without diagonal
    (proteins).

    Args:
      config: sizes and options.
    """

    config: StgcnConfig = StgcnConfig()

    @nn.compact
    def __call__(
        self, history: jax.Array, node_features: jax.Array, topology: Topology
    ) -> jax.Array:
        """Returns the predicted frame [N, C, 3].

        Args:
          history: past frames, oldest first [N, T, C, 3].
          node_features: features [N, F].
          topology: the graph.

        Raises:
          ValueError: the window is too short for the temporal convolutions.
        """
        config = self.config
        nodes, past, channels, _ = history.shape
        needed = (config.kernel - 1) * (2 * config.layers + 1) + 1
        if past < needed:
            raise ValueError(
                f"STGCN with kernel={config.kernel} and layers={config.layers} needs {needed} past "
                f"frames, the window has {past}: lengthen it, or take fewer layers"
            )
        adjacency = normalized_adjacency(topology, history.dtype)
        features = node_features.astype(history.dtype)
        x = Linear(config.hidden, name="embedding")(
            (features, lambda f: f[:, None]), history.reshape(nodes, past, channels * 3)
        )
        for i in range(config.layers):
            x = GatedConvolution(config.gated, config.kernel, name=f"before_{i}")(x)
            x = GraphConvolution(config.hidden, name=f"graph_{i}")(x, adjacency)
            x = GatedConvolution(config.gated, config.kernel, name=f"after_{i}")(x)
            x = WindowNorm(axis=0, name=f"norm_{i}")(x)
        x = GatedConvolution(config.gated, config.kernel, name="final")(x)
        y = Linear(channels * 3, name="output")(x.reshape(nodes, -1))
        head = TemporalPooling(config.head, displacements=True, name="pooling")
        return head(y.reshape(nodes, channels, 3), history)
