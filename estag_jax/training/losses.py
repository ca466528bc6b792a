"""Losses: from a forecaster and a batch to one number a window.

    loss(predict, batch) -> [B]

``predict`` is the network with its current parameters, history [B, N, T, C, 3] -> [B, N, C, 3]; a loss
may call it several times. Any function of this form may be given to ``fit(…, loss=…)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.graph import Graph
from estag_jax.io import unknown
from estag_jax.ops.geometry import safe_norm
from estag_jax.ops.rollout import Predict, at_horizons
from estag_jax.ops.segment import mean_over_nodes


class Batch(NamedTuple):
    """Windows that are trained on together.

    Args:
      history: past frames [B, N, T, C, 3].
      target: frames to predict [B, P, N, C, 3].
      graph: with G = 1 or B; its node mask says which nodes are real.
      horizons: the P steps ahead.
    """

    history: jax.Array
    target: jax.Array
    graph: Graph
    horizons: tuple[int, ...]


Loss = Callable[[Predict, Batch], jax.Array]


def mse(predict: Predict, batch: Batch) -> jax.Array:
    """Mean of (x* - x)² over nodes, channels and the 3 coordinates, at the first horizon.

    (The loss of arXiv 2405.12868.)
    """
    return _mean_square(predict(batch.history), batch.target[:, 0], batch.graph)


def mae(predict: Predict, batch: Batch) -> jax.Array:
    """Mean of |x* - x|, the length, over nodes and channels, at the first horizon."""
    length = safe_norm(predict(batch.history) - batch.target[:, 0])
    return mean_over_nodes(length, batch.graph, axes=(2,))


def rollout_mse(predict: Predict, batch: Batch) -> jax.Array:
    """The mean of ``mse`` over all horizons, forecasts fed back (the pushforward of several steps)."""
    frames = at_horizons(predict, batch.history, batch.horizons)
    errors = [
        _mean_square(frames[:, p], batch.target[:, p], batch.graph) for p in range(frames.shape[1])
    ]
    return jnp.mean(jnp.stack(errors), axis=0)


def _mean_square(frame: jax.Array, target: jax.Array, graph: Graph) -> jax.Array:
    """metrics.per_window_mse, also where the nodes are those of a part of a graph."""
    if graph.halo is None:
        return per_window_mse(frame, target, graph.node_mask)
    return mean_over_nodes((frame - target) ** 2, graph, axes=(2, 3))


LOSSES: dict[str, Loss] = {"mse": mse, "mae": mae, "rollout": rollout_mse}
"""By the name of ``TrainConfig.loss``."""


def find_loss(name: str, horizons: Sequence[int]) -> Loss:
    """The loss of a name.

    Args:
      name: of ``LOSSES``, or "auto": the first horizon's ``mse``, of several the rollout's.
      horizons: the steps ahead of the targets.

    Raises:
      ValueError: there is no such loss.
    """
    if name == "auto":
        name = "mse" if len(horizons) == 1 else "rollout"
    if name not in LOSSES:
        raise ValueError(unknown("loss", name, LOSSES))
    return LOSSES[name]
