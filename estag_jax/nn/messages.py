"""Features of the nodes at the start, and equivariant messages between them in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation
from estag_jax.nn.linear import MLP, Lift, Linear, Part, every_frame
from estag_jax.ops.geometry import gram, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers


def ends(values: jax.Array, graph: Graph, lift: Lift = lambda x: x) -> list[Part]:
    """Node values at both ends of every edge, receiver first, as parts that are multiplied at the nodes.

    Args:
      values: [B, N, ...].
      graph: the edges.
      lift: what is to be done at the edges.
    """
    return [
        (values, lambda v: lift(at_receivers(v, graph))),
        (values, lambda v: lift(at_senders(v, graph))),
    ]


class NodeEmbedding(nn.Module):
    """Linear embedding of the node features plus a learned embedding of the frame's place in the window.

    Args:
      hidden: H.
    """

    hidden: int

    @nn.compact
    def __call__(self, node_features: jax.Array, past: int) -> tuple[jax.Array, jax.Array]:
        """Returns the features [G, N, H] and the same with time embedding [G, N, T, H].

        Args:
          node_features: [G, N, F].
          past: T.
        """
        features = Linear(self.hidden, name="features")(node_features)
        time = self.param(
            "time", nn.initializers.normal(1.0), (past, self.hidden), node_features.dtype
        )
        return features, features[:, :, None] + time


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
        graph: Graph,
        edge_features: Sequence[jax.Array] = (),
        node_features: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns h [B, N, T, H] and x [B, N, T, C, 3] after one round of messages.

        Args:
          h: [B, N, T, H], or [1, N, T, H] where all windows share it.
          x: [B, N, T, C, 3].
          graph: the edges.
          edge_features: invariant e_ij in parts [B, E, F] or [1, E, F], the same in every frame.
          node_features: invariant c_i [B, N, F], the same in every frame, or None.
        """
        channels = x.shape[3]
        widths = (self.hidden,) * 2
        x_ij = at_receivers(x, graph) - at_senders(x, graph)
        parts = [*ends(h, graph), gram(x_ij, normalize=channels > 1)]
        parts += [(part.astype(h.dtype), every_frame) for part in edge_features]
        message = MLP(widths, self.activation, activate_final=True, name="phi_m")(*parts)

        phi_x = MLP((self.hidden, channels), self.activation, small_final=True, name="phi_x")
        gate = phi_x(message)
        push = (safe_normalize(x_ij) if self.unit_vectors else x_ij) * gate[..., None]
        if self.clamp is not None:
            # Componentwise, so not equivariant where it acts: a guard of the released program.
            push = jnp.clip(push, -self.clamp, self.clamp)
        collect = mean_at_receivers if self.aggregate == "mean" else sum_at_receivers
        x = x + self.coordinate_weight * collect(push, graph)

        parts = [h, sum_at_receivers(message, graph)]
        if node_features is not None:
            parts.append((node_features.astype(h.dtype), every_frame))
        return h + MLP(widths, self.activation, name="phi_h")(*parts), x
