"""Assertions for your own tests: a model is equivariant, and the test of that is not vacuous.

    from estag_jax.nn.estag import ESTAG, EstagConfig
    from estag_jax.testing import assert_equivariant, random_topology, random_window, randomize

    def test_my_model():
        model, graph = ESTAG(EstagConfig()), random_topology(0, num_nodes=5)
        history, features = random_window(1, num_nodes=5, frames=4)
        variables = randomize(model.init(jax.random.key(2), history, features, graph))
        assert_equivariant(partial(model.apply, variables), history, features, graph)

A function that returns the last frame, ignores the past, or sees no neighbour is equivariant too,
and proves nothing. Each assertion therefore first shows that the output is finite and depends on
what it should depend on. Then it compares f(g·x) with g·f(x), with the coordinates near the origin
and ``distance`` units away from it:

 - far, the error is relative to the largest coordinate (1e-5 in float32, 1e-11 in float64). In
   float32 at 100 units that is 1e-3 units, which would hide a small fault; therefore
 - near, it is relative to what the function predicts, that is the displacement from the input.
   Vectors and invariants are compared with their own size; far away, where the differences that
   they are made of have lost digits, less strictly by distance / spread of the points.

float64 data needs JAX's x64 mode, for example inside ``with jax.enable_x64(True):``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import chex
import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.types import Array, Topology

Kind = Literal["rotation", "reflection", "translation", "permutation", "all"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Symmetries that are tested unless others are named; ``all`` is a combination."""

Function = Callable[[Array, Array, Topology], Array]
"""f(history [N, T, C, 3], node_features [N, F], topology), a model with its variables bound."""

FAR_TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
"""Relative to the largest coordinate, ``distance`` units from the origin."""

NEAR_TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
"""Relative to the largest predicted displacement, near the origin."""


@dataclasses.dataclass(frozen=True, eq=False)
class Symmetry:
    """Renames nodes, turns or mirrors, then moves. Computes in float64, keeps the input's dtype.

    Args:
      matrix: orthogonal [3, 3].
      translation: [3].
      permutation: [N]; new node i is old node ``permutation[i]``.
    """

    matrix: np.ndarray
    translation: np.ndarray
    permutation: np.ndarray

    def on_positions(self, x: Array) -> np.ndarray:
        """Positions [N, ..., 3]."""
        turned = np.asarray(x, np.float64)[self.permutation] @ self.matrix.T
        return (turned + self.translation).astype(x.dtype)

    def on_vectors(self, v: Array) -> np.ndarray:
        """Differences of positions [N, ..., 3], which no translation moves."""
        return (np.asarray(v, np.float64)[self.permutation] @ self.matrix.T).astype(v.dtype)

    def on_nodes(self, values: Array) -> np.ndarray:
        """Invariant values of the nodes [N, ...]."""
        return np.asarray(values)[self.permutation]

    def on_edges(self, values: Array, topology: Topology) -> np.ndarray:
        """Invariant values [E, ...] of the topology's edges, in the order of on_topology's."""
        new_name = np.argsort(self.permutation)
        ends = [new_name[np.asarray(end)] for end in (topology.senders, topology.receivers)]
        return np.asarray(values)[np.lexsort(ends)]

    def on_topology(self, topology: Topology) -> Topology:
        """The graph with its nodes renamed."""
        return topology.permute(self.permutation)


