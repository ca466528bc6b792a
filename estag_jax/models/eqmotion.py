"""EqMotion: equivariant motion prediction with invariant interaction reasoning (arXiv 2303.10876)."""

from __future__ import annotations

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.linear import MLP, Linear, Part, uniform_fan_in
from estag_jax.nn.messages import ends
from estag_jax.ops.geometry import centre, safe_norm
from estag_jax.ops.linalg import einsum, flat, matmul
from estag_jax.ops.motion import dct_matrix, motion_features, vector_relu
from estag_jax.ops.segment import at_receivers, at_senders, mean_over_nodes, sum_at_receivers

Pairs = Literal["edges", "all"]

ALL_PAIRS_UP_TO = 256
"""Nodes up to which ``pairs="all"`` is accepted: its memory grows with their square."""


@dataclasses.dataclass(frozen=True)
class EqMotionConfig(NetworkConfig):
    """EqMotion, as ESTAG's authors set it up for the comparison, on the edges of the graph."""

    hidden: int = 16
    """Pattern features H of a node."""
    layers: int = 2
    """Feature learning layers L."""
    head: Head = "absolute"
    """How the output becomes the prediction; the published head is absolute."""
    geometric_channels: int = 32
    """Vectors C_g of a node."""
    categories: int = 2
    """Kinds of interaction K between which the reasoning module decides."""
    future: int = 1
    """Frames whose cosine coefficients are put out; the first of them is the prediction."""
    pairs: Pairs = "edges"
    """Who interacts: the edges of the graph, or (published) all pairs, for few nodes."""
    motion_features: bool = True
    """Pattern features from speeds and turning angles too; False (ESTAG's program) leaves them out."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("geometric_channels", "categories", "future"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")

    def build(self) -> EqMotion:
        """The network, without parameters."""
        return EqMotion(self)


def all_pairs(graph: Graph) -> Graph:
    """The graph that joins every two different nodes, of the real ones alone; no edge features."""
    ends = np.nonzero(~np.eye(graph.num_nodes, dtype=bool))
    pairs = Graph(*ends, graph.num_nodes)
    if graph.node_mask is not None:
        pairs = pairs.take(np.zeros(graph.num_graphs, int))
        real = graph.node_mask
        pairs.node_mask, pairs.edge_mask = real, at_receivers(real, pairs) & at_senders(real, pairs)
    return pairs


class VectorLinear(nn.Module):
    """Linear map of vectors that mixes channels and not coordinates; no bias, so it turns with them.

    Channels come last: a loop over 32 of them is vectorised, one over three coordinates is not.

    Args:
      features: channels of the output.
    """

    features: int

    @nn.compact
    def __call__(self, v: jax.Array) -> jax.Array:
        """Maps [..., 3, inputs] to [..., 3, features]."""
        kernel = self.param("kernel", uniform_fan_in, (v.shape[-1], self.features), v.dtype)
        return matmul(flat(v), kernel).reshape(*v.shape[:-1], self.features)


class InteractionReasoning(nn.Module):
    """Probabilities of the kinds of interaction along every edge, once for all layers.

        m_ij = phi_m(h_i, h_j, d_ij)
        h'_i = phi_h(h_i, sum_j m_ij)
        c_ij = softmax(phi_c(h'_i, h'_j, d_ij))

    Args:
      hidden: H.
      categories: K.
      activation: name in ACTIVATIONS.
    """

    hidden: int
    categories: int
    activation: Activation = "silu"

    @nn.compact
    def __call__(self, h: jax.Array, distances: jax.Array, graph: Graph) -> jax.Array:
        """Returns c [B, E, K], rows add up to one.

        Args:
          h: pattern features [B, N, H].
          distances: d_ij, between the ends' vectors, channel by channel [B, E, C_g].
          graph: the edges.
        """
        twice, activation = (self.hidden,) * 2, self.activation
        phi_m = MLP(twice, activation, activate_final=True, name="phi_m")
        received = sum_at_receivers(phi_m(*ends(h, graph), distances), graph)
        h = MLP(twice, activation, activate_final=True, name="phi_h")(h, received)
        phi_c = MLP((self.hidden, self.categories), activation, name="phi_c")
        return jax.nn.softmax(phi_c(*ends(h, graph), distances), axis=-1)


class FeatureLearning(nn.Module):
    """One layer of EqMotion: geometric features G and pattern features h of every node.

        G_i <- Gbar + (1 + phi_att(h_i)) (G_i - Gbar)                           attention within a node
        G_i <- G_i + sum_j sum_k c_ij(k) phi_k(h_i, h_j, d_ij) (G_i - G_j)      between nodes
        G_i <- Gbar + vector_relu(W_q (G_i - Gbar), W_k (G_i - Gbar))
        h_i <- h_i + phi_h(h_i, sum_j phi_m(h_i, h_j, d_ij))

    Gbar is the mean over nodes and channels of the G before it; G_i - G_j and d_ij = |G_i - G_j|,
    channel by channel, are those of the layer's input.

    Args:
      hidden: H.
      geometric_channels: C_g.
      activation: name in ACTIVATIONS.
    """

    hidden: int
    geometric_channels: int
    activation: Activation = "silu"

    @nn.compact
    def __call__(
        self, h: jax.Array, g: jax.Array, categories: jax.Array, graph: Graph
    ) -> tuple[jax.Array, jax.Array]:
        """Returns h [B, N, H] and G [B, N, 3, C_g] after the layer.

        Args:
          h: pattern features [B, N, H].
          g: geometric features [B, N, 3, C_g].
          categories: c_ij(k) [B, E, K].
          graph: the edges.
        """
        twice, widths = (self.hidden,) * 2, (self.hidden, self.geometric_channels)
        activation = self.activation
        g_ij = at_receivers(g, graph) - at_senders(g, graph)
        invariants = *ends(h, graph), safe_norm(g_ij, axis=-2)

        mean = _mean(g, graph)
        gate = 1 + MLP(widths, activation, name="phi_att")(h)
        g = mean + gate[:, :, None] * (g - mean)

        weight = 0
        for k in range(categories.shape[-1]):
            network = MLP(widths, activation, name=f"phi_{k}")
            weight = weight + categories[..., k : k + 1] * network(*invariants)
        g = g + sum_at_receivers(weight[:, :, None] * g_ij, graph)

        mean = _mean(g, graph)
        query, key = (
            VectorLinear(self.geometric_channels, name=name)(g - mean) for name in ("w_q", "w_k")
        )
        g = mean + vector_relu(query, key)

        phi_m = MLP(twice, activation, activate_final=True, name="phi_m")
        received = sum_at_receivers(phi_m(*invariants), graph)
        return h + MLP(twice, activation, name="phi_h")(h, received), g


class EqMotion(nn.Module):
    """Cosine coefficients of the window, channels of vectors that nodes exchange, one frame out.

        X_i = D (x_i - xbar),  xbar the mean over nodes, frames and channels
        G_i = W_in (X_i - Xbar) + Xbar,     h_i = linear(|v_i|, angles of v_i, node features)
        L times FeatureLearning, with categories from InteractionReasoning
        y_i = first frame of Dᵀ (W_out (G_i - Gbar) + Gbar) + xbar

    Exactly E(3)- and permutation-equivariant; means over nodes are over the real ones. Where a node
    has several channels C, all their coefficients enter W_in (C T vectors in, C frames out), and all
    their speeds and angles h.

    y is an absolute position, so head absolute gives y, and last, x(T-1) + (y - x(T-1)), the same.
    The other heads take y - x(T-1) as the one displacement of the window, which TemporalPooling
    adds to every frame: softmax gives y plus the weighted mean of x(t) - x(T-1), residual y plus
    the free combination of them, which starts at y.

    Differs from the reference (arXiv 2303.10876 and its program): messages run along the graph's
    edges unless ``pairs="all"``; node features join the speeds and angles; the attention's gate is
    1 + phi_att and h keeps its old value (the program, not the printed equations); phi_att, phi_k
    and phi_c are plain perceptrons of two layers, without the program's closing activations, its
    one-layer phi_att and its further perceptron on each of the distances and the weighted sum;
    vector_relu divides by |k|² itself; there is no softmax temperature, which
    phi_c's last layer can hold, and no second set of velocity vectors, which are linear in x;
    turning angles begin with the second step. ESTAG's program reshapes [N, T] out of [T, N], takes
    no speeds or angles, and adds the last frame to y: of these only ``motion_features=False`` is
    offered.

    Args:
      config: sizes and options.
    """

    config: EqMotionConfig = EqMotionConfig()

    def refuse(self, channels: int, graph: Graph) -> str | None:
        """Why a system is not taken, in one line, or None."""
        del channels  # any number
        if self.config.pairs == "all" and graph.num_nodes > ALL_PAIRS_UP_TO:
            nodes = f"at most {ALL_PAIRS_UP_TO} nodes and the system has {graph.num_nodes}"
            return f"EqMotion with pairs 'all' takes {nodes}; choose pairs 'edges'"
        return None

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
          graph: the edges; their features are not looked at.
        """
        config = self.config
        windows, nodes, past, channels, _ = history.shape
        if config.pairs == "all":
            graph = all_pairs(graph)
        # In two steps: the mean of numbers far from zero is rounded too much.
        origin = centre(history, graph)
        origin = origin + mean_over_nodes(history - origin, graph, (2, 3), keepdims=True)
        x = history - origin

        spectrum = einsum("kt,bntcx->bnxkc", jnp.asarray(dct_matrix(past), x.dtype), x)
        spectrum = spectrum.reshape(windows, nodes, 3, past * channels)
        mean = _mean(spectrum, graph)
        g = mean + VectorLinear(config.geometric_channels, name="w_in")(spectrum - mean)
        invariants: list[Part] = [node_features.astype(x.dtype)]
        if config.motion_features:
            invariants += motion_features(x)
        h = Linear(config.hidden, name="embedding")(*invariants)

        if config.layers:
            distances = safe_norm(at_receivers(g, graph) - at_senders(g, graph), axis=-2)
            categories = InteractionReasoning(
                config.hidden, config.categories, config.activation, name="reasoning"
            )(h, distances, graph)
        for i in range(config.layers):
            h, g = FeatureLearning(
                config.hidden, config.geometric_channels, config.activation, name=f"layer_{i}"
            )(h, g, categories, graph)

        mean = _mean(g, graph)
        output = mean + VectorLinear(config.future * channels, name="w_out")(g - mean)
        first = jnp.asarray(dct_matrix(config.future)[:, 0], x.dtype)
        output = output.reshape(windows, nodes, 3, config.future, channels)
        y = einsum("k,bnxkc->bncx", first, output)
        pooling = TemporalPooling(config.head, displacements=True, name="pooling")
        return pooling(y if config.head == "absolute" else y - x[:, :, -1], x) + origin[:, :, 0]


def _mean(vectors: jax.Array, graph: Graph) -> jax.Array:
    """Mean [B, 1, 3, 1] of vectors [B, N, 3, M] over real nodes and channels."""
    return mean_over_nodes(vectors, graph, axes=(3,), keepdims=True)
