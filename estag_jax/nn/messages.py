"""Features of the nodes at the start, and equivariant messages between them in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation
from estag_jax.nn.linear import MLP, Lift, Linear, Part, every_frame
from estag_jax.ops.chunks import edges_at_once, over_edges
from estag_jax.ops.geometry import gram, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, over_degree, sum_at_receivers


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
      edges_at_once: edges computed at once; None: by the rule of estag_jax.ops.chunks.
    """

    hidden: int
    activation: Activation = "silu"
    aggregate: Literal["sum", "mean"] = "sum"
    unit_vectors: bool = False
    clamp: float | None = None
    coordinate_weight: float = 1.0
    edges_at_once: int | None = None

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
        phi_m = MLP((self.hidden,) * 2, self.activation, activate_final=True, name="phi_m")
        phi_x = MLP((self.hidden, channels), self.activation, small_final=True, name="phi_x")

        def messages(phi_m, phi_x, h_ends, x_ij, edges):
            parts = [*h_ends, gram(x_ij, normalize=channels > 1)]
            parts += [(part.astype(h.dtype), every_frame) for part in edges]
            message = phi_m(*parts)
            gate = phi_x(message)
            push = (safe_normalize(x_ij) if self.unit_vectors else x_ij) * gate[..., None]
            if self.clamp is not None:
                # Componentwise, so not equivariant where it acts: a guard of the released program.
                push = jnp.clip(push, -self.clamp, self.clamp)
            return message.astype(x_ij.dtype), push

        sizes = graph.num_edges, x.shape[2], self.hidden, x.dtype.itemsize
        chunk = edges_at_once(*sizes, self.edges_at_once)
        if chunk == graph.num_edges or self.is_initializing():
            x_ij = at_receivers(x, graph) - at_senders(x, graph)
            sums = messages(phi_m, phi_x, ends(h, graph), x_ij, edge_features)
            sums = jax.tree.map(lambda values: sum_at_receivers(values, graph), sums)
        else:
            networks = [phi.clone(parent=None) for phi in (phi_m, phi_x)]

            def at_edges(params, receiver, sender, edges):
                phis = [partial(net.apply, p) for net, p in zip(networks, params, strict=True)]
                (h_i, x_i), (h_j, x_j) = receiver, sender
                return (), messages(*phis, [h_i, h_j], x_i - x_j, edges)

            params = [phi.variables for phi in (phi_m, phi_x)]
            _, sums = over_edges(at_edges, params, (h, x), tuple(edge_features), graph, chunk)
        message, push = sums
        push = over_degree(push, graph) if self.aggregate == "mean" else push
        x = x + self.coordinate_weight * push

        parts = [h, message.astype(h.dtype)]
        if node_features is not None:
            parts.append((node_features.astype(h.dtype), every_frame))
        return h + MLP((self.hidden,) * 2, self.activation, name="phi_h")(*parts), x
