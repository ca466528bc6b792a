"""Parts of tensor field networks: ST_TFN and ST_SE(3)-Transformer are made of them.

Features are kept by degree: a dict from l to an array [N, T, M, 2l+1], which turns as the real
spherical harmonics of that degree do and, under inversion, takes the sign (-1)^l. l = 0 are
invariants, l = 1 vectors (e3nn's components of l = 1 are x, y, z). Features of the other parity,
such as axial vectors, do not exist here; so everything is equivariant under reflections as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.nn.heads import Head, TemporalPooling
from estag_jax.nn.layers import ACTIVATIONS, MLP, Activation, NodeEmbedding
from estag_jax.ops.geometry import HIGHEST, safe_norm, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers
from estag_jax.types import Topology

Features = Mapping[int, jax.Array]
"""From the degree l to features [N, T, M, 2l+1]."""

RadialWeights = Literal["matrix", "channel"]


class Edges(NamedTuple):
    """A graph with the geometry of its edges, which all layers share."""

    topology: Topology
    length: jax.Array
    """|x_ij| [E, T, 1]."""
    basis: Mapping[tuple[int, int, int], jax.Array]
    """From (l_in, l_filter, l_out) to matrices [E, T, 2 l_in + 1, 2 l_out + 1]."""


@dataclasses.dataclass(frozen=True)
class TensorFieldConfig:
    """What ST_TFN and ST_SE(3)-Transformer have in common."""

    hidden: int = 16
    """Hidden channels of all degrees together; each degree has hidden // degree."""
    layers: int = 2
    """Layers L."""
    degree: int = 2
    """Number of degrees: hidden features have l = 0 … degree - 1."""
    radial: int = 32
    """Width of the two hidden layers of the radial networks."""
    radial_weights: RadialWeights = "matrix"
    """One weight for each pair of channels and edge, or one for each channel, mixed by a fixed matrix."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons and of the norms."""
    velocity: bool = False
    """Vectors x(t) - x(t-1) as input (zero in frame 0); the released program puts zeros in their place."""
    head: Head = "softmax"
    """How frames become the prediction; the published combination is softmax."""

    def __post_init__(self):
        if self.layers < 1 or self.degree < 1 or self.radial < 1 or self.hidden < self.degree:
            raise ValueError(
                f"hidden={self.hidden}, layers={self.layers}, degree={self.degree}, radial={self.radial}: "
                "all must be at least 1, and hidden at least degree"
            )

    @property
    def channels(self) -> dict[int, int]:
        """Hidden channels by degree."""
        return dict.fromkeys(range(self.degree), self.hidden // self.degree)


def edge_geometry(x: jax.Array, topology: Topology, degree: int) -> Edges:
    """Lengths and equivariant bases of all edges in all frames.

        B_ij[m_in, m_out] = sum_m Y_m(x_ij / |x_ij|) <l_in m_in, l_filter m | l_out m_out>

    (Y and Clebsch-Gordan coefficients of e3nn, normalised so that features keep their variance.) x_ij
    joins the means of the two nodes' channels. Where it is zero, only the filter l_filter = 0 is not.

    Args:
      x: positions [N, T, C, 3].
      topology: the graph.
      degree: number of degrees; vectors are always among them, as inputs and outputs.
    """
    # Not at the top: e3nn takes longer to import than all else, and most runs do not need it.
    import e3nn_jax

    anchor = jnp.mean(x, axis=2)
    x_ij = at_receivers(anchor, topology) - at_senders(anchor, topology)
    direction, length = safe_normalize(x_ij), safe_norm(x_ij, keepdims=True)
    highest = max(degree - 1, 1)
    # Inside, e3nn multiplies matrices without a precision of its own: TF32 on a GPU otherwise.
    with jax.default_matmul_precision("highest"):
        vectors, degrees = e3nn_jax.IrrepsArray("1o", direction), range(2 * highest + 1)
        harmonics = e3nn_jax.spherical_harmonics(degrees, vectors, False, "component").chunks
    basis = {}
    for l_in in range(highest + 1):
        for l_out in range(highest + 1):
            # Steps of two: the others give the wrong parity.
            for l_filter in range(abs(l_in - l_out), l_in + l_out + 1, 2):
                coupling = e3nn_jax.clebsch_gordan(l_in, l_filter, l_out) * (2 * l_out + 1) ** 0.5
                y, coupling = harmonics[l_filter][:, :, 0], jnp.asarray(coupling, x.dtype)
                path = l_in, l_filter, l_out
                basis[path] = jnp.einsum("etj,ijk->etik", y, coupling, precision=HIGHEST)
    return Edges(topology, length, basis)


class TensorProduct(nn.Module):
    """Message from the sender of every edge: the tensor product of its features with the filter.

        m_ij^{l_out} = sum over l_in, l_filter of R(|x_ij|, e_ij) B_ij f_j^{l_in}

    R is a matrix of the channels for every path (l_in, l_filter, l_out), from a perceptron of the
    length and the edge features; or the perceptron gives one weight for each channel of each path,
    and a matrix that is the same for all edges mixes them, which is several times faster.

    Args:
      channels: channels of the messages by degree.
      config: the radial_* fields and the activation are read.
    """

    channels: Mapping[int, int]
    config: TensorFieldConfig

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns messages by degree [E, T, M, 2l+1].

        Args:
          features: of the nodes, by degree [N, T, M_in, 2l+1].
          edges: the graph.
        """
        config = self.config
        senders = {degree: at_senders(f, edges.topology) for degree, f in features.items()}
        paths = {degree: [] for degree in self.channels}
        for (l_in, _, l_out), b_ij in edges.basis.items():
            if l_in in senders and l_out in paths:
                product = jnp.einsum("etmi,etik->etmk", senders[l_in], b_ij, precision=HIGHEST)
                paths[l_out].append(product)
        products = {degree: jnp.concatenate(path, axis=2) for degree, path in paths.items()}
        matrix = config.radial_weights == "matrix"
        sizes = [p.shape[2] * (self.channels[d] if matrix else 1) for d, p in products.items()]
        parts = [edges.length]
        if edges.topology.edge_features is not None:
            static = edges.topology.edge_features.astype(edges.length.dtype)
            parts.append((static, lambda values: values[:, None]))
        radial = MLP((config.radial, config.radial, sum(sizes)), config.activation, name="radial")
        pieces = jnp.split(radial(*parts), np.cumsum(sizes)[:-1], axis=-1)
        messages = {}
        for (degree, product), weights in zip(products.items(), pieces, strict=True):
            if matrix:
                shape = *product.shape[:2], self.channels[degree], product.shape[2]
                weights = weights.reshape(shape) / product.shape[2] ** 0.5
                message = jnp.einsum("etmp,etpk->etmk", weights, product, precision=HIGHEST)
            else:
                message = weights[..., None] * product
            messages[degree] = message
        return messages if matrix else SelfInteraction(self.channels, name="mix")(messages)


class SelfInteraction(nn.Module):
    """Linear map of the channels of each degree, without bias; degrees that are missing stay missing.

    Args:
      channels: channels of the output by degree.
    """

    channels: Mapping[int, int]

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Returns features by degree [..., M, 2l+1] from features [..., M_in, 2l+1]."""
        out = {}
        for degree in sorted(features.keys() & self.channels.keys()):
            f = features[degree]
            initializer = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
            shape = f.shape[2], self.channels[degree]
            kernel = self.param(f"kernel_{degree}", initializer, shape, f.dtype)
            out[degree] = jnp.einsum("...ui,uw->...wi", f, kernel, precision=HIGHEST)
        return out


class NormActivation(nn.Module):
    """Nonlinearity of the invariants, and of the lengths of all else.

        f <- phi(f + b) for l = 0,   f <- phi(|f| + b) f otherwise               (arXiv 1802.08219)
        f <- phi(LN(f)) for l = 0,   f <- phi(LN(|f|)) f / (|f|² + 1e-6)^(1/2)   (arXiv 2006.10503)

    LN, layer normalisation, is taken over the channels. The 1e-6 makes the direction of a feature
    that vanishes go to zero, where f / |f| would jump.

    Args:
      activation: name in ACTIVATIONS.
      layer_norm: the second form.
    """

    activation: Activation = "silu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Returns features by degree of the same shapes [N, T, M, 2l+1]."""
        out = {}
        for degree, f in features.items():
            size = safe_norm(f) if degree else f[..., 0]
            if self.layer_norm:
                name, types = f"norm_{degree}", dict(dtype=f.dtype, param_dtype=f.dtype)
                # The fast variance is a difference of squares, which loses digits in float32.
                norm = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name, **types)
                gate = norm(size)
            else:
                zeros = nn.initializers.zeros
                gate = size + self.param(f"bias_{degree}", zeros, size.shape[-1:], f.dtype)
            gate = ACTIVATIONS[self.activation](gate)
            if degree and self.layer_norm:
                gate = gate / jnp.sqrt(size * size + 1e-6)
            out[degree] = gate[..., None] * (f if degree else 1)
        return out


