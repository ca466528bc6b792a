"""ST_EGNN: the E(n)-equivariant graph network of arXiv 2102.09844, run on every frame."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.config import Head, NetworkConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.messages import NodeEmbedding, SpatialModule
from estag_jax.ops.geometry import centre


@dataclasses.dataclass(frozen=True)
class StEgnnConfig(NetworkConfig):
    """ST_EGNN, as ESTAG's authors set it up for the comparison."""

    head: Head = "softmax"
    """How frames become the prediction; the published combination is softmax."""
    clamp: float | None = 100.0
    """Bound on each component of a coordinate message."""
    coordinate_weight: float = 1.0
    """Factor on the coordinate update (3 for proteins in the released program)."""

    @classmethod
    def gmn(cls, **overrides) -> StEgnnConfig:
        """ST_GMN, the graph mechanics network (arXiv 2203.06442) without its mechanical constraints.

        Its invariants for C > 1 are the normalised Gram matrix of x_ij, as everywhere here. The
        released program's EGNN for proteins is the same network without the clamp.

        Args:
          **overrides: fields that differ from it.
        """
        return cls(**dict(activation="leaky_relu", coordinate_weight=3.0) | overrides)

    def build(self) -> StEgnn:
        return StEgnn(self)


class StEgnn(nn.Module):
    """An EGNN shared by all frames with a time embedding; frames combined by learned weights.

    Coordinate messages are averaged over the neighbours, along raw x_ij. For C > 1 the invariants are
    the normalised Gram matrix of x_ij, which makes it ST_GMN (:meth:`StEgnnConfig.gmn`).

    Differs from the reference: its edge features also repeat the atomic numbers of both ends, which h
    holds already; a window is moved to the origin and back.

    Args:
      config: sizes and options.
    """

    config: StEgnnConfig = StEgnnConfig()

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
        embedding = NodeEmbedding(config.hidden, name="embedding")
        _, h = embedding(node_features.astype(x.dtype), x.shape[2])
        edges = () if graph.edge_features is None else (graph.edge_features,)
        for i in range(config.layers):
            h, x = SpatialModule(
                config.hidden,
                config.activation,
                aggregate="mean",
                clamp=config.clamp,
                coordinate_weight=config.coordinate_weight,
                name=f"spatial_{i}",
            )(h, x, graph, edges)
        return TemporalPooling(config.head, name="pooling")(x) + origin[:, 0]
