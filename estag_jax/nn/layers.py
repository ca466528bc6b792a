"""Building blocks that the networks share: linear layers, perceptrons, the spatial and temporal modules.

Parameters live here, mathematics in estag_jax.ops. Every module sees one graph; the caller vmaps.
Parameters take the dtype of the data, so a float64 history gives a float64 model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights
from estag_jax.ops.geometry import gram, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers
from estag_jax.types import Topology

WINDOWS = "windows"
"""Name of the axis over which the training step maps a model: batch statistics are taken along it."""

Activation = Literal["silu", "leaky_relu"]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": nn.silu,
    "leaky_relu": partial(nn.leaky_relu, negative_slope=0.2),
}

# Uniform on ±1/sqrt(inputs): variance 1/(3 inputs).
_uniform_fan_in = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# Xavier-uniform with gain 1e-3 (variance 2 gain² / (inputs + outputs)): at the start coordinates hardly move.
_almost_zero = nn.initializers.variance_scaling(1e-6, "fan_avg", "uniform")


Lift = Callable[[jax.Array], jax.Array]
"""From the axes on which a part of an input is given to the axes of the output."""

Part = jax.Array | tuple[jax.Array, Lift]


class Linear(nn.Module):
    """Affine map of the last axis, weights and bias uniform on ±1/sqrt(inputs) at the start.

    The input may be given in parts, as if concatenated. A part with a lift is multiplied where it is
    cheap and lifted afterwards: node features are mapped before they are gathered to the edges,
    static edge features before they are repeated over the frames.

    Args:
      features: size of the output's last axis.
      small: Xavier-uniform weights with gain 1e-3 and no bias: the last layer of coordinate networks.
    """

    features: int
    small: bool = False

    @nn.compact
    def __call__(self, *parts: Part) -> jax.Array:
        """Maps [..., inputs] to [..., features].

        Args:
          *parts: arrays, or pairs of array and lift, whose last axes are the pieces of the input.
        """
        pairs = [part if isinstance(part, tuple) else (part, lambda x: x) for part in parts]
        widths = [x.shape[-1] for x, _ in pairs]
        dtype = pairs[0][0].dtype
        initializer = _almost_zero if self.small else _uniform_fan_in
        if sum(widths) == 0 or self.features == 0:
            initializer = nn.initializers.zeros  # the others divide by the size
        kernel = self.param("kernel", initializer, (sum(widths), self.features), dtype)
        out, row = 0, 0
        for (x, lift), width in zip(pairs, widths, strict=True):
            # HIGHEST also here: invariants rounded to TF32 would jump when a rotation changes their
            # last bit, and equivariance on a GPU would be lost in the third digit.
            out = out + lift(jnp.matmul(x, kernel[row : row + width], precision="highest"))
            row += width
        if self.small:
            return out
        bound = max(sum(widths), 1) ** -0.5

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return out + self.param("bias", uniform, (self.features,), dtype)


class MLP(nn.Module):
    """Perceptron: linear layers with the activation between them.

    Args:
      widths: size of each layer's output.
      activation: name in ACTIVATIONS.
      activate_final: apply it after the last layer as well.
      small_final: the last layer is ``Linear(small=True)``.
    """

    widths: Sequence[int]
    activation: Activation = "silu"
    activate_final: bool = False
    small_final: bool = False

    @nn.compact
    def __call__(self, *parts: Part) -> jax.Array:
        """Maps [..., inputs], in one or several parts as for Linear, to [..., widths[-1]]."""
        last = len(self.widths) - 1
        for i, width in enumerate(self.widths):
            layer = Linear(width, small=self.small_final and i == last, name=f"layer_{i}")
            x = layer(*parts)
            if i < last or self.activate_final:
                x = ACTIVATIONS[self.activation](x)
            parts = (x,)
        return x


class WindowNorm(nn.Module):
    """Batch normalisation over the windows of a training step (arXiv 1502.03167), here for one graph.

    Training (the collection batch_stats is mutable) normalises by the statistics of the step's windows
    and keeps running ones, momentum 0.9, which are used everywhere else.

    Args:
      axis: the axis that keeps its own statistics; all others are averaged over.
    """

    axis: int = -1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises an array of any shape."""
        axis = self.axis % x.ndim
        others = tuple(a for a in range(x.ndim) if a != axis)
        width = (x.shape[axis],)
        scale = self.param("scale", nn.initializers.ones, width, x.dtype)
        bias = self.param("bias", nn.initializers.zeros, width, x.dtype)
        # flax's BatchNorm keeps float32 statistics, which a float64 model could not carry on.
        kept_mean = self.variable("batch_stats", "mean", jnp.zeros, width, x.dtype)
        kept_variance = self.variable("batch_stats", "variance", jnp.ones, width, x.dtype)
        mean, variance = kept_mean.value, kept_variance.value
        if self.is_mutable_collection("batch_stats"):
            mean, square = x.mean(others), (x**2).mean(others)
            if not self.is_initializing():
                mean, square = jax.lax.pmean((mean, square), WINDOWS)
            variance = jnp.maximum(square - mean**2, 0)
            if not self.is_initializing():
                kept_mean.value = 0.9 * kept_mean.value + 0.1 * mean
                kept_variance.value = 0.9 * kept_variance.value + 0.1 * variance
        shape = [width[0] if a == axis else 1 for a in range(x.ndim)]
        gain = scale * jax.lax.rsqrt(variance + 1e-5)
        return (x - mean.reshape(shape)) * gain.reshape(shape) + bias.reshape(shape)


