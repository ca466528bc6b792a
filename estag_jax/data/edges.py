"""Pairs of nodes by distance or along bonds: the parts that graphs are made of.

Neighbours are found by a k-d tree and paths by sparse products, so nothing here makes an [N, N]
array but ``fully_connected``, whose edges are that many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ase
import numpy as np
from ase.neighborlist import natural_cutoffs
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from estag_jax import memory

FEWER = "take fewer edges (--graph.kind nearest)"


def bonds(positions: np.ndarray, atomic_numbers: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """Covalent bonds: pairs whose median distance is within 1.2 times the sum of their radii (ASE's).

    The median is over at most 200 evenly spaced frames (fewer for very large systems, at least
    21), not over frame 0 alone: there a bond may happen to be stretched, and would be lost.

    Args:
      positions: [F, N, 3].
      atomic_numbers: [N].
      unit: the positions' unit of length in Å.

    Returns:
      Integers [bonds, 2], i < j, in increasing order.
    """
    num_frames, num_nodes = positions.shape[:2]
    count = min(num_frames, max(21, min(200, 2_000_000 // max(num_nodes, 1))))
    frames = positions[np.linspace(0, num_frames - 1, count).round().astype(np.int64)]
    radii = np.array(natural_cutoffs(ase.Atoms(numbers=atomic_numbers), mult=1.2 / unit))

    # A median within the limit means that at least half of the frames are: the pairs that are close
    # in one of any half + 1 of them include every bond.
    keys = np.empty(0, np.int64)
    for frame in frames[: count // 2 + 1]:
        pairs = _pairs_within(frame, 2 * radii.max())
        distances = np.linalg.norm(frame[pairs[:, 0]] - frame[pairs[:, 1]], axis=-1)
        pairs = pairs[distances <= radii[pairs].sum(axis=1)]
        keys = distinct(np.concatenate([keys, pairs[:, 0] * num_nodes + pairs[:, 1]]))
    pairs = np.stack([keys // num_nodes, keys % num_nodes], axis=1)
    distances = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1)
    return pairs[np.median(distances, axis=0) <= radii[pairs].sum(axis=1)]


def distance_bonds(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """The published rule for bonds: pairs closer than ``cutoff`` in frame 0.

    Args:
      positions: [F, N, 3].
      cutoff: in the unit of the positions.

    Returns:
      Integers [bonds, 2], i < j, in increasing order.
    """
    frame = positions[0]
    pairs = _pairs_within(frame, cutoff)
    return pairs[np.linalg.norm(frame[pairs[:, 0]] - frame[pairs[:, 1]], axis=-1) < cutoff]


def distinct(keys: np.ndarray) -> np.ndarray:
    """Integers in increasing order, each once; numpy's unique takes 58 times as long for some millions."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def near_pairs(points: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs [P, 2] at most ``cutoff`` apart in positions [N, 3], i < j.

    Raises:
      TooLarge: there are more of them than memory can be expected to hold.
    """
    tree = KDTree(points)
    if memory.PAIR * len(points) ** 2 > memory.GIGABYTE:  # else there cannot be too many
        count = (int(tree.count_neighbors(tree, cutoff)) - len(points)) // 2
        remedy = "take a shorter cut-off, or check the unit"
        memory.afford_pairs(count, f"pairs of nodes within {cutoff:g}", remedy)
    return tree.query_pairs(cutoff, output_type="ndarray")


def hops(
    edges: np.ndarray, num_nodes: int, maximum: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs whose shortest path has 1 … maximum bonds, in both directions, without self-loops.

    Args:
      edges: bonds [bonds, 2], each in one direction or in both.
      num_nodes: N.
      maximum: the longest path.

    Returns:
      senders, receivers and the number of bonds between them, integers [E] each; shorter paths
      first.

    Raises:
      TooLarge: there are more paths than memory can be expected to hold.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    ends = np.concatenate([edges, edges[:, ::-1]])

    def matrix(keys):  # in which a pair that is given twice is there once
        ones = np.ones(len(keys), bool)
        return csr_array((ones, (keys // num_nodes, keys % num_nodes)), (num_nodes, num_nodes))

    adjacency = matrix(ends[:, 0] * num_nodes + ends[:, 1])
    degrees = np.diff(adjacency.indptr)
    reached = adjacency
    seen = np.arange(num_nodes) * (num_nodes + 1)  # the diagonal: every node reaches itself
    found = []
    for shorter in range(maximum):
        if shorter:
            paths = int(degrees[found[-1] % num_nodes].sum())
            memory.afford_pairs(paths, f"paths of {shorter + 1} bonds", FEWER)
            reached = matrix(found[-1]) @ adjacency
        senders, receivers = reached.nonzero()
        keys = senders.astype(np.int64) * num_nodes + receivers
        found.append(np.sort(np.setdiff1d(keys, seen, assume_unique=True)))
        seen = np.concatenate([seen, found[-1]])
    keys = np.concatenate(found)
    hop = np.repeat(np.arange(1, maximum + 1), [len(part) for part in found])
    return keys // num_nodes, keys % num_nodes, hop


def radius_edges(frame: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs at most ``cutoff`` apart, in both directions, without self-loops.

    Args:
      frame: positions [N, 3].
      cutoff: in the unit of the positions.

    Returns:
      senders and receivers, integers [E] each.
    """
    pairs = _pairs_within(frame, cutoff)
    senders, receivers = np.concatenate([pairs, pairs[:, ::-1]]).T
    return senders, receivers


def fully_connected(num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different nodes: senders and receivers, integers [N (N - 1)] each.

    Raises:
      TooLarge: they are more than memory can be expected to hold.
    """
    memory.afford_pairs(num_nodes * (num_nodes - 1), "pairs of nodes", FEWER)
    senders, receivers = np.nonzero(~np.eye(num_nodes, dtype=bool))
    return senders, receivers


def nearest(frame: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """The k closest nodes of each, made symmetric: an edge if either end counts the other.

    Args:
      frame: positions [N, 3].
      neighbours: k; all other nodes where there are fewer.

    Returns:
      senders and receivers, integers [E] each, both directions, without self-loops.
    """
    num_nodes = len(frame)
    k = min(neighbours, num_nodes - 1)
    found = KDTree(frame).query(frame, k=k + 1)[1].reshape(num_nodes, -1)
    own = np.repeat(np.arange(num_nodes), found.shape[1])
    other = found.ravel()
    keep = own != other  # each node finds itself, or k + 1 others in its very place
    own, other = own[keep], other[keep]
    keys = distinct(np.concatenate([own * num_nodes + other, other * num_nodes + own]))
    return keys // num_nodes, keys % num_nodes


def bonded(bonds: np.ndarray | None, num_nodes: int) -> list[set[int]]:
    """The nodes bonded to each node; none to itself."""
    found: list[set[int]] = [set() for _ in range(num_nodes)]
    for i, j in [] if bonds is None else np.asarray(bonds).tolist():
        if i != j:
            found[i].add(j)
            found[j].add(i)
    return found


def refined(labels: Sequence[Any], near: Sequence[set[int]]) -> np.ndarray:
    """Numbers that tell nodes apart which no symmetry of a graph exchanges, as far as neighbours tell [N].

    Colour refinement (Weisfeiler and Leman 1968): nodes are told apart by their labels, by those of their
    neighbours, by those of theirs, and so on.

    Args:
      labels: of the nodes, whose ``repr`` tells them apart.
      near: the neighbours of each node.
    """
    colours = _numbered(labels)
    while True:
        own = [(colours[i], sorted(colours[j] for j in near[i])) for i in range(len(near))]
        finer = _numbered(own)
        if len(set(finer)) == len(set(colours)):
            return np.array(colours)
        colours = finer


def _numbered(labels: Sequence[Any]) -> list[int]:
    order = {label: number for number, label in enumerate(sorted(set(map(repr, labels))))}
    return [order[repr(label)] for label in labels]


def inside(bonds: np.ndarray, nodes: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The bonds among some nodes.

    Args:
      bonds: pairs of all nodes [bonds, 2].
      nodes: those that are kept, in their new order.
      num_nodes: of all.

    Returns:
      Pairs of the kept nodes by their new numbers, and which of the bonds these are [bonds] bool.
    """
    new = np.full(num_nodes, -1)
    new[nodes] = np.arange(len(nodes))
    ends = new[bonds]
    kept = (ends >= 0).all(axis=1)
    return ends[kept], kept


def _pairs_within(frame: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs [P, 2] at most ``cutoff`` apart in positions [N, 3], i < j, in increasing order."""
    pairs = near_pairs(frame, cutoff).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
