"""EqMotion: equivariant motion prediction with invariant interaction reasoning (arXiv 2303.10876)."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.nn.heads import Head, TemporalPooling
from estag_jax.nn.layers import MLP, Activation, Linear, Part
from estag_jax.ops.geometry import HIGHEST, centre, safe_norm, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, sum_at_receivers
from estag_jax.types import Topology

Pairs = Literal["edges", "all"]

ALL_PAIRS_UP_TO = 256
"""Nodes up to which ``pairs="all"`` is accepted: its memory grows with their square."""


@dataclasses.dataclass(frozen=True)
class EqMotionConfig:
    """EqMotion, as ESTAG's authors set it up for the comparison, on the edges of the graph."""

    hidden: int = 16
    """Pattern features H of a node."""
    layers: int = 2
    """Feature learning layers L."""
    geometric_channels: int = 32
    """Vectors G of a node."""
    categories: int = 2
    """Kinds of interaction K between which the reasoning module decides."""
    future: int = 1
    """Frames whose cosine coefficients are put out; the first of them is the prediction."""
    pairs: Pairs = "edges"
    """Who interacts: the edges of the graph, or (published) all pairs, for few nodes."""
    motion_features: bool = True
    """Pattern features from speeds and turning angles too; False (ESTAG's program) leaves them out."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons."""
    head: Head = "absolute"
    """How the output becomes the prediction; the published head is absolute."""

    def __post_init__(self):
        if self.layers < 0:
            raise ValueError(f"layers={self.layers}: must be at least 0")
        for name in ("hidden", "geometric_channels", "categories", "future"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.pairs not in get_args(Pairs):
            raise ValueError(f"pairs={self.pairs!r}: expected one of {', '.join(get_args(Pairs))}")


def dct_matrix(length: int) -> np.ndarray:
    """Orthonormal discrete cosine transform (type II); its transpose is the inverse.

        D_kt = sqrt(2 / T) cos(π k (t + 1/2) / T),     D_0t = 1 / sqrt(T)

    Args:
      length: T.

    Returns:
      D, float64 [T, T]: frequencies, frames.
    """
    # The phase is reduced modulo one turn (4 T quarter steps) in integers: exact for every k * t.
    steps = np.outer(np.arange(length), 2 * np.arange(length) + 1) % (4 * length)
    matrix = np.sqrt(2 / length) * np.cos(np.pi * steps / (2 * length))
    matrix[0] = length**-0.5
    return matrix


def motion_features(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Invariants of a history: the length of each step and the angle between consecutive steps.

    The angle is atan2(|u × v|, u·v), whose derivative, unlike that of arccos, is finite for straight
    motion; beside a step of length zero it is zero.

    Args:
      x: history [N, T, C, 3].

    Returns:
      Step lengths [N, (T-1) C] and angles in radians [N, (T-2) C].
    """
    step = x[:, 1:] - x[:, :-1]
    unit = safe_normalize(step)
    u, v = unit[:, :-1], unit[:, 1:]
    sine, cosine = safe_norm(jnp.cross(u, v)), jnp.sum(u * v, axis=-1)
    angle = jnp.arctan2(sine, jnp.where((sine > 0) | (cosine != 0), cosine, 1))
    return tuple(values.reshape(len(x), -1) for values in (safe_norm(step), angle))


def vector_relu(query: jax.Array, key: jax.Array) -> jax.Array:
    """q where q·k >= 0, else q - (q·k) k / |k|²: q without its part against k. Turns with both.

    Args:
      query: [..., 3].
      key: [..., 3].

    Returns:
      [..., 3].
    """
    unit = safe_normalize(key)
    return query - jnp.minimum(jnp.sum(query * unit, axis=-1, keepdims=True), 0) * unit


class VectorLinear(nn.Module):
    """Linear map of vectors that mixes channels and not coordinates; no bias, so it turns with them.

    Args:
      features: channels of the output.
    """

    features: int

    @nn.compact
    def __call__(self, v: jax.Array) -> jax.Array:
        """Maps [N, inputs, 3] to [N, features, 3]."""
        uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        kernel = self.param("kernel", uniform, (v.shape[1], self.features), v.dtype)
        return jnp.einsum("nix,io->nox", v, kernel, precision=HIGHEST)


class InteractionReasoning(nn.Module):
    """Probabilities of the kinds of interaction along every edge, once for all layers.

        m_ij = phi_m(h_i, h_j, d_ij)
        h'_i = phi_h(h_i, sum_j m_ij)
        c_ij = softmax(phi_c(h'_i, h'_j, d_ij))

    Args:
      config: hidden, categories and activation are read.
    """

    config: EqMotionConfig

    @nn.compact
    def __call__(self, h: jax.Array, distances: jax.Array, topology: Topology) -> jax.Array:
        """Returns c [E, K], rows add up to one.

        Args:
          h: pattern features [N, H].
          distances: d_ij, between the ends' vectors, channel by channel [E, C_g].
          topology: the graph.
        """
        config, twice = self.config, (self.config.hidden,) * 2
        phi_m = MLP(twice, config.activation, activate_final=True, name="phi_m")
        received = sum_at_receivers(phi_m(*_ends(h, topology), distances), topology)
        h = MLP(twice, config.activation, activate_final=True, name="phi_h")(h, received)
        phi_c = MLP((config.hidden, config.categories), config.activation, name="phi_c")
        return jax.nn.softmax(phi_c(*_ends(h, topology), distances), axis=-1)


class FeatureLearning(nn.Module):
    """One layer of EqMotion: geometric features G and pattern features h of every node.

        G_i <- Gbar + (1 + phi_att(h_i)) (G_i - Gbar)                           attention within a node
        G_i <- G_i + sum_j sum_k c_ij(k) phi_k(h_i, h_j, d_ij) (G_i - G_j)      between nodes
        G_i <- Gbar + vector_relu(W_q (G_i - Gbar), W_k (G_i - Gbar))
        h_i <- h_i + phi_h(h_i, sum_j phi_m(h_i, h_j, d_ij))

    Gbar is the mean over nodes and channels of the G before it; G_i - G_j and d_ij = |G_i - G_j|,
    channel by channel, are those of the layer's input.

    Args:
      config: sizes and activation are read.
    """

    config: EqMotionConfig

    @nn.compact
    def __call__(
        self, h: jax.Array, g: jax.Array, categories: jax.Array, topology: Topology
    ) -> tuple[jax.Array, jax.Array]:
        """Returns h [N, H] and G [N, C_g, 3] after the layer.

        Args:
          h: pattern features [N, H].
          g: geometric features [N, C_g, 3].
          categories: c_ij(k) [E, K].
          topology: the graph.
        """
        config, twice = self.config, (self.config.hidden,) * 2
        widths = config.hidden, config.geometric_channels
        g_ij = at_receivers(g, topology) - at_senders(g, topology)
        invariants = *_ends(h, topology), safe_norm(g_ij)

        mean = jnp.mean(g, axis=(0, 1))
        gate = 1 + MLP(widths, config.activation, name="phi_att")(h)
        g = mean + gate[..., None] * (g - mean)

        weight = 0
        for k in range(config.categories):
            network = MLP(widths, config.activation, name=f"phi_{k}")
            weight = weight + categories[:, k : k + 1] * network(*invariants)
        g = g + sum_at_receivers(weight[..., None] * g_ij, topology)

        mean = jnp.mean(g, axis=(0, 1))
        query, key = (
            VectorLinear(config.geometric_channels, name=name)(g - mean) for name in ("w_q", "w_k")
        )
        g = mean + vector_relu(query, key)

        phi_m = MLP(twice, config.activation, activate_final=True, name="phi_m")
        received = sum_at_receivers(phi_m(*invariants), topology)
        return h + MLP(twice, config.activation, name="phi_h")(h, received), g


class EqMotion(nn.Module):
    """Cosine coefficients of the window, channels of vectors that nodes exchange, one frame out.

        X_i = D (x_i - xbar),  xbar the mean over nodes, frames and channels
        G_i = W_in (X_i - Xbar) + Xbar,     h_i = linear(|v_i|, angles of v_i, node features)
        L times FeatureLearning, with categories from InteractionReasoning
        y_i = first frame of Dᵀ (W_out (G_i - Gbar) + Gbar) + xbar

    Exactly E(3)- and permutation-equivariant. Where a node has several channels C, all their
    coefficients enter W_in (C T vectors in, C frames out), and all their speeds and angles h.

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

    def refuse(self, channels: int, topology: Topology) -> str | None:
        """Why a system is not taken, in one line, or None."""
        del channels  # any number
        if self.config.pairs == "all" and topology.num_nodes > ALL_PAIRS_UP_TO:
            nodes = f"at most {ALL_PAIRS_UP_TO} nodes and the system has {topology.num_nodes}"
            return f"EqMotion with pairs 'all' takes {nodes}; choose pairs 'edges'"
        return None

    @nn.compact
    def __call__(
        self, history: jax.Array, node_features: jax.Array, topology: Topology
    ) -> jax.Array:
        """Returns the predicted frame [N, C, 3].

        Args:
          history: past frames, oldest first [N, T, C, 3].
          node_features: invariant features [N, F].
          topology: the graph; its edge features are not looked at.
        """
        config = self.config
        nodes, past, channels, _ = history.shape
        if config.pairs == "all":
            topology = Topology(*np.nonzero(~np.eye(nodes, dtype=bool)), nodes)
        # In two steps: the mean of numbers far from zero is rounded too much.
        origin = centre(history)
        origin = origin + jnp.mean(history - origin, axis=(0, 1, 2))
        x = history - origin

        transform = jnp.asarray(dct_matrix(past), x.dtype)
        spectrum = jnp.einsum("kt,ntcx->nkcx", transform, x, precision=HIGHEST)
        spectrum = spectrum.reshape(nodes, past * channels, 3)
        mean = jnp.mean(spectrum, axis=(0, 1))
        g = mean + VectorLinear(config.geometric_channels, name="w_in")(spectrum - mean)
        invariants: list[Part] = [node_features.astype(x.dtype)]
        if config.motion_features:
            invariants += motion_features(x)
        h = Linear(config.hidden, name="embedding")(*invariants)

        if config.layers:
            g_ij = at_receivers(g, topology) - at_senders(g, topology)
            reasoning = InteractionReasoning(config, name="reasoning")
            categories = reasoning(h, safe_norm(g_ij), topology)
        for i in range(config.layers):
            h, g = FeatureLearning(config, name=f"layer_{i}")(h, g, categories, topology)

        mean = jnp.mean(g, axis=(0, 1))
        output = mean + VectorLinear(config.future * channels, name="w_out")(g - mean)
        first = jnp.asarray(dct_matrix(config.future)[:, 0], x.dtype)
        output = output.reshape(nodes, config.future, channels, 3)
        y = jnp.einsum("k,nkcx->ncx", first, output, precision=HIGHEST)
        pooling = TemporalPooling(config.head, displacements=True, name="pooling")
        return pooling(y if config.head == "absolute" else y - x[:, -1], x) + origin


def _ends(h: jax.Array, topology: Topology) -> tuple[Part, Part]:
    """Node features at both ends of every edge, as parts that are multiplied before gathering."""
    return (h, lambda v: at_receivers(v, topology)), (h, lambda v: at_senders(v, topology))
