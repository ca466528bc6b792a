"""The layers that ESTAG, ST_EGNN and EGNN share: messages in every frame, then attention over frames."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn import features_first
from estag_jax.nn.messages import SpatialModule
from estag_jax.nn.temporal import TemporalModule


def apply_layers(
    network: nn.Module,
    h: jax.Array,
    x: jax.Array,
    graph: Graph,
    edge_features: Sequence[jax.Array],
    node_features: jax.Array | None = None,
) -> jax.Array:
    """The moved frames [B, N, T, C, 3] after L spatial modules, each with a temporal one if asked for.

    Called within the network, whose submodules spatial_0, temporal_0, … they are. With its
    ``features_first`` set they are computed as in nn.features_first where that serves.

    Args:
      network: with fields ``config``, the options of ESTAG, and ``features_first``.
      h: features [G, N, T, H].
      x: positions [B, N, T, C, 3].
      graph: the edges.
      edge_features: parts [B or G, E, F], the same in every frame.
      node_features: [B, N, F], likewise, or None.
    """
    config = network.config
    asked = network.features_first and not network.is_initializing()
    if asked and features_first.serves(config, x, graph):
        params = network.variables["params"]
        return features_first.run_layers(config, params, h, x, graph, edge_features, node_features)
    for i in range(config.layers):
        h, x = SpatialModule(
            config.hidden,
            config.activation,
            config.aggregate,
            config.unit_vectors,
            config.clamp,
            config.coordinate_weight,
            config.edges_at_once,
            name=f"spatial_{i}",
        )(h, x, graph, edge_features, node_features)
        if config.attention:
            h, x = TemporalModule(
                config.hidden,
                config.activation,
                config.causal,
                config.activate_qkv,
                config.flip_time_difference,
                name=f"temporal_{i}",
            )(h, x)
    return x
