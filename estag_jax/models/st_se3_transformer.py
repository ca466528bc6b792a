"""ST_SE(3)-Transformer: the equivariant attention network of arXiv 2006.10503, run on every frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from estag_jax.nn.tensor_field import (
    Edges,
    Features,
    NormActivation,
    Radial,
    SelfInteraction,
    TensorProduct,
)
from estag_jax.nn.tensor_field_ends import TensorFieldConfig
from estag_jax.ops.segment import at_receivers, softmax_at_receivers, sum_at_receivers


@dataclasses.dataclass(frozen=True)
class StSe3TransformerConfig(TensorFieldConfig):
    """ST_SE(3)-Tr, as ESTAG's authors set it up for the comparison; the output's layer is an extra one.

    L times (attention, norm nonlinearity), then a convolution to one vector per channel.

    Differs from the reference: for E(3) in place of SE(3), so that no axial vectors exist; invariants
    are activated with their sign, directions smoothly at zero (NormActivation); activation SiLU; no
    layer normalisation in the radial networks, of which keys and values have one each for all
    degrees. Self-interaction as in the paper: the released program has switched it off. That program
    also has no embedding of node scalar and time and no edge features.
    """

    attention_heads: int = 1
    """Heads of the attention; they share out the channels of every degree."""

    def __post_init__(self):
        super().__post_init__()
        width = self.hidden // self.degree
        if self.attention_heads < 1 or width % self.attention_heads:
            raise ValueError(
                f"attention_heads={self.attention_heads} does not divide the {width} channels of a degree "
                f"(hidden={self.hidden} // degree={self.degree})"
            )

    def layer(self, i: int, features: Features, edges: Edges) -> Features:
        layer = EquivariantAttention(
            self.channels, self.radial_network, self.attention_heads, name=f"attention_{i}"
        )
        activate = NormActivation(self.activation, layer_norm=True, name=f"activation_{i}")
        return activate(layer(features, edges))


class EquivariantAttention(nn.Module):
    """Attention over the neighbours of every node by invariant weights.

        q_i = W_Q f_i,   k_ij = W_K(x_ij) f_j
        alpha_ij = softmax over j of <q_i, k_ij> / sqrt(components of k)
        f_i <- W_S f_i + sum_j alpha_ij W_V(x_ij) f_j

    (arXiv 2006.10503, equations 10 to 12.) Keys and values are tensor products with the filters of
    the edge; queries and keys have the degrees that the input has.

    Args:
      channels: channels of the output by degree.
      radial: the network of the tensor products.
      heads: they share out the channels of every degree.
    """

    channels: Mapping[int, int]
    radial: Radial
    heads: int = 1

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns features by degree [B, N, T, 2l+1, M] from features [B, N, T, 2l+1, M_in]."""
        graph = edges.graph
        inner = {degree: m for degree, m in self.channels.items() if degree in features}
        value, key = (
            TensorProduct(channels, self.radial, name=name)(features, edges)
            for channels, name in ((self.channels, "value"), (inner, "key"))
        )
        query = SelfInteraction(inner, name="query")(features)
        scores, components = 0, 0
        for degree, k in key.items():
            q, k = self._by_head(at_receivers(query[degree], graph)), self._by_head(k)
            scores = scores + jnp.sum(q * k, axis=(-3, -1))
            components += k.shape[-3] * k.shape[-1]
        alpha = softmax_at_receivers(scores / components**0.5, graph)

        own = SelfInteraction(self.channels, name="self")(features)
        out = {}
        for degree, v in value.items():
            # Each head weights its share of the channels.
            weighted = (alpha[..., None, :, None] * self._by_head(v)).reshape(v.shape)
            out[degree] = sum_at_receivers(weighted, graph) + own.get(degree, 0)
        return out

    def _by_head(self, f):
        """Features [..., 2l+1, M] as [..., 2l+1, heads, M / heads]."""
        return f.reshape(*f.shape[:-1], self.heads, f.shape[-1] // self.heads)
