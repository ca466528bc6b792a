"""What ST_TFN and ST_SE(3)-Transformer have in common: settings, inputs and outputs, the network."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.messages import NodeEmbedding
from estag_jax.nn.tensor_field import (
    Convolution,
    Edges,
    Features,
    Radial,
    RadialWeights,
    edge_geometry,
)
from estag_jax.ops.geometry import centre


@dataclasses.dataclass(frozen=True)
class TensorFieldConfig(NetworkConfig):
    """What ST_TFN and ST_SE(3)-Transformer have in common."""

    hidden: int = 16
    """Hidden channels of all degrees together; each degree has hidden // degree."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons and of the norms."""
    head: Head = "softmax"
    """How frames become the prediction; the published combination is softmax."""
    degree: int = 2
    """Number of degrees: hidden features have l = 0 … degree - 1."""
    radial: int = 32
    """Width of the two hidden layers of the radial networks."""
    radial_weights: RadialWeights = "matrix"
    """One weight for each pair of channels and edge, or one for each channel, mixed by a fixed matrix."""
    velocity: bool = False
    """Vectors x(t) - x(t-1) as input (zero in frame 0); the released program puts zeros in their place."""

    def __post_init__(self):
        super().__post_init__()
        if self.layers < 1 or self.degree < 1 or self.radial < 1 or self.hidden < self.degree:
            raise ValueError(
                f"hidden={self.hidden}, layers={self.layers}, degree={self.degree}, radial={self.radial}: "
                "all must be at least 1, and hidden at least degree"
            )

    @property
    def channels(self) -> dict[int, int]:
        """Hidden channels by degree."""
        return dict.fromkeys(range(self.degree), self.hidden // self.degree)

    @property
    def edge_numbers(self) -> int:
        """By which chunks of windows are sized (models.memory): half the numbers of a product's matrices.

        They are M² for each path of a tensor product. With that, one product's are near a core's own cache,
        where a step is fastest (docs/performance.md).
        """
        if self.radial_weights == "channel":
            return self.hidden
        paths = sum(min(a, b) + 1 for a in range(self.degree) for b in range(self.degree))
        return max(self.hidden, paths * (self.hidden // self.degree) ** 2 // 2)

    @property
    def radial_network(self) -> Radial:
        """What the tensor products need."""
        return Radial(self.radial, self.radial_weights, self.activation)

    @property
    def inner_layers(self) -> int:
        """Layers before the output's convolution."""
        return self.layers

    def layer(self, i: int, features: Features, edges: Edges) -> Features:
        """Layer i with its nonlinearity; called inside of the network, which gets its parameters."""
        raise TypeError(f"{type(self).__name__} does not define layer()")

    def build(self) -> TensorFieldNetwork:
        """The network, without parameters."""
        return TensorFieldNetwork(self)


class Inputs(nn.Module):
    """Embedded node features with time embedding (l = 0) and what vectors there are (l = 1).

    Vectors are the channels relative to their mean where C > 1, and velocities if asked for.

    Args:
      hidden: channels of the embedding.
      velocity: vectors x(t) - x(t-1), zero in frame 0.
    """

    hidden: int
    velocity: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, node_features: jax.Array) -> Features:
        """Returns features by degree.

        Args:
          x: history [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
        """
        embedding = NodeEmbedding(self.hidden, name="embedding")
        _, h = embedding(node_features.astype(x.dtype), x.shape[2])
        vectors = [x - jnp.mean(x, axis=3, keepdims=True)] if x.shape[3] > 1 else []
        if self.velocity:
            vectors.append(jnp.diff(x, axis=2, prepend=x[:, :, :1]))
        features = {0: h[..., None, :]}
        if vectors:
            features[1] = jnp.concatenate(vectors, axis=3).swapaxes(-1, -2)
        return features


class Outputs(nn.Module):
    """One vector for every channel by a last convolution, added to the frames; then the head.

    The learned factor of the vectors starts at 0.01, so that the model starts near the frames.

    Args:
      radial: the radial network of the convolution.
      head: how the frames become the prediction.
    """

    radial: Radial
    head: Head = "softmax"

    @nn.compact
    def __call__(self, features: Features, edges: Edges, x: jax.Array) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          features: of the last layer, by degree [B, N, T, 2l+1, M].
          edges: the graph with its geometry.
          x: history [B, N, T, C, 3].
        """
        last = Convolution({1: x.shape[3]}, self.radial, name="convolution")
        factor = self.param("factor", nn.initializers.constant(0.01), (), x.dtype)
        z = x + factor * last(features, edges)[1].swapaxes(-1, -2)
        return TemporalPooling(self.head, name="pooling")(z, x)


class TensorFieldNetwork(nn.Module):
    """Layers shared by all frames with a time embedding; frames combined by learned weights.

    Args:
      config: sizes and options, and which layers.
    """

    config: TensorFieldConfig

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
          graph: the edges, with or without features.
        """
        config = self.config
        origin = centre(history, graph)
        x = history - origin
        edges = edge_geometry(x, graph, config.degree)
        features = Inputs(config.channels[0], config.velocity, name="inputs")(x, node_features)
        for i in range(config.inner_layers):
            features = config.layer(i, features, edges)
        z = Outputs(config.radial_network, config.head, name="outputs")(features, edges, x)
        return z + origin[:, :, 0]
