"""STGCN: spatio-temporal graph convolutional network (arXiv 1709.04875), not equivariant."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.linear import Linear, every_frame
from estag_jax.nn.node_networks import GraphConvolution, NodeNetwork, normalized_adjacency
from estag_jax.nn.norm import BatchNorm


@dataclasses.dataclass(frozen=True)
class StgcnConfig(NetworkConfig):
    """STGCN, as ESTAG's authors set it up for the comparison."""

    hidden: int = 32
    """Width of the embedding and of the graph convolutions."""
    layers: int = 2
    """Blocks of gated, graph and gated convolution."""
    activation: Activation = "silu"
    """Not used: the nonlinearities are those of the method, relu and sigmoid."""
    head: Head = "last"
    """How the output becomes the prediction; published: added to the last frame."""
    gated: int = 64
    """Width of the gated temporal convolutions."""
    kernel: int = 2
    """Frames that a temporal convolution sees; each of the 2 layers + 1 shortens the window by one less."""

    def __post_init__(self):
        super().__post_init__()
        if min(self.gated, self.kernel) < 1:
            raise ValueError(f"gated={self.gated}, kernel={self.kernel}: must be at least 1")

    def build(self) -> Stgcn:
        """The network, without parameters."""
        return Stgcn(self)


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
        """Maps [B, N, T, inputs] to [B, N, T - kernel + 1, features]."""
        frames = x.shape[2] - self.kernel + 1
        shifted = [x[:, :, i : i + frames] for i in range(self.kernel)]
        p, q, r = (Linear(self.features, name=name)(*shifted) for name in "pqr")
        return nn.relu(p * nn.sigmoid(q) + r)


class Stgcn(NodeNetwork):
    """Gated convolutions over time and graph convolutions in every frame, one output for the window.

    Linear to ``hidden``; blocks of gated convolution, graph convolution, gated convolution and batch
    normalisation; a gated convolution; linear from all remaining frames to C * 3 numbers.
    (arXiv 1709.04875, sections 3.2 to 3.5.)

    Not equivariant; the batch normalisation keeps statistics of every node, so that N is fixed and
    nodes are told apart (no permutation equivariance).

    Differs from the reference: the graph is the given one, with self-loops and weights one;
    the released program weights its one- and two-bond pairs by the number of paths, with the number
    of bonds on the diagonal (molecules and motion capture), or by the edge's length without diagonal
    (proteins).

    Args:
      config: sizes and options.
    """

    title = "STGCN"
    config: StgcnConfig = StgcnConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: features [G, N, F].
          graph: the edges, without padding.

        Raises:
          ValueError: the graph is padded, or the window is too short for the temporal convolutions.
        """
        config = self.config
        windows, nodes, past, channels, _ = history.shape
        if reason := self.refuse(channels, graph):
            raise ValueError(reason)
        needed = (config.kernel - 1) * (2 * config.layers + 1) + 1
        if past < needed:
            raise ValueError(
                f"STGCN with kernel={config.kernel} and layers={config.layers} needs {needed} past "
                f"frames, the window has {past}: lengthen it, or take fewer layers"
            )
        adjacency = normalized_adjacency(graph, history.dtype)
        features = node_features.astype(history.dtype), every_frame
        x = Linear(config.hidden, name="embedding")(
            features, history.reshape(*history.shape[:3], -1)
        )
        for i in range(config.layers):
            x = GatedConvolution(config.gated, config.kernel, name=f"before_{i}")(x)
            x = GraphConvolution(config.hidden, name=f"graph_{i}")(x, adjacency)
            x = GatedConvolution(config.gated, config.kernel, name=f"after_{i}")(x)
            x = BatchNorm(axis=1, name=f"norm_{i}")(x)
        x = GatedConvolution(config.gated, config.kernel, name="final")(x)
        y = Linear(channels * 3, name="output")(x.reshape(windows, nodes, -1))
        return self.predicted(y, history, config.head)
