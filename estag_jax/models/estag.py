"""ESTAG: equivariant spatio-temporal attentive graph network (arXiv 2405.12868)."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.config import Head, MessageConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.layers import apply_layers
from estag_jax.nn.linear import Linear
from estag_jax.nn.messages import NodeEmbedding
from estag_jax.ops.chunks import edges_at_once, over_edges
from estag_jax.ops.edft import (
    coherence,
    edft,
    edge_coherence,
    node_power,
    normalize_over_frequencies,
)
from estag_jax.ops.geometry import centre
from estag_jax.ops.linalg import einsum
from estag_jax.ops.segment import at_receivers, at_senders


@dataclasses.dataclass(frozen=True)
class EstagConfig(MessageConfig):
    """ESTAG. The defaults are the paper's equations; :meth:`released` is the authors' program."""

    in_parts: ClassVar[bool] = True

    layers: int = 2
    """Pairs of spatial and temporal modules L; 0 leaves the temporal pooling alone."""
    head: Head = "residual"
    """How frames become the prediction; softmax is the ablation without pooling."""
    edft: bool = True
    """Use the Fourier features of the history; False is the ablation without EDFT."""
    attention: bool = True
    """Use the temporal modules; False is the ablation without attention."""
    causal: bool = True
    """Attention sees past frames only."""
    edft_nodes: bool = True
    """Use the spectrum of the nodes, c_i(k)."""
    edft_edges: bool = True
    """Use the cross-spectrum of the edges, A_ij(k)."""
    edft_channel: int | None = None
    """Channel that is transformed; None: the second (CA of a backbone) where there are several."""
    edft_filter: Literal["frequency", "frame", "fixed"] = "frequency"
    """w_k from the node features by one output per frequency; or (released program) one linear map
    applied to the features of frame k with its time embedding; or fixed at 1."""
    edft_complex_square: bool = False
    """Node feature |sum f²| in place of ||f||² (released program)."""
    edft_normalize: float | None = None
    """Divide the features by their sum over k plus this epsilon (released program)."""
    edge_features: Literal["concat", "replace"] = "concat"
    """Whether EDFT features join the graph's edge features or replace them (released program)."""
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
    equivariant: bool = True
    """False: node features also see the coordinates as numbers, and follow no rotation."""
    turn_in_training: bool = False
    """Each training window is turned at random, and its forecast back: augmentation by O(3)."""
    coordinate_weight: ClassVar[float] = 1.0  # an option of ST_EGNN, which shares the module

    @classmethod
    def released(cls, channels: int = 1, **overrides) -> EstagConfig:
        """The authors' released program: all its departures from the equations.

        Args:
          channels: C; that program has other conventions for one channel than for several.
          **overrides: fields that differ from it.

        Example:
          >>> EstagConfig.released(channels=1, layers=4).edft_normalize
          1e-09
        """
        fields = dict(
            edft_filter="frame",
            edft_complex_square=True,
            edge_features="replace",
            aggregate="mean",
            activate_qkv=True,
            elements="number",
        )
        if channels == 1:
            fields |= dict(
                edft_normalize=1e-9, unit_vectors=True, clamp=100.0, flip_time_difference=True
            )
        else:
            fields |= dict(edft_normalize=1e-6, activation="leaky_relu")
        return cls(**fields | overrides)

    def build(self) -> ESTAG:
        return ESTAG(self)


