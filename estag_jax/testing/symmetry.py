"""Random symmetries, graphs, windows and parameters: what equivariance is tested with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from estag_jax.graph import Array, Graph

Kind = Literal["rotation", "reflection", "translation", "permutation", "all"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Symmetries that are tested unless others are named; ``all`` is a combination."""


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
        """Positions [B, N, ..., 3]."""
        turned = np.asarray(x, np.float64)[:, self.permutation] @ self.matrix.T
        return (turned + self.translation).astype(x.dtype)

    def on_vectors(self, v: Array) -> np.ndarray:
        """Differences of positions [B, N, ..., 3], which no translation moves."""
        return (np.asarray(v, np.float64)[:, self.permutation] @ self.matrix.T).astype(v.dtype)

    def on_external(self, vectors: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """External vectors by name [..., 3], which belong to no node."""
        turned = {n: np.asarray(v, np.float64) @ self.matrix.T for n, v in vectors.items()}
        return {name: vector.astype(vectors[name].dtype) for name, vector in turned.items()}

    def on_nodes(self, values: Array) -> np.ndarray:
        """Invariant values of the nodes [B, N, ...]."""
        return np.asarray(values)[:, self.permutation]

    def on_edges(self, values: Array, graph: Graph) -> np.ndarray:
        """Invariant values [B, E, ...] of one graph's edges, in the order of on_graph's."""
        new_name = np.argsort(self.permutation)
        ends = [new_name[np.asarray(end[0])] for end in (graph.senders, graph.receivers)]
        return np.asarray(values)[:, np.lexsort(ends)]

    def on_graph(self, graph: Graph) -> Graph:
        """The graph with its nodes renamed."""
        return graph.permute(self.permutation)


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
    rng = generator(key)
    matrix, translation, permutation = np.eye(3), np.zeros(3), np.arange(num_nodes)
    if kind in ("rotation", "reflection", "all"):
        sign = {"rotation": 1, "reflection": -1}.get(kind) or rng.choice([-1, 1])
        matrix = sign * _random_rotation(rng)
        if not np.isclose(np.linalg.det(matrix), sign, atol=1e-12):
            raise AssertionError(f"{kind} has determinant {np.linalg.det(matrix)}, not {sign}")
    if kind in ("translation", "all"):
        translation = distance * random_direction(rng)
    if kind in ("permutation", "all") and num_nodes > 1:
        while np.array_equal(permutation, np.arange(num_nodes)):
            permutation = rng.permutation(num_nodes)
    return Symmetry(matrix, translation, permutation)


def random_graph(
    key: Any, num_nodes: int, *, density: float = 0.5, edge_width: int = 0, isolated: int = 0
) -> Graph:
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
    rng = generator(key)
    alone = np.isin(np.arange(num_nodes), rng.choice(num_nodes, isolated, replace=False))
    possible = ~(np.eye(num_nodes, dtype=bool) | alone | alone[:, None])
    draw = np.where(possible, rng.uniform(size=possible.shape), 2.0)
    # The smallest number drawn makes an edge whatever the density.
    senders, receivers = np.nonzero(draw <= max(density, draw.min()))
    features = rng.normal(size=(senders.size, edge_width)).astype(np.float32)
    return Graph(senders, receivers, num_nodes, features if edge_width else None)


def random_window(
    key: Any,
    num_nodes: int,
    frames: int,
    *,
    batch: int = 1,
    channels: int = 1,
    features: int = 2,
    dtype: Any = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Random walks of points that start about one unit from the origin.

    Args:
      key: JAX key, NumPy generator or integer seed.
      num_nodes: N.
      frames: T.
      batch: B.
      channels: C.
      features: F of the nodes.
      dtype: of both arrays.

    Returns:
      (history [B, N, T, C, 3], node_features [1, N, F]).
    """
    rng = generator(key)
    node = rng.normal(size=(batch, num_nodes, 1, 1, 3))
    point = rng.normal(scale=0.5, size=(batch, num_nodes, 1, channels, 3))
    walk = rng.normal(scale=0.2, size=(batch, num_nodes, frames, channels, 3)).cumsum(axis=2)
    history = (node + point + walk).astype(dtype)
    return history, rng.normal(size=(1, num_nodes, features)).astype(dtype)


def randomize(variables: Any, key: Any = 0, scale: float = 0.5) -> Any:
    """Normal numbers in place of all parameters: a fresh model hardly differs from the last frame.

    Args:
      variables: tree of arrays, or of their shapes from ``jax.eval_shape(model.init, ...)``.
      key: JAX key, NumPy generator or integer seed; the same key gives the same numbers.
      scale: standard deviation, for matrices of that of a sum over their inputs.

    Returns:
      A tree of the same structure, shapes and dtypes, of NumPy arrays.
    """
    rng = generator(key)

    def draw(leaf):
        inputs = max(leaf.shape[-2], 1) if len(leaf.shape) > 1 else 1
        return np.asarray(scale * inputs**-0.5 * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, variables)


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator from a JAX key, a generator or an integer seed."""
    if isinstance(key, np.random.Generator):
        return key
    seed = key if isinstance(key, (int, np.integer)) else np.asarray(jax.random.key_data(key))
    return np.random.default_rng(seed)


def random_direction(rng: np.random.Generator) -> np.ndarray:
    """A unit vector [3]."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def _random_rotation(rng):
    matrix = np.eye(3)
    # Turning by less than half a radian would be a weak test; one draw in 150 does.
    while np.trace(matrix) > 1 + 2 * np.cos(0.5):
        matrix = Rotation.random(None, rng).as_matrix()
    return matrix
