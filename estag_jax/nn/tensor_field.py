"""Layers of tensor field networks: ST_TFN and ST_SE(3)-Transformer are made of them.

Features are kept by degree: a dict from l to an array [B, N, T, 2l+1, M], which turns as the
real spherical harmonics of that degree do and, under inversion, takes the sign (-1)^l. l = 0 are
invariants, l = 1 vectors (e3nn's components of l = 1 are x, y, z). Features of the other parity,
such as axial vectors, do not exist here; so everything is equivariant under reflections as well.

Products with the small matrices of an edge are written as sums of products: XLA's CPU backend takes
several times longer for a batched matrix product of that size (benchmarks/old_step.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation
from estag_jax.nn.linear import ACTIVATIONS, MLP, every_frame
from estag_jax.ops.geometry import safe_norm, safe_normalize
from estag_jax.ops.linalg import einsum, flat, matmul
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers

Features = Mapping[int, jax.Array]
"""From the degree l to features [B, N, T, 2l+1, M]; B is 1 where the windows share them."""

RadialWeights = Literal["matrix", "channel"]


class Edges(NamedTuple):
    """A graph with the geometry of its edges, which all layers share."""

    graph: Graph
    length: jax.Array
    """|x_ij| [B, E, T, 1]."""
    basis: Mapping[tuple[int, int, int], jax.Array | None]
    """From (l_in, l_filter, l_out) to matrices [B, E, T, 2 l_in + 1, 2 l_out + 1].

    None where l_filter is 0: the identity.
    """


@dataclasses.dataclass(frozen=True)
class Radial:
    """The perceptron that weights the filters of an edge by its length and features."""

    width: int = 32
    """Width of its two hidden layers."""
    weights: RadialWeights = "matrix"
    """As in the network's config."""
    activation: Activation = "silu"
    """Its nonlinearity."""


def edge_geometry(x: jax.Array, graph: Graph, degree: int) -> Edges:
    """Lengths and equivariant bases of all edges in all frames.

        B_ij[m_in, m_out] = sum_m Y_m(x_ij / |x_ij|) <l_in m_in, l_filter m | l_out m_out>

    (Y and Clebsch-Gordan coefficients of e3nn, normalised so that features keep their variance.) x_ij
    joins the means of the two nodes' channels. Where it is zero, only the filter l_filter = 0 is not.

    Args:
      x: positions [B, N, T, C, 3].
      graph: the edges.
      degree: number of degrees; vectors are always among them, as inputs and outputs.
    """
    # Not at the top: e3nn takes longer to import than all else, and most runs do not need it.
    import e3nn_jax

    anchor = jnp.mean(x, axis=3)
    x_ij = at_receivers(anchor, graph) - at_senders(anchor, graph)
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
                if l_filter == 0:
                    basis[l_in, 0, l_out] = None
                    continue
                coupling = e3nn_jax.clebsch_gordan(l_in, l_filter, l_out) * (2 * l_out + 1) ** 0.5
                y, coupling = harmonics[l_filter][..., 0, :], jnp.asarray(coupling, x.dtype)
                basis[l_in, l_filter, l_out] = einsum("betj,ijk->betik", y, coupling)
    return Edges(graph, length, basis)


