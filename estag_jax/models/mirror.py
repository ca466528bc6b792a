"""Left and right: the mirror symmetry of a system, found from its graph and its mean structure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from estag_jax.data.edges import bonded, refined
from estag_jax.data.system import System

TOLERANCE = 0.2
"""A mirror image that is further from the structure than so many times its size is none."""

MOST = 64
"""Nodes up to which a mirror is looked for."""


class Mirror(NamedTuple):
    """A symmetry of the labels of nodes, and the reflection that goes with it.

    Args:
      nodes: what each node is exchanged with, itself for a node of the middle [N].
      normal: of the plane, a unit vector in the axes of the structure [3].
    """

    nodes: np.ndarray
    normal: np.ndarray


def find_mirror(system: System, mean: np.ndarray) -> Mirror | None:
    """The mirror symmetry that a structure has, if it has one.

    A candidate is the plane through the centroid across the line of two nodes of the same kind: element,
    features, and those of what they are bonded to, and so on (data.edges.refined). These two are exchanged,
    what is bonded to one is exchanged with what is bonded to the other such that the distances from mirror
    images are least (the assignment problem), and so on along the bonds. What comes out must map bonds to
    bonds. Names are not looked at.

    Args:
      system: the nodes.
      mean: the mean structure at the origin [N, C, 3].

    Returns:
      The exchange of most nodes, and of these the one whose mirror image is closest to the structure;
      None where none is closer than TOLERANCE times its root mean square size, or N is more than MOST.
    """
    points = mean[:, system.anchor]
    size = np.sqrt(np.mean(np.sum(points**2, axis=1)))
    if not 2 <= len(points) <= MOST or size == 0:
        return None
    kinds, near = _kinds(system), bonded(system.bonds, system.num_nodes)
    best: tuple[int, float, Mirror | None] = (0, 0.0, None)
    for first, second in np.argwhere(np.triu(kinds[:, None] == kinds, 1)):
        normal = points[first] - points[second]
        length = np.linalg.norm(normal)
        middle = abs(normal @ (points[first] + points[second])) / 2
        if length == 0 or middle > TOLERANCE * size * length:
            continue
        images = points - 2 * np.outer(points @ normal, normal) / length**2
        squares = np.sum((images[:, None] - points) ** 2, axis=-1)
        squares[kinds[:, None] != kinds] = 1e6 * size**2
        nodes = _exchanged(int(first), int(second), near, squares)
        if not is_mirror(system, nodes):
            continue
        found = Mirror(nodes, plane_of(points, nodes))
        distance, kept = _distance(points, found), int(np.sum(nodes == np.arange(len(nodes))))
        if distance < TOLERANCE * size and (best[2] is None or (kept, distance) < best[:2]):
            best = kept, distance, found
    return best[2]


def given_mirror(system: System, pairs: tuple[tuple[int, int], ...], mean: np.ndarray) -> Mirror:
    """The mirror with given pairs of left and right nodes.

    Raises:
      ValueError: a pair names a node that is not there or named before, or bonds are not mapped to
        bonds.
    """
    nodes = np.arange(system.num_nodes)
    for pair in pairs:
        for node, other in (pair, pair[::-1]):
            if not 0 <= node < len(nodes) or nodes[node] != node or node == other:
                raise ValueError(
                    f"mirror pair {pair}: each node stands in one pair, of nodes 0 … {len(nodes) - 1}"
                )
        nodes[list(pair)] = pair[::-1]
    if not is_mirror(system, nodes):
        raise ValueError(
            f"mirror pairs {pairs} do not map bonds to bonds; give every pair of left and right"
        )
    return Mirror(nodes, plane_of(mean[:, system.anchor], nodes))


def is_mirror(system: System, nodes: np.ndarray) -> bool:
    """Whether a permutation is an involution, not the identity, that maps bonds to bonds."""
    own = np.arange(len(nodes))
    if (nodes == own).all() or (nodes[nodes] != own).any():
        return False
    near = bonded(system.bonds, len(nodes))
    return all({int(nodes[j]) for j in near[i]} == near[nodes[i]] for i in own)


def plane_of(points: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """The normal n for which sum_i |(I - 2 n n^T) x_i - x_nodes(i)|² is least: nodes [N], points [N, 3]."""
    product = points[nodes].T @ points
    return np.linalg.eigh(product + product.T)[1][:, 0]


def _exchanged(first: int, second: int, near: list[set[int]], squares: np.ndarray) -> np.ndarray:
    """An exchange of nodes that starts with a pair and goes along the bonds, by least squared distances."""
    from scipy.optimize import linear_sum_assignment  # loads slowly; few systems need it

    nodes, reached = np.full(len(near), -1), [(first, second)]
    while (nodes < 0).any():
        if not reached:
            free = np.flatnonzero(nodes < 0)
            place = np.argmin(squares[np.ix_(free, free)])
            reached.append((int(free[place // len(free)]), int(free[place % len(free)])))
        pair = reached.pop()
        if nodes[list(pair)].max() < 0:
            nodes[list(pair)] = pair[::-1]
            one, other = ([k for k in sorted(near[node]) if nodes[k] < 0] for node in pair)
            chosen = linear_sum_assignment(squares[np.ix_(one, other)])
            reached += [(one[i], other[j]) for i, j in zip(*chosen, strict=True)]
    return nodes


def _distance(points: np.ndarray, mirror: Mirror) -> float:
    images = points - 2 * np.outer(points @ mirror.normal, mirror.normal)
    return float(np.sqrt(np.mean(np.sum((images - points[mirror.nodes]) ** 2, axis=1))))


def _kinds(system: System) -> np.ndarray:
    """Numbers that tell nodes apart which no symmetry of the graph exchanges [N]."""
    own = [system.node_features]
    if system.atomic_numbers is not None:
        own.append(np.asarray(system.atomic_numbers)[:, None])
    rows = np.concatenate([np.asarray(a, np.float64) for a in own], axis=1)
    return refined(rows.tolist(), bonded(system.bonds, system.num_nodes))
