"""ESTAG: equivariant spatio-temporal attentive graph network (arXiv 2405.12868)."""

from __future__ import annotations

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.heads import Head, TemporalPooling
from estag_jax.nn.layers import Activation, Linear, NodeEmbedding, SpatialModule, TemporalModule
from estag_jax.ops.edft import edft, edge_coherence, node_power, normalize_over_frequencies
from estag_jax.ops.geometry import centre
from estag_jax.ops.segment import at_receivers, at_senders
from estag_jax.types import Topology


@dataclasses.dataclass(frozen=True)
class EstagConfig:
    """ESTAG. The defaults are the paper's equations; ``reference`` is the released program."""

    hidden: int = 16
    """Hidden features H."""
    layers: int = 2
    """Pairs of spatial and temporal modules L; 0 leaves the temporal pooling alone."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons."""
    head: Head = "residual"
    """How frames become the prediction; softmax is the ablation without pooling."""
    edft: bool = True
    """Use the Fourier features of the history; False is the ablation without EDFT."""
    attention: bool = True
    """Use the temporal modules; False is the ablation without attention."""
    causal: bool = True
    """Attention sees past frames only."""
    edft_channel: int = 0
    """Channel that is transformed where C > 1."""
    edft_filter: Literal["frequency", "frame"] = "frequency"
    """w_k from the node features by one output per frequency, or (released program) one linear map
    applied to the features of frame k with its time embedding."""
    edft_complex_square: bool = False
    """Node feature |sum f²| in place of ||f||² (released program)."""
    edft_normalize: float | None = None
    """Divide the features by their sum over k plus this epsilon (released program)."""
    edge_features: Literal["concat", "replace"] = "concat"
    """Whether EDFT features join the topology's edge features or replace them (released program)."""
    aggregate: Literal["sum", "mean"] = "sum"
    """Coordinate messages summed, or averaged over the neighbours (released program)."""
    unit_vectors: bool = False
    """Coordinate messages along x_ij / |x_ij| (released program, C = 1)."""
    clamp: float | None = None
    """Bound on each component of a coordinate message (released program, C = 1)."""
    activate_qkv: bool = False
    """Queries, keys and values end in an activation (released program)."""
    flip_time_difference: bool = False
    """Attention moves x(t) by x(s) - x(t) in place of x(t) - x(s) (released program, C = 1)."""

    def __post_init__(self):
        if self.hidden < 1 or self.layers < 0:
            raise ValueError(
                f"hidden={self.hidden}, layers={self.layers}: hidden must be at least 1, layers at least 0"
            )

    @classmethod
    def reference(cls, channels: int = 1, **overrides) -> EstagConfig:
        """The released program's departures from the equations, all of them.

        Args:
          channels: C; that program has other conventions for one channel than for several.
          **overrides: fields that differ from it.
        """
        fields = dict(
            edft_filter="frame",
            edft_complex_square=True,
            edge_features="replace",
            aggregate="mean",
            activate_qkv=True,
        )
        if channels == 1:
            fields |= dict(
                edft_normalize=1e-9, unit_vectors=True, clamp=100.0, flip_time_difference=True
            )
        else:
            fields |= dict(edft_normalize=1e-6, activation="leaky_relu", edft_channel=1)
        return cls(**fields | overrides)


class EDFTFeatures(nn.Module):
    """Fourier features A_ij(k) and c_i(k) of a history; equations in estag_jax.ops.edft.

    Args:
      config: the edft_* fields are read.
    """

    config: EstagConfig

    @nn.compact
    def __call__(
        self, x: jax.Array, features: jax.Array, h: jax.Array, topology: Topology
    ) -> tuple[jax.Array, jax.Array]:
        """Returns edge features [E, K] and node features [N, K].

        Args:
          x: history [N, T, C, 3].
          features: embedded node features [N, H].
          h: the same with time embedding [N, T, H].
          topology: the graph.
        """
        config = self.config
        if not config.edft_channel < x.shape[2]:
            raise ValueError(
                f"edft_channel={config.edft_channel}, but the history has {x.shape[2]} channel(s)"
            )
        spectrum = edft(x[:, :, config.edft_channel])
        if config.edft_filter == "frequency":
            w = nn.sigmoid(Linear(x.shape[1] - 1, name="filter")(features))
        else:
            w = nn.sigmoid(Linear(1, name="filter")(h[:, 1:]))[..., 0]
        edges = at_receivers(w, topology) * at_senders(w, topology)
        edges = edges * edge_coherence(spectrum, topology)
        nodes = w * node_power(spectrum, config.edft_complex_square)
        if config.edft_normalize is not None:
            edges = normalize_over_frequencies(edges, config.edft_normalize)
            nodes = normalize_over_frequencies(nodes, config.edft_normalize)
        return edges, nodes


class ESTAG(nn.Module):
    """Forecasts the next frame of one graph from T past ones, exactly E(3)- and permutation-equivariant.

    EDFT of the history, L times (spatial message passing in every frame, causal attention over the
    frames of every node), then temporal pooling. (ESTAG, arXiv 2405.12868, section 3.)

    Differs from the reference: a window is moved to the origin and back, which changes nothing in
    exact arithmetic; the options of :class:`EstagConfig` name all other differences.

    Args:
      config: sizes and options.
    """

    config: EstagConfig = EstagConfig()

    @nn.compact
    def __call__(
        self, history: jax.Array, node_features: jax.Array, topology: Topology
    ) -> jax.Array:
        """Returns the predicted frame [N, C, 3].

        Args:
          history: past frames, oldest first [N, T, C, 3].
          node_features: invariant features [N, F].
          topology: the graph.
        """
        config = self.config
        origin = centre(history)
        x = history - origin
        edges, nodes = topology.edge_features, None
        if config.layers:
            embedding = NodeEmbedding(config.hidden, name="embedding")
            features, h = embedding(node_features.astype(x.dtype), x.shape[1])
            if config.edft:
                fourier, nodes = EDFTFeatures(config, name="edft")(x, features, h, topology)
                if edges is None or config.edge_features == "replace":
                    edges = fourier
                else:
                    edges = jnp.concatenate([edges.astype(x.dtype), fourier], axis=-1)
        for i in range(config.layers):
            h, x = SpatialModule(
                config.hidden,
                config.activation,
                config.aggregate,
                config.unit_vectors,
                config.clamp,
                name=f"spatial_{i}",
            )(h, x, topology, edges, nodes)
            if config.attention:
                h, x = TemporalModule(
                    config.hidden,
                    config.activation,
                    config.causal,
                    config.activate_qkv,
                    config.flip_time_difference,
                    name=f"temporal_{i}",
                )(h, x)
        return TemporalPooling(config.head, name="pooling")(x) + origin