def random_symmetry(key: Any, num_nodes: int, kind: Kind, distance: float = 100.0) -> Symmetry:
    """A random symmetry that is far from doing nothing.

    Args:
      key: JAX key, NumPy generator or integer seed.
      num_nodes: N.
      kind: which part is random, the others being the identity; a reflection is a rotation with
        space inversion; ``all`` is a rotation or reflection, a translation and a permutation.
      distance: length of the translation.

    Raises:
      ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    rng = _generator(key)
    matrix, translation, permutation = np.eye(3), np.zeros(3), np.arange(num_nodes)
    if kind in ("rotation", "reflection", "all"):
        sign = {"rotation": 1, "reflection": -1}.get(kind) or rng.choice([-1, 1])
        matrix = sign * _random_rotation(rng)
        if not np.isclose(np.linalg.det(matrix), sign, atol=1e-12):
            raise AssertionError(f"{kind} has determinant {np.linalg.det(matrix)}, not {sign}")
    if kind in ("translation", "all"):
        translation = distance * _random_direction(rng)
    if kind in ("permutation", "all") and num_nodes > 1:
        while np.array_equal(permutation, np.arange(num_nodes)):
            permutation = rng.permutation(num_nodes)
    return Symmetry(matrix, translation, permutation)


def random_topology(
    key: Any, num_nodes: int, *, density: float = 0.5, edge_width: int = 0, isolated: int = 0
) -> Topology:
    """A random directed graph without self-loops or repeated edges, with at least one edge.

    Args:
      key: JAX key, NumPy generator or integer seed.
      num_nodes: N.
      density: probability of each edge.
      edge_width: F of the random float32 edge features; none for 0.
      isolated: number of nodes, drawn at random, that have no edge for certain.

    Raises:
      ValueError: fewer than two nodes are left that may have edges.
    """
    if num_nodes - isolated < 2:
        raise ValueError(f"{num_nodes} nodes with {isolated} isolated: no edge is possible")
    rng = _generator(key)
    alone = np.isin(np.arange(num_nodes), rng.choice(num_nodes, isolated, replace=False))
    possible = ~(np.eye(num_nodes, dtype=bool) | alone | alone[:, None])
    draw = np.where(possible, rng.uniform(size=possible.shape), 2.0)
    # The smallest number drawn makes an edge whatever the density.
    senders, receivers = np.nonzero(draw <= max(density, draw.min()))
    features = rng.normal(size=(senders.size, edge_width)).astype(np.float32)
    return Topology(senders, receivers, num_nodes, features if edge_width else None)


def random_window(
    key: Any,
    num_nodes: int,
    frames: int,
    *,
    channels: int = 1,
    features: int = 2,
    dtype: Any = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """A random walk of points that start about one unit from the origin.

    Args:
      key: JAX key, NumPy generator or integer seed.
      num_nodes: N.
      frames: T.
      channels: C.
      features: F of the nodes.
      dtype: of both arrays.

    Returns:
      (history [N, T, C, 3], node_features [N, F]).
    """
    rng = _generator(key)
    node = rng.normal(size=(num_nodes, 1, 1, 3))
    point = rng.normal(scale=0.5, size=(num_nodes, 1, channels, 3))
    walk = rng.normal(scale=0.2, size=(num_nodes, frames, channels, 3)).cumsum(axis=1)
    history = (node + point + walk).astype(dtype)
    return history, rng.normal(size=(num_nodes, features)).astype(dtype)


def randomize(variables: Any, key: Any = 0, scale: float = 0.5) -> Any:
    """Normal numbers in place of all parameters: a fresh model hardly differs from the last frame.

    Args:
      variables: tree of arrays, or of their shapes from ``jax.eval_shape(model.init, ...)``.
      key: JAX key, NumPy generator or integer seed; the same key gives the same numbers.
      scale: standard deviation, for matrices of that of a sum over their inputs.

    Returns:
      A tree of the same structure, shapes and dtypes, of NumPy arrays.
    """
    rng = _generator(key)

    def draw(leaf):
        inputs = max(leaf.shape[-2], 1) if len(leaf.shape) > 1 else 1
        return np.asarray(scale * inputs**-0.5 * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, variables)


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
    rng, history, dtype = _generator(key), case.history, case.history.dtype.name
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

    far = (near + distance * _random_direction(rng)).astype(dtype)
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


def _generator(key):
    if isinstance(key, np.random.Generator):
        return key
    seed = key if isinstance(key, (int, np.integer)) else np.asarray(jax.random.key_data(key))
    return np.random.default_rng(seed)


def _random_direction(rng):
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


@jax.jit
def _haar(key):
    return e3nn_jax.rand_matrix(key, (), jnp.float32)


def _random_rotation(rng):
    matrix = np.eye(3)
    # Turning by less than half a radian would be a weak test; one draw in 150 does.
    while np.trace(matrix) > 1 + 2 * np.cos(0.5):
        matrix = np.asarray(_haar(jax.random.key(int(rng.integers(2**31)))), np.float64)
    # It is orthogonal to float32 precision; the nearest orthogonal matrix to float64 precision.
    left, _, right = np.linalg.svd(matrix)
    return left @ right
