"""ST_GNN: message passing on plain coordinates in every frame, not equivariant."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.linear import MLP, Linear, every_frame
from estag_jax.nn.messages import ends
from estag_jax.ops.segment import sum_at_receivers


@dataclasses.dataclass(frozen=True)
class StGnnConfig(NetworkConfig):
    """ST_GNN, as ESTAG's authors set it up for the comparison."""

    head: Head = "softmax"
    """How the outputs of the frames become the prediction; published: softmax of absolute outputs."""

    def build(self) -> StGnn:
        return StGnn(self)


class MessageLayer(nn.Module):
    """One round of messages on hidden features, residual.

        h_i <- h_i + phi_h(h_i, sum_j phi_m(h_i, h_j, e_ij, f_i, f_j))

    (arXiv 1704.01212, with the perceptrons of the released program.)

    Args:
      hidden: H.
      activation: name in ACTIVATIONS.
    """

    hidden: int
    activation: Activation = "silu"

    @nn.compact
    def __call__(self, h: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns h [B, N, T, H].

        Args:
          h: [B, N, T, H].
          node_features: f, the same in every frame [G, N, F].
          graph: the edges with e_ij.
        """
        parts = [*ends(h, graph), *ends(node_features, graph, every_frame)]
        if graph.edge_features is not None:
            parts.append((graph.edge_features.astype(h.dtype), every_frame))
        widths = (self.hidden,) * 2
        message = MLP(widths, self.activation, activate_final=True, name="phi_m")(*parts)
        total = sum_at_receivers(message, graph)
        return h + MLP(widths, self.activation, name="phi_h")(h, total)


class StGnn(nn.Module):
    """Message passing in every frame on node features and coordinates, a decoder to C * 3 numbers.

        h_i(t) = W [f_i, x_i(t)] + time embedding;  L rounds of messages;  z_i(t) = phi(h_i(t))

    Weights are shared by the frames. Permutation-equivariant; neither rotation nor translation of
    the input is followed by the output. (ST_GNN of arXiv 2405.12868.) The head says what z(t) means:
    coordinates for softmax and absolute, differences from x(t) for residual and last.

    Differs from the reference: where the nodes are no atoms, that program leaves the node features out
    of the messages (f_i and f_j above), which the hidden features hold already.

    Args:
      config: sizes and options.
    """

    config: StGnnConfig = StGnnConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frames [B, N, C, 3].

        Args:
          history: past frames of every window, oldest first [B, N, T, C, 3].
          node_features: features [G, N, F].
          graph: one for all windows or one a window.
        """
        config = self.config
        past, channels = history.shape[2:4]
        features = node_features.astype(history.dtype)
        coordinates = history.reshape(*history.shape[:3], channels * 3)
        h = Linear(config.hidden, name="embedding")((features, every_frame), coordinates)
        h = h + self.param("time", nn.initializers.normal(1.0), (past, config.hidden), h.dtype)
        for i in range(config.layers):
            layer = MessageLayer(config.hidden, config.activation, name=f"messages_{i}")
            h = layer(h, features, graph)
        z = MLP((config.hidden, channels * 3), config.activation, name="decoder")(h)
        head = TemporalPooling(config.head, displacements=True, name="pooling")
        return head(z.reshape(history.shape), history)
