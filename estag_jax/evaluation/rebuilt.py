"""Rollouts whose radius graph follows the moving nodes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array, Graph
from estag_jax.models.base import NetworkPredictor, Predictor
from estag_jax.ops.neighbours import Neighbours, allocate, update
from estag_jax.ops.rollout import rollout_with

SKIN = 0.2
"""Of the cutoff, unless given."""


def roll_rebuilt(
    predictor: Predictor,
    history: np.ndarray,
    inputs: tuple[Array, Graph],
    steps: int,
    cutoff: float,
    *,
    skin: float | None = None,
    capacity: float = 1.25,
    channel: int = 0,
) -> tuple[np.ndarray, int]:
    """The next frames after a history, by the edges between nodes that are close at each step.

    Edges join the nodes that are within the cutoff in the last frame of the history, the forecast before
    it; their feature is the distance there. With the graph of kind radius that a network is trained on, both
    are those of the trajectory's frame 0.

    Args:
      predictor: a network of one seed.
      history: of one window [1, N, T, C, 3].
      inputs: of the system, with its radius graph.
      steps: frames to predict.
      cutoff: in the unit of the positions.
      skin: pairs are kept up to cutoff + skin, so that they are looked for more rarely; None for 0.2 times
        the cutoff.
      capacity: room for pairs, as a multiple of those at the start.
      channel: the point of a node that distances are measured from.

    Returns:
      [steps, 1, N, C, 3], and how many times the pairs were looked for.

    Raises:
      ValueError: the predictor is no network or takes no such graph, there are several windows, or more
        pairs came up than there is room for.
    """
    if not isinstance(predictor, NetworkPredictor):
        raise ValueError("only the edges of networks are rebuilt; a closed form has none that move")
    features, graph = inputs
    if len(history) > 1 or graph.edge_width != 1:
        raise ValueError(
            f"{len(history)} windows, {graph.edge_width} edge features: edges are rebuilt for one window "
            f"at a time, and for graph kind radius, whose edges have one feature"
        )
    skin = SKIN * cutoff if skin is None else skin
    neighbours = allocate(history[0, :, -1, channel], cutoff, skin, capacity)
    refuse = getattr(predictor.module, "refuse", None)
    moving = neighbours.graph(neighbours.frame)
    if refuse is not None and (reason := refuse(history.shape[3], moving)):
        raise ValueError(reason)
    given = jax.tree.map(jnp.asarray, (predictor, history, features, neighbours))
    frames, neighbours = _compiled(*given, steps, channel)
    if neighbours.overflow:
        raise ValueError(
            f"nodes came so close together that the pairs within {cutoff + skin:g} no longer fit into "
            f"the room for {len(neighbours.senders):,}; raise --capacity, which is {capacity:g}"
        )
    return np.asarray(frames), int(neighbours.builds)


@partial(jax.jit, static_argnames=("steps", "channel"))
def _compiled(predictor, history, features, neighbours: Neighbours, steps, channel):
    def predict(history, neighbours):
        frame = history[0, :, -1, channel]
        neighbours = update(neighbours, frame)
        return predictor.predict(history, (features, neighbours.graph(frame))), neighbours

    return rollout_with(predict, history, neighbours, steps)
