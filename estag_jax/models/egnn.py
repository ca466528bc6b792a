"""EGNN on one frame of the window (arXiv 2102.09844): EGNN-s, EGNN-m and EGNN-t of the tables."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, MessageConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.layers import apply_layers
from estag_jax.nn.linear import Linear
from estag_jax.ops.geometry import centre
from estag_jax.ops.segment import at_receivers, at_senders


@dataclasses.dataclass(frozen=True)
class EgnnConfig(MessageConfig):
    """EGNN on a single frame, as ESTAG's authors set it up for the comparison."""

    in_parts: ClassVar[bool] = True

    frame: Literal["first", "middle", "last"] = "last"
    """The frame that is seen: first (EGNN-s), middle, that is (T-1)//2 (EGNN-m), or last (EGNN-t)."""
    layers: int = 2
    """Message-passing layers L; 0 copies the frame."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons (leaky_relu for proteins in the released program)."""
    head: Head = "absolute"
    """How the moved frame becomes the prediction; published: it is the prediction."""
    clamp: float | None = 100.0
    """Bound on each component of a coordinate message (none for proteins there)."""
    coordinate_weight: float = 1.0
    """Factor on the coordinate update (3 for proteins there)."""
    # Options of ESTAG, whose layers it shares, that are fixed here.
    attention: ClassVar[bool] = False
    aggregate: ClassVar[Literal["mean"]] = "mean"
    unit_vectors: ClassVar[bool] = False

    def build(self) -> Egnn:
        return Egnn(self)


class Egnn(nn.Module):
    """An EGNN that sees one frame of the window, E(3)- and permutation-equivariant.

        m_ij = phi_m(h_i, h_j, |x_ij|², e_ij, f_i, f_j)
        x_i <- x_i + mean_j x_ij phi_x(m_ij)
        h_i <- h_i + phi_h(h_i, sum_j m_ij)

    with the node features f at both ends of an edge as further edge features; for C > 1, the
    normalised Gram matrix of x_ij replaces |x_ij|². (arXiv 2102.09844, equations 3 to 6.)

    Head absolute returns the moved frame. The others take how far the frame moved, u, as one output
    for the window: last is x(T-1) + u, and residual and softmax combine the frames x(t) + u, so that
    with them the past enters through the head alone.

    Differs from the reference: no embedding of the single frame's time, a constant that the bias of
    the node embedding contains; a window is moved to the origin and back.

    Args:
      config: sizes and options.
      features_first: as that of ESTAG.
    """

    config: EgnnConfig = EgnnConfig()
    features_first: bool = False

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frames [B, N, C, 3].

        Args:
          history: past frames of every window, oldest first [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
          graph: one for all windows or one a window.
        """
        config = self.config
        last = history.shape[2] - 1
        seen = {"first": 0, "middle": last // 2, "last": last}[config.frame]
        frame = history[:, :, seen : seen + 1]
        origin = centre(frame, graph)
        frame = frame - origin
        features = node_features.astype(frame.dtype)
        edges = [at_receivers(features, graph), at_senders(features, graph)]
        if graph.edge_features is not None:
            edges.append(graph.edge_features)
        h = config.lowered(Linear(config.hidden, name="embedding")(features)[:, :, None])
        x = apply_layers(self, h, frame, graph, edges)
        y = (x if config.head == "absolute" else x - frame)[:, :, 0]
        head = TemporalPooling(config.head, displacements=True, name="pooling")
        return head(y, history - origin) + origin[:, 0]
