"""The assertions: first that the test is not vacuous, then that the function commutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import chex
import jax.numpy as jnp
import numpy as np

from estag_jax.testing.symmetry import (
    KINDS,
    Kind,
    Symmetry,
    generator,
    random_direction,
    random_symmetry,
)
from estag_jax.types import Array, Topology

Function = Callable[[Array, Array, Topology], Array]
"""f(history [N, T, C, 3], node_features [N, F], topology), a model with its variables bound."""

FAR_TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
"""Relative to the largest coordinate, ``distance`` units from the origin."""

NEAR_TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
"""Relative to the largest predicted displacement, near the origin."""


def assert_equivariant(
    function: Function,
    history: Array,
    node_features: Array,
    topology: Topology,
    *,
    output: Literal["positions", "vectors"] = "positions",
    **options: Any,
) -> None:
    """Asserts that the output turns, moves and is renamed with the input, and not vacuously.

    Args:
      function: gives [N, C, 3] or [N, T, C, 3], or, for vectors, any [N, ..., 3].
      history: [N, T, C, 3], float32 or float64.
      node_features: invariant [N, F].
      topology: the graph.
      output: ``vectors`` do not move under translation (differences, spectra).
      **options: ``kinds`` of symmetry; ``key``; ``distance`` from the origin; ``rtol`` far and
        ``near_rtol`` near the origin (by dtype); ``uses_edges=False`` and ``uses_past=False`` for a
        function that is not meant to see neighbours or frames before the last.

    Raises:
      AssertionError: the function is not equivariant, or the test would be vacuous; says which.
      ValueError: the history is neither float32 nor float64.
    """

    def displacement(x, out):
        if output == "vectors":
            chex.assert_shape(out, (x.shape[0], ..., 3))
            return out
        if out.shape != x.shape:
            chex.assert_shape(out, (x.shape[0], *x.shape[2:]))
            x = x[:, -1]
        return out - x

    def act(symmetry, out):
        return symmetry.on_positions(out) if output == "positions" else symmetry.on_vectors(out)

    case = _Case(function, np.asarray(history), np.asarray(node_features), topology, "nodes")
    _assert_commutes(case, act, displacement, **options)


def assert_invariant(
    function: Function,
    history: Array,
    node_features: Array,
    topology: Topology,
    *,
    over: Literal["nodes", "edges"] = "nodes",
    **options: Any,
) -> None:
    """Asserts that no symmetry changes the output but the renaming of its nodes or edges.

    Args:
      function: gives [N, ...] or [E, ...], edges in the order of the topology.
      history, node_features, topology, **options: as for :func:`assert_equivariant`.
      over: meaning of the output's first axis.

    Raises:
      AssertionError, ValueError: likewise.
    """

    def act(symmetry, out):
        return symmetry.on_nodes(out) if over == "nodes" else symmetry.on_edges(out, topology)

    def displacement(x, out):
        chex.assert_axis_dimension(out, 0, x.shape[0] if over == "nodes" else topology.num_edges)
        return out

    case = _Case(function, np.asarray(history), np.asarray(node_features), topology, over)
    _assert_commutes(case, act, displacement, **options)


@dataclasses.dataclass(frozen=True)
class _Case:
    function: Function
    history: np.ndarray
    node_features: np.ndarray
    topology: Topology
    over: str

    def evaluate(self, symmetry=None, **changes):
        case = dataclasses.replace(self, **changes)
        arguments = case.history, case.node_features, case.topology
        if symmetry is not None:
            on = symmetry.on_positions, symmetry.on_nodes, symmetry.on_topology
            arguments = [f(a) for f, a in zip(on, arguments, strict=True)]
        history, node_features, topology = arguments
        out = self.function(jnp.asarray(history), jnp.asarray(node_features), topology)
        chex.assert_tree_all_finite(out)
        chex.assert_type(out, self.history.dtype, custom_message="is x64 mode as it should be?")
        return np.asarray(out)

    def moved(self, where, rng):
        moved = self.history.copy()
        moved[where] += np.std(moved - moved.mean((0, 1, 2))) * rng.normal(size=moved[where].shape)
        return moved


def _assert_commutes(
    case: _Case,
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
    near = history - history[:, -1].mean(axis=(0, 1))
    case = dataclasses.replace(case, history=near)
    out = case.evaluate()
    _assert_not_vacuous(case, out, displacement(near, out), kinds)
    if uses_past and near.shape[1] > 1:
        _assert_uses_past(case, out, rng)
    if uses_edges:
        _assert_uses_edges(case, out, rng)

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
            lost = distance / np.std(near - near.mean((0, 1, 2)))
            scale = scale * lost if shift is out else np.abs(out).max()
        for kind in kinds:
            symmetry = random_symmetry(rng, x.shape[0], kind, length)
            expected = act(symmetry, out)
            actual = case.evaluate(symmetry, history=x)
            chex.assert_equal_shape([actual, expected])
            error = np.abs(actual - expected).max() / scale
            # Rounding of the coordinates alone may do this much to a displacement that is small.
            limit = tolerance + 16 * np.finfo(dtype).eps * np.abs(expected).max() / scale
            message = f"{kind}, {place}: relative error {error:.1e} exceeds {limit:.1e} in {dtype}"
            _require(error <= limit, message)


def _assert_not_vacuous(case, out, shift, kinds):
    x = case.history
    _require(out.size > 0, "vacuous: the output is empty")
    motion = np.abs(x - x[:, -1:]).max() if x.shape[1] > 1 else np.abs(x).max()
    _require(motion > 0, "vacuous: nothing moves in the history")
    _require(np.abs(shift).max() > 1e-3 * motion, "vacuous: the output is the last frame, or zero")
    if "reflection" in kinds:
        spread = np.linalg.svd((x - x.mean((0, 1, 2))).reshape(-1, 3), compute_uv=False)
        spatial = spread.size == 3 and spread[2] > 1e-3 * spread[0]
        _require(spatial, "vacuous: for points in a plane, a reflection is a rotation")


def _assert_uses_past(case, out, rng):
    past = (slice(None), slice(None, -1))
    change = np.abs(case.evaluate(history=case.moved(past, rng)) - out)
    _require(change.max() > _rounding(out), "vacuous: the output ignores all past frames")


def _assert_uses_edges(case, out, rng):
    senders, receivers = np.array(case.topology.senders), np.array(case.topology.receivers)
    edges = np.flatnonzero(senders != receivers)
    _require(edges.size > 0, "vacuous: no edge joins two different nodes")
    edge = rng.choice(edges)
    sender = senders[edge]
    elsewhere = np.arange(len(out)) != sender if case.over == "nodes" else senders == sender
    change = np.abs(case.evaluate(history=case.moved(sender, rng)) - out)[elsewhere]
    _require(change.max() > _rounding(out), "vacuous: moving a node changes the output of no other")
    if case.over == "nodes":
        # The shapes stay, so nothing is compiled anew, and the receiver has one message less.
        senders[edge], receivers[edge] = receivers[edge], sender
        turned = Topology(senders, receivers, len(out), case.topology.edge_features)
        change = np.abs(case.evaluate(topology=turned) - out)
        _require(change.max() > _rounding(out), "vacuous: the output ignores the edges")


def _rounding(out):
    return 100 * np.finfo(out.dtype).eps * np.abs(out).max()


def _require(condition, message):
    if not condition:
        raise AssertionError(message)