class EDFTFeatures(nn.Module):
    """Fourier features A_ij(k) and c_i(k) of a history; equations in estag_jax.ops.edft.

    Args:
      config: its options edft_… say how.
    """

    config: EstagConfig = EstagConfig()

    @nn.compact
    def __call__(
        self, x: jax.Array, features: jax.Array, h: jax.Array, graph: Graph
    ) -> tuple[jax.Array, jax.Array]:
        """Returns edge features [B, E, K] and node features [B, N, K].

        Args:
          x: history [B, N, T, C, 3].
          features: embedded node features [G, N, H].
          h: the same with time embedding [G, N, T, H].
          graph: the edges.

        Raises:
          ValueError: there is no such channel.
        """
        config, channels = self.config, x.shape[3]
        channel = min(1, channels - 1) if config.edft_channel is None else config.edft_channel
        if not channel < channels:
            raise ValueError(f"edft_channel={channel}, but the history has {channels} channel(s)")
        spectrum = edft(x[:, :, :, channel], graph)
        if config.edft_filter == "fixed":
            w = jnp.ones((*features.shape[:2], x.shape[2] - 1), x.dtype)
        elif config.edft_filter == "frequency":
            w = nn.sigmoid(Linear(x.shape[2] - 1, name="filter")(features))
        else:
            w = nn.sigmoid(Linear(1, name="filter")(h[:, :, 1:]))[..., 0]
        sizes = graph.num_edges, x.shape[2], config.hidden, x.dtype.itemsize
        chunk = edges_at_once(*sizes, config.edges_at_once)
        if chunk == graph.num_edges:
            edges = at_receivers(w, graph) * at_senders(w, graph) * edge_coherence(spectrum, graph)
        else:
            edges, _ = over_edges(_weighted_coherence, (), (w, spectrum), (), graph, chunk)
        nodes = w * node_power(spectrum, config.edft_complex_square)
        if config.edft_normalize is not None:
            edges = normalize_over_frequencies(edges, config.edft_normalize)
            nodes = normalize_over_frequencies(nodes, config.edft_normalize)
        return edges, nodes


def _weighted_coherence(params, receiver, sender, edges):
    (w_i, f_i), (w_j, f_j) = receiver, sender
    return w_i * w_j * coherence(f_i, f_j), ()


class ESTAG(nn.Module):
    """Forecasts the next frame from T past ones, exactly E(3)- and permutation-equivariant.

    EDFT of the history, L times (spatial message passing in every frame, causal attention over the
    frames of every node), then temporal pooling. (ESTAG, arXiv 2405.12868, section 3.)

    Differs from the reference: a window is moved to the origin and back, which changes nothing in
    exact arithmetic; the options of :class:`EstagConfig` name all other differences.

    Args:
      config: sizes and options: an EstagConfig, or the StEgnnConfig of ST_EGNN, which has fewer.
      features_first: compute the layers as nn.features_first does, where it serves: with the same
        result, but without forward-mode derivatives. Training and evaluation ask for it (models.base).
    """

    config: EstagConfig | Any = EstagConfig()
    features_first: bool = False

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frames [B, N, C, 3].

        Args:
          history: past frames of every window, oldest first [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
          graph: one for all windows or one a window.
        """
        config = self.config
        origin = centre(history, graph)
        x = history - origin
        turn = None
        if config.turn_in_training and self.has_rng("dropout"):
            turn = jax.random.orthogonal(self.make_rng("dropout"), 3, x.shape[:1], x.dtype)
            x = einsum("bxy,bntcy->bntcx", turn, x)
        edges = () if graph.edge_features is None else (graph.edge_features,)
        if config.layers:
            nodes = None
            embedding = NodeEmbedding(config.hidden, name="embedding")
            features, h = embedding(node_features.astype(x.dtype), x.shape[2])
            if config.edft:
                fourier, power = EDFTFeatures(config, name="edft")(x, features, h, graph)
                nodes = power if config.edft_nodes else None
                if config.edft_edges:
                    edges = (*edges, fourier) if config.edge_features == "concat" else (fourier,)
            if not config.equivariant:
                h = h + Linear(config.hidden, name="coordinates")(x.reshape(*x.shape[:3], -1))
            h = config.lowered(h)
            edges = tuple(config.lowered(part) for part in edges)
            x = apply_layers(self, h, x, graph, edges, nodes)
        x = TemporalPooling(config.head, name="pooling")(x)
        if turn is not None:
            x = einsum("bxy,bncx->bncy", turn, x)
        return x + origin[:, 0]