class NodeEmbedding(nn.Module):
    """Linear embedding of the node features plus a learned embedding of the frame's place in the window.

    Args:
      hidden: H.
    """

    hidden: int

    @nn.compact
    def __call__(self, node_features: jax.Array, past: int) -> tuple[jax.Array, jax.Array]:
        """Returns the features [N, H] and the same with time embedding [N, T, H].

        Args:
          node_features: [N, F].
          past: T.
        """
        features = Linear(self.hidden, name="features")(node_features)
        time = self.param(
            "time", nn.initializers.normal(1.0), (past, self.hidden), node_features.dtype
        )
        return features, features[:, None] + time


class SpatialModule(nn.Module):
    """Equivariant message passing in every frame (ESM; an EGNN layer where C = 1).

        m_ij = phi_m(h_i, h_j, invariants of x_ij, e_ij)
        x_i <- x_i + sum_j x_ij phi_x(m_ij)
        h_i <- h_i + phi_h(h_i, sum_j m_ij, c_i)

    The invariants are |x_ij|² for one channel, else the C × C Gram matrix divided by its norm.

    Args:
      hidden: H.
      activation: name in ACTIVATIONS.
      aggregate: whether coordinate messages are summed or averaged over the neighbours.
      unit_vectors: divide x_ij by its length in the coordinate update.
      clamp: bound on the size of each component of a coordinate message, or None.
      coordinate_weight: factor on the coordinate update.
    """

    hidden: int
    activation: Activation = "silu"
    aggregate: Literal["sum", "mean"] = "sum"
    unit_vectors: bool = False
    clamp: float | None = None
    coordinate_weight: float = 1.0

    @nn.compact
    def __call__(
        self,
        h: jax.Array,
        x: jax.Array,
        topology: Topology,
        edge_features: jax.Array | None = None,
        node_features: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns h [N, T, H] and x [N, T, C, 3] after one round of messages.

        Args:
          h: [N, T, H].
          x: [N, T, C, 3].
          topology: the graph.
          edge_features: invariant e_ij [E, F], the same in every frame, or None.
          node_features: invariant c_i [N, F], the same in every frame, or None.
        """
        channels = x.shape[2]

        def to_receivers(values):
            return at_receivers(values, topology)

        def to_senders(values):
            return at_senders(values, topology)

        def every_frame(values):
            return values[:, None]

        x_ij = to_receivers(x) - to_senders(x)
        parts = [(h, to_receivers), (h, to_senders), gram(x_ij, normalize=channels > 1)]
        if edge_features is not None:
            parts.append((edge_features.astype(h.dtype), every_frame))
        message = MLP((self.hidden,) * 2, self.activation, activate_final=True, name="phi_m")(
            *parts
        )

        gate = MLP((self.hidden, channels), self.activation, small_final=True, name="phi_x")(
            message
        )
        push = (safe_normalize(x_ij) if self.unit_vectors else x_ij) * gate[..., None]
        if self.clamp is not None:
            # Componentwise, so not equivariant where it acts: a guard of the released program.
            push = jnp.clip(push, -self.clamp, self.clamp)
        collect = mean_at_receivers if self.aggregate == "mean" else sum_at_receivers
        x = x + self.coordinate_weight * collect(push, topology)

        parts = [h, sum_at_receivers(message, topology)]
        if node_features is not None:
            parts.append((node_features.astype(h.dtype), every_frame))
        return h + MLP((self.hidden,) * 2, self.activation, name="phi_h")(*parts), x


class TemporalModule(nn.Module):
    """Causal attention over the frames of every node (ETM); equations in estag_jax.ops.attention.

    Args:
      hidden: H.
      activation: name in ACTIVATIONS.
      causal: frame t sees frames s <= t only.
      activate_qkv: queries, keys and values end in an activation.
      flip_difference: use x(s) - x(t) in place of x(t) - x(s).
    """

    hidden: int
    activation: Activation = "silu"
    causal: bool = True
    activate_qkv: bool = False
    flip_difference: bool = False

    @nn.compact
    def __call__(self, h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns h [N, T, H] and x [N, T, C, 3] after one round of attention.

        Args:
          h: [N, T, H].
          x: [N, T, C, 3].
        """
        query, key, value = (
            MLP((self.hidden,) * 2, self.activation, self.activate_qkv, name=name)(h)
            for name in ("phi_q", "phi_k", "phi_v")
        )
        alpha = attention_weights(query, key, self.causal)
        gate = MLP((self.hidden, x.shape[2]), self.activation, small_final=True, name="phi_x")(
            value
        )
        sign = -1 if self.flip_difference else 1
        return h + attend_features(alpha, value), x + sign * attend_coordinates(alpha, gate, x)