class Convolution(nn.Module):
    """Layer of a tensor field network: mean of the messages plus self-interaction.

    Args:
      channels: channels of the output by degree.
      config: the radial_* fields and the activation are read.
    """

    channels: Mapping[int, int]
    config: TensorFieldConfig

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns features by degree [N, T, M, 2l+1] from features [N, T, M_in, 2l+1]."""
        messages = TensorProduct(self.channels, self.config, name="product")(features, edges)
        own = SelfInteraction(self.channels, name="self")(features)
        return {
            degree: mean_at_receivers(message, edges.topology) + own.get(degree, 0)
            for degree, message in messages.items()
        }


class Inputs(nn.Module):
    """Embedded node features with time embedding (l = 0) and what vectors there are (l = 1).

    Vectors are the channels relative to their mean where C > 1, and velocities if the config says so.

    Args:
      config: sizes and options.
    """

    config: TensorFieldConfig

    @nn.compact
    def __call__(self, x: jax.Array, node_features: jax.Array) -> Features:
        """Returns features by degree.

        Args:
          x: history [N, T, C, 3].
          node_features: invariant features [N, F].
        """
        embedding = NodeEmbedding(self.config.channels[0], name="embedding")
        _, h = embedding(node_features.astype(x.dtype), x.shape[1])
        vectors = [x - jnp.mean(x, axis=2, keepdims=True)] if x.shape[2] > 1 else []
        if self.config.velocity:
            vectors.append(jnp.diff(x, axis=1, prepend=x[:, :1]))
        features = {0: h[..., None]}
        if vectors:
            features[1] = jnp.concatenate(vectors, axis=2)
        return features


class Outputs(nn.Module):
    """One vector for every channel by a last convolution, added to the frames; then the head.

    The learned factor of the vectors starts at 0.01, so that the model starts near the frames.

    Args:
      config: sizes and options.
    """

    config: TensorFieldConfig

    @nn.compact
    def __call__(self, features: Features, edges: Edges, x: jax.Array) -> jax.Array:
        """Returns the predicted frame [N, C, 3].

        Args:
          features: of the last layer, by degree [N, T, M, 2l+1].
          edges: the graph.
          x: history [N, T, C, 3].
        """
        last = Convolution({1: x.shape[2]}, self.config, name="convolution")
        factor = self.param("factor", nn.initializers.constant(0.01), (), x.dtype)
        z = x + factor * last(features, edges)[1]
        return TemporalPooling(self.config.head, name="pooling")(z)