class TensorProduct(nn.Module):
    """Message from the sender of every edge: the tensor product of its features with the filter.

        m_ij^{l_out} = sum over l_in, l_filter of R(|x_ij|, e_ij) B_ij f_j^{l_in}

    R is a matrix of the channels for every path (l_in, l_filter, l_out), from a perceptron of the
    length and the edge features; or the perceptron gives one weight for each channel of each path,
    and a matrix that is the same for all edges mixes them, which is several times faster. B_ij is
    applied before R or after it, where there are fewer components.

    Args:
      channels: channels of the messages by degree.
      radial: the network of R.
    """

    channels: Mapping[int, int]
    radial: Radial

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns messages by degree [B, E, T, 2l+1, M].

        Args:
          features: of the nodes, by degree [B, N, T, 2l+1, M_in].
          edges: the graph with its geometry.
        """
        senders = {degree: at_senders(f, edges.graph) for degree, f in features.items()}
        paths = {
            degree: [p for p in edges.basis if p[2] == degree and p[0] in senders]
            for degree in self.channels
        }
        widths = {d: [senders[p[0]].shape[-1] for p in paths[d]] for d in paths}
        matrix = self.radial.weights == "matrix"
        sizes = [sum(w) * (self.channels[d] if matrix else 1) for d, w in widths.items()]
        parts = [edges.length]
        if edges.graph.edge_features is not None:
            static = edges.graph.edge_features.astype(edges.length.dtype)
            parts.append((static, every_frame))
        layers = self.radial.width, self.radial.width, sum(sizes)
        weights = MLP(layers, self.radial.activation, name="radial")(*parts)
        pieces = dict(zip(paths, jnp.split(weights, np.cumsum(sizes)[:-1], axis=-1), strict=True))
        weighted = {}
        for degree, weights in pieces.items():
            if matrix:
                shape = *weights.shape[:3], 1, self.channels[degree], sum(widths[degree])
                weights = weights.reshape(shape)
            else:
                weights = weights[..., None, :]
            shares = jnp.split(weights, np.cumsum(widths[degree])[:-1], axis=-1)
            weighted[degree] = []
            for path, share in zip(paths[degree], shares, strict=True):
                f = senders[path[0]]
                if path[0] > degree:
                    f = _filtered(f, edges.basis[path])
                product = jnp.sum(share * f[..., None, :], axis=-1) if matrix else share * f
                weighted[degree].append(product)
        if not matrix:
            weighted = Mix(self.channels, name="mix")(weighted)
        messages = {}
        for degree, products in weighted.items():
            filtered = (
                f if path[0] > degree else _filtered(f, edges.basis[path])
                for path, f in zip(paths[degree], products, strict=True)
            )
            scale = sum(widths[degree]) ** -0.5 if matrix else 1
            messages[degree] = scale * sum(filtered)
        return messages


def _filtered(f, b_ij):
    """Features [B, E, T, 2 l_in + 1, M] times the matrix of a path."""
    return f if b_ij is None else jnp.sum(b_ij[..., None] * f[..., None, :], axis=-3)


class Mix(nn.Module):
    """Linear map of the channels of each degree, without bias.

    Args:
      channels: channels of the output by degree.
    """

    channels: Mapping[int, int]

    @nn.compact
    def __call__(self, features: Mapping[int, Sequence[jax.Array]]) -> dict[int, list[jax.Array]]:
        """Maps each part of the input by its rows of the matrix; their sum is the map of the whole.

        Args:
          features: by degree, parts [..., 2l+1, M_in] of what would be one array.

        Returns:
          By degree, parts [..., 2l+1, M].
        """
        return {degree: _mapped(self, degree, features[degree]) for degree in sorted(features)}


class SelfInteraction(nn.Module):
    """Linear map of the channels of each degree, without bias; degrees that are missing stay missing.

    Args:
      channels: channels of the output by degree.
    """

    channels: Mapping[int, int]

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Returns features by degree [..., 2l+1, M] from features [..., 2l+1, M_in]."""
        both = sorted(features.keys() & self.channels.keys())
        return {degree: _mapped(self, degree, [features[degree]])[0] for degree in both}


def _mapped(module, degree, parts):
    """Parts [..., 2l+1, M_in], each times its rows of the module's matrix of a degree."""
    widths, outputs = [f.shape[-1] for f in parts], module.channels[degree]
    initializer = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    shape = sum(widths), outputs
    kernel = module.param(f"kernel_{degree}", initializer, shape, parts[0].dtype)
    return [
        matmul(flat(f), rows).reshape(*f.shape[:-1], outputs)
        for f, rows in zip(parts, jnp.split(kernel, np.cumsum(widths)[:-1]), strict=True)
    ]


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
        """Returns features by degree of the same shapes [..., 2l+1, M]."""
        out = {}
        for degree, f in features.items():
            size = safe_norm(f, axis=-2) if degree else f[..., 0, :]
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
            out[degree] = gate[..., None, :] * (f if degree else 1)
        return out


class Convolution(nn.Module):
    """Layer of a tensor field network: mean of the messages plus self-interaction.

    Args:
      channels: channels of the output by degree.
      radial: the network of R.
    """

    channels: Mapping[int, int]
    radial: Radial

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns features by degree [B, N, T, 2l+1, M] from features [B, N, T, 2l+1, M_in]."""
        messages = TensorProduct(self.channels, self.radial, name="product")(features, edges)
        own = SelfInteraction(self.channels, name="self")(features)
        return {
            degree: mean_at_receivers(message, edges.graph) + own.get(degree, 0)
            for degree, message in messages.items()
        }
