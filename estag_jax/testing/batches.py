"""Batches: padding and the other windows of a batch change nothing."""

from __future__ import annotations

from typing import Any

import chex
import numpy as np

from estag_jax.graph import Array, Graph
from estag_jax.testing.case import (
    Case,
    Function,
    assert_not_vacuous,
    assert_uses_edges,
    require,
)
from estag_jax.testing.symmetry import generator

BATCH_TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
"""Relative to the largest predicted displacement."""


def assert_padding_invariant(
    function: Function,
    history: Array,
    node_features: Array,
    graph: Graph,
    *,
    extra_nodes: int = 3,
    extra_edges: int = 4,
    rtol: float | None = None,
    key: Any = 0,
    uses_edges: bool = True,
) -> None:
    """Asserts that dummy nodes and edges, which masks hide, change no real node's output.

    The dummy nodes have random positions and features, so that a mean over them would show.

    Args:
      function: gives [B, N, C, 3], positions.
      history: [B, N, T, C, 3], float32 or float64.
      node_features: [G, N, F].
      graph: one for all windows or one a window.
      extra_nodes, extra_edges: how many are added (:meth:`estag_jax.graph.Graph.pad`).
      rtol: bound on the change, relative to the largest displacement; by default by dtype.
      key: JAX key, NumPy generator or integer seed of what is random.
      uses_edges: False for a function that is not meant to see neighbours.

    Raises:
      AssertionError: padding changes the output, or the test would be vacuous; says which.
    """
    rng, case, out = _evaluated(function, history, node_features, graph, key)
    if uses_edges:
        assert_uses_edges(case, out, rng)

    def grown(values):
        shape = (values.shape[0], extra_nodes, *values.shape[2:])
        return np.concatenate([values, rng.normal(size=shape).astype(values.dtype)], axis=1)

    padded = case.evaluate(
        history=grown(case.history),
        node_features=grown(case.node_features),
        graph=graph.pad(graph.num_nodes + extra_nodes, graph.num_edges + extra_edges),
    )
    chex.assert_axis_dimension(padded, 1, graph.num_nodes + extra_nodes)
    _assert_small(padded[:, : graph.num_nodes] - out, out, case, rtol, "with padding")


def assert_windows_independent(
    function: Function,
    history: Array,
    node_features: Array,
    graph: Graph,
    *,
    rtol: float | None = None,
) -> None:
    """Asserts that a batch of windows gives what every window gives alone.

    Args:
      function: gives [B, N, C, 3], positions.
      history: [B, N, T, C, 3], float32 or float64, of several windows.
      node_features: [G, N, F].
      graph: one for all windows or one a window.
      rtol: bound on the difference, relative to the largest displacement; by default by dtype.

    Raises:
      AssertionError: a window's output depends on the batch, or the test would be vacuous.
    """
    _, case, out = _evaluated(function, history, node_features, graph, 0)
    shift = out - case.history[:, :, -1]
    require(len(out) > 1, "vacuous: there is one window alone")
    differ = [np.abs(s - shift[0]).max() > 1e-3 * np.abs(shift).max() for s in shift[1:]]
    require(all(differ), "vacuous: two windows move alike")
    for b in range(len(out)):
        own = [b] if graph.num_graphs > 1 else [0]
        single = case.evaluate(
            history=case.history[[b]],
            node_features=case.node_features[own],
            graph=graph.take(own),
        )
        _assert_small(single[0] - out[b], out, case, rtol, f"window {b} alone")


def _evaluated(function, history, node_features, graph, key):
    case = Case(function, np.asarray(history), np.asarray(node_features), graph, "nodes")
    out = case.evaluate()
    chex.assert_shape(out, (*case.history.shape[:2], *case.history.shape[3:]))
    assert_not_vacuous(case, out, out - case.history[:, :, -1], ())
    return generator(key), case, out


def _assert_small(change, out, case, rtol, what):
    dtype, last = case.history.dtype.name, case.history[:, :, -1]
    scale = np.abs(out - last).max()
    # The output is a position, whose rounding alone may be this much of a displacement.
    limit = (rtol or BATCH_TOLERANCE[dtype]) + 2 * np.finfo(dtype).eps * np.abs(last).max() / scale
    error = np.abs(change).max() / scale
    require(error <= limit, f"{what}: relative change {error:.1e} exceeds {limit:.1e} in {dtype}")
