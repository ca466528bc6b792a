"""ST_SE(3)-Transformer: the equivariant attention network of arXiv 2006.10503, run on every frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.tensor_field import (
    Edges,
    Features,
    Inputs,
    NormActivation,
    Outputs,
    SelfInteraction,
    TensorFieldConfig,
    TensorProduct,
    edge_geometry,
)
from estag_jax.ops.geometry import HIGHEST, centre
from estag_jax.ops.segment import at_receivers, sum_at_receivers
from estag_jax.types import Topology


@dataclasses.dataclass(frozen=True)
class StSe3TransformerConfig(TensorFieldConfig):
    """ST_SE(3)-Tr, as ESTAG's authors set it up for the comparison; the output's layer is an extra one."""

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


def softmax_at_receivers(scores: jax.Array, topology: Topology) -> jax.Array:
    """Softmax over the edges that end at the same node.

    Args:
      scores: [E, ...].
      topology: gives the receivers and N.

    Returns:
      [E, ...], for every receiver adding up to one.
    """
    # Any shift cancels, so the largest score need not be differentiated.
    top = jax.ops.segment_max(
        jax.lax.stop_gradient(scores),
        topology.receivers,
        topology.num_nodes,
        indices_are_sorted=True,
    )
    weights = jnp.exp(scores - at_receivers(top, topology))
    return weights / at_receivers(sum_at_receivers(weights, topology), topology)


class EquivariantAttention(nn.Module):
    """Attention over the neighbours of every node by invariant weights.

        q_i = W_Q f_i,   k_ij = W_K(x_ij) f_j
        alpha_ij = softmax over j of <q_i, k_ij> / sqrt(components of k)
        f_i <- W_S f_i + sum_j alpha_ij W_V(x_ij) f_j

    (arXiv 2006.10503, equations 10 to 12.) Keys and values are tensor products with the filters of
    the edge; queries and keys have the degrees that the input has.

    Args:
      channels: channels of the output by degree.
      config: attention_heads, the radial_* fields and the activation are read.
    """

    channels: Mapping[int, int]
    config: StSe3TransformerConfig

    @nn.compact
    def __call__(self, features: Features, edges: Edges) -> Features:
        """Returns features by degree [N, T, M, 2l+1] from features [N, T, M_in, 2l+1]."""
        inner = {degree: m for degree, m in self.channels.items() if degree in features}
        value, key = (
            TensorProduct(channels, self.config, name=name)(features, edges)
            for channels, name in ((self.channels, "value"), (inner, "key"))
        )
        query = SelfInteraction(inner, name="query")(features)
        queries = at_receivers(self._by_head(query), edges.topology)
        keys = self._by_head(key)
        scores = jnp.einsum("ethd,ethd->eth", queries, keys, precision=HIGHEST)
        alpha = softmax_at_receivers(scores / keys.shape[-1] ** 0.5, edges.topology)

        own = SelfInteraction(self.channels, name="self")(features)
        out = {}
        for degree, v in value.items():
            # Each head weights its share of the channels.
            weights = jnp.repeat(alpha, v.shape[2] // self.config.attention_heads, axis=-1)[
                ..., None
            ]
            out[degree] = sum_at_receivers(weights * v, edges.topology) + own.get(degree, 0)
        return out

    def _by_head(self, features):
        """All degrees in one array [..., T, heads, components]."""
        heads, rows = self.config.attention_heads, []
        for _, f in sorted(features.items()):
            components = f.shape[2] // heads * f.shape[3]
            rows.append(f.reshape(*f.shape[:2], heads, components))
        return jnp.concatenate(rows, axis=-1)


class StSe3Transformer(nn.Module):
    """An SE(3)-Transformer shared by all frames with a time embedding; frames combined by learned weights.

    L times (attention, norm nonlinearity), then a convolution to one vector per channel.

    Differs from the reference: for E(3) in place of SE(3), so that no axial vectors exist; invariants
    are activated with their sign, directions smoothly at zero (NormActivation); activation SiLU; no
    layer normalisation in the radial networks, of which keys and values have one each for all
    degrees. Self-interaction as in the paper: the released program has switched it off. That program
    also has no embedding of node scalar and time and no edge features.

    Args:
      config: sizes and options.
    """

    config: StSe3TransformerConfig = StSe3TransformerConfig()

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
        edges = edge_geometry(x, topology, config.degree)
        features = Inputs(config, name="inputs")(x, node_features)
        for i in range(config.layers):
            layer = EquivariantAttention(config.channels, config, name=f"attention_{i}")
            activate = NormActivation(config.activation, layer_norm=True, name=f"activation_{i}")
            features = activate(layer(features, edges))
        return Outputs(config, name="outputs")(features, edges, x) + origin
