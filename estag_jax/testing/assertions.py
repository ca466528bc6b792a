"""Symmetry: first that the test is not vacuous, then that the function commutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import chex
import numpy as np

from estag_jax.graph import Array, Graph
from estag_jax.testing.case import (
    Case,
    Function,
    assert_not_vacuous,
    assert_uses_edges,
    assert_uses_past,
    assert_uses_vectors,
    require,
)
from estag_jax.testing.symmetry import (
    KINDS,
    Kind,
    Symmetry,
    generator,
    random_direction,
    random_symmetry,
)

FAR_TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
"""Relative to the largest coordinate, ``distance`` units from the origin."""

NEAR_TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
"""Relative to the largest predicted displacement, near the origin."""


def assert_equivariant(
    function: Function,
    history: Array,
    node_features: Array,
    graph: Graph,
    *,
    output: Literal["positions", "vectors"] = "positions",
    vectors: Mapping[str, Array] | None = None,
    **options: Any,
) -> None:
    """Asserts that the output turns, moves and is renamed with the input, and not vacuously.

    Args:
      function: gives [B, N, C, 3] or [B, N, T, C, 3], or, for vectors, any [B, N, ..., 3].
      history: [B, N, T, C, 3], float32 or float64.
      node_features: invariant [1, N, F].
      graph: one, without padding, which all windows share.
      output: ``vectors`` do not move under translation (differences, spectra).
      vectors: external vectors by name, [1, 3] or [B, 3], in the precision of the history: the function's
        fourth argument, which turns with the history.
      **options: ``kinds`` of symmetry; ``key``; ``distance`` from the origin; ``rtol`` far and
        ``near_rtol`` near the origin (by dtype); ``uses_edges=False`` and ``uses_past=False`` for a
        function that is not meant to see neighbours or frames before the last.

    Raises:
      AssertionError: the function is not equivariant, or the test would be vacuous; says which.
      ValueError: the history is neither float32 nor float64, or there are several graphs.
    """

    def displacement(x, out):
        if output == "vectors":
            chex.assert_shape(out, (*x.shape[:2], ..., 3))
            return out
        if out.shape != x.shape:
            chex.assert_shape(out, (*x.shape[:2], *x.shape[3:]))
            x = x[:, :, -1]
        return out - x

    def act(symmetry, out):
        return symmetry.on_positions(out) if output == "positions" else symmetry.on_vectors(out)

    external = {name: np.asarray(vector) for name, vector in (vectors or {}).items()}
    given = np.asarray(history), np.asarray(node_features), graph
    case = Case(function, *given, "nodes", external)
    _assert_commutes(case, act, displacement, **options)


def assert_invariant(
    function: Function,
    history: Array,
    node_features: Array,
    graph: Graph,
    *,
    over: Literal["nodes", "edges"] = "nodes",
    **options: Any,
) -> None:
    """Asserts that no symmetry changes the output but the renaming of its nodes or edges.

    Args:
      function: gives [B, N, ...] or [B, E, ...], edges in the order of the graph.
      history, node_features, graph, **options: as for :func:`assert_equivariant`.
      over: meaning of the output's second axis.

    Raises:
      AssertionError, ValueError: likewise.
    """

    def act(symmetry, out):
        return symmetry.on_nodes(out) if over == "nodes" else symmetry.on_edges(out, graph)

    def displacement(x, out):
        chex.assert_axis_dimension(out, 1, x.shape[1] if over == "nodes" else graph.num_edges)
        return out

    case = Case(function, np.asarray(history), np.asarray(node_features), graph, over)
    _assert_commutes(case, act, displacement, **options)


def _assert_commutes(
    case: Case,
    act: Callable[[Symmetry, np.ndarray], np.ndarray],
    displacement: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    kinds: Sequence[Kind] = KINDS,
    key: Any = 0,
    distance: float = 100.0,
    rtol: float | None = None,
    near_rtol: float | None = None,
    uses_edges: bool = True,
    uses_past: bool = True,
) -> None:
    rng, history, dtype = generator(key), case.history, case.history.dtype.name
    if dtype not in FAR_TOLERANCE:
        raise ValueError(f"history is {dtype}, expected float32 or float64")
    if case.graph.num_graphs > 1 or case.graph.node_mask is not None:
        raise ValueError(f"{case.graph}: symmetries are tested on one graph without padding")
    near = history - history[:, :, -1].mean(axis=(0, 1, 2))
    case = dataclasses.replace(case, history=near)
    out = case.evaluate()
    assert_not_vacuous(case, out, displacement(near, out), kinds)
    if uses_past and near.shape[2] > 1:
        assert_uses_past(case, out, rng)
    if uses_edges:
        assert_uses_edges(case, out, rng)
    assert_uses_vectors(case, out, rng)

    far = (near + distance * random_direction(rng)).astype(dtype)
    places = (
        ("near the origin", near, np.abs(near).max(), near_rtol or NEAR_TOLERANCE[dtype]),
        (f"{distance:g} units away", far, distance, rtol or FAR_TOLERANCE[dtype]),
    )
    for place, x, length, tolerance in places:
        out = case.evaluate(history=x)
        shift = displacement(x, out)
        scale = np.abs(shift).max()
        if x is far:
            lost = distance / np.std(near - near.mean((0, 1, 2, 3)))
            scale = scale * lost if shift is out else np.abs(out).max()
        for kind in kinds:
            symmetry = random_symmetry(rng, x.shape[1], kind, length)
            expected = act(symmetry, out)
            actual = case.evaluate(symmetry, history=x)
            chex.assert_equal_shape([actual, expected])
            error = np.abs(actual - expected).max() / scale
            # Rounding of the coordinates alone may do this much to a displacement that is small.
            limit = tolerance + 16 * np.finfo(dtype).eps * np.abs(expected).max() / scale
            message = f"{kind}, {place}: relative error {error:.1e} exceeds {limit:.1e} in {dtype}"
            require(error <= limit, message)
