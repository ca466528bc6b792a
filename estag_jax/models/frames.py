"""Local frames of nodes: which points make them, which nodes each looks at, and what it sees.

The choice is made from the training windows. It depends on bonds and distances alone, so it moves with
the nodes when they are renamed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from estag_jax.data.edges import bonded, hops
from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.ops import linalg
from estag_jax.ops.frames import local_frames, sine
from estag_jax.ops.kernels import RINGS

ALL_UP_TO = 64
"""Nodes up to which every node looks at all others."""

NEIGHBOURS = 16
"""Nodes that a node of a larger system looks at, itself included."""

CANDIDATES = 6
"""Nearest nodes that may make a frame where there are no bonds."""

FLAT = 0.1
"""A frame is avoided if its angle has a smaller sine than this in a tenth of the windows."""


class Axes(NamedTuple):
    """The points of each node's local frame, numbered n * C + c for channel c of node n.

    Args:
      origin: [N] the node's anchor.
      first: [N] where the first axis points.
      second: [N] spans the plane of the second axis with the first.
    """

    origin: np.ndarray
    first: np.ndarray
    second: np.ndarray


def choose_axes(system: System, points: np.ndarray) -> tuple[Axes, np.ndarray]:
    """The frame of each node: its own channels, else bonded nodes, else the nearest nodes.

    Candidates are the node's other channels, then bonded nodes, those with most bonds first, then the
    nodes bonded to these; without bonds the nearest nodes. The frame is the first pair of candidates
    that is not nearly collinear with the node in more than a tenth of the windows, else the pair with
    the widest angle.

    Args:
      system: the nodes.
      points: the last frame of each window [W, N*C, 3].

    Returns:
      The axes, and for each node the share of windows whose frame is nearly degenerate (sine below
      FLAT) [N]: 1 where fewer than three different points exist.
    """
    channels, near = system.channels, bonded(system.bonds, system.num_nodes)
    origins = np.arange(system.num_nodes) * channels + system.anchor
    nearest = None if any(near) else nearest_nodes(points[:, origins], CANDIDATES + 1)
    chosen, flat = [], []
    for node, origin in enumerate(origins):
        own = [node * channels + c for c in range(channels) if c != system.anchor]
        if nearest is None:
            others = _shells(node, near, points[:, origins])
        else:
            others = [other for other in nearest[node] if other != node]
        candidates = [*own, *(origins[other] for other in others)][: channels + 2 * CANDIDATES]
        pair, share = _first_wide(points, origin, candidates)
        chosen.append(pair)
        flat.append(share)
    first, second = np.array(chosen).T
    return Axes(origins, first, second), np.array(flat)


def nearest_nodes(positions: np.ndarray, count: int) -> np.ndarray:
    """The nodes closest to each node in the middle window, itself first, in the order of their distance.

    Args:
      positions: [W, N, 3].
      count: how many; all where there are not more.

    Returns:
      [N, min(count, N)].
    """
    frame = positions[len(positions) // 2]
    return KDTree(frame).query(frame, np.arange(1, min(count, len(frame)) + 1))[1]


def rings_of(
    system: System, last: np.ndarray, neighbours: np.ndarray, nodes: np.ndarray
) -> np.ndarray:
    """How far what a node looks at is from it [V, M*C]: in bonds, or in distances of neighbours.

    Args:
      system: the nodes.
      last: the last frame of each window [W, N, C, 3].
      neighbours: of some nodes [V, M].
      nodes: which [V].
    """
    nodes = nodes[:, None]
    if system.bonds is not None and len(system.bonds):
        senders, receivers, distance = hops(system.bonds, system.num_nodes, RINGS - 1)
        found = {(i, j): d for i, j, d in zip(receivers, senders, distance, strict=True)}
        rings = np.vectorize(lambda i, j: found.get((i, j), RINGS - 1))(nodes, neighbours)
    else:
        frame = last[len(last) // 2, :, system.anchor]
        distance = np.linalg.norm(frame[neighbours] - frame[nodes], axis=-1)
        nearest = np.sort(distance, axis=1)[:, min(1, distance.shape[1] - 1)]
        rings = np.ceil(distance / (np.median(nearest) or 1.0) - 0.5).clip(1, RINGS - 1)
    rings = np.where(neighbours == nodes, 0, rings).astype(np.int32)
    return np.repeat(rings, system.channels, axis=1)


def seen_from_nodes(
    backend: linalg.Backend, past: Array, last: Array, axes: Array, neighbours: Array, shift: Array
) -> tuple[Array, Array]:
    """The local frames R [B, N, 3, 3] and y_ijt = R_i (v_j(t) - s_t x_i(T-1)) [B, N, M*C, T, 3].

    Args:
      backend: what the arrays are computed with.
      past: v, frames or differences of them [B, N', T, C, 3].
      last: x(T-1) [B, N', C, 3].
      axes: the points of the frames of N of the nodes [3, N].
      neighbours: [N, M].
      shift: s [T], 1 for positions and 0 for differences.
    """
    xp, _, matmul = backend
    points = last.reshape(len(last), -1, 3)
    origin, first, second = (points[:, which] for which in axes)
    frames = local_frames(xp, origin, first, second)
    seen = xp.moveaxis(past[:, neighbours], 4, 3)  # [B, N, M, C, T, 3]
    seen = seen.reshape(*origin.shape[:2], -1, past.shape[2], 3)
    seen = seen - origin[:, :, None, None] * shift[:, None]
    turned = matmul(seen.reshape(*origin.shape[:2], -1, 3), xp.swapaxes(frames, -1, -2))
    return frames, turned.reshape(seen.shape)


def mean_of_views(xp: Any, seen: Array, axes: Array, nodes: int) -> Array:
    """The mean over the views of each node: [B, V, C, 3] -> [B, N, C, 3].

    Args:
      xp: numpy or jax.numpy.
      seen: of each view.
      axes: the points of their frames [3, V].
      nodes: N.
    """
    if seen.shape[1] == nodes:
        return seen
    chosen = xp.asarray(axes[0]) // seen.shape[2] == xp.arange(nodes)[:, None]
    share = (chosen / chosen.sum(axis=1, keepdims=True)).astype(seen.dtype)
    return xp.moveaxis(xp.tensordot(share, seen, axes=(1, 1)), 0, 1)


def _shells(node: int, near: list[set[int]], positions: np.ndarray) -> list[int]:
    """Nodes bonded to a node, then those bonded to the first of these."""

    def rank(other: int) -> tuple[int, float]:
        # The spread of a distance tells nodes with as many bonds apart, whatever their numbers.
        return -len(near[other]), float(np.var(_distances(positions, node, other)))

    shell = sorted(near[node], key=rank)
    further = {k for j in shell[:1] for k in near[j]} - {node, *shell}
    return [*shell, *sorted(further, key=rank)]


def _distances(positions: np.ndarray, i: int, j: int) -> np.ndarray:
    return np.linalg.norm(positions[:, i] - positions[:, j], axis=-1)


def _first_wide(
    points: np.ndarray, origin: int, candidates: list[int]
) -> tuple[tuple[int, int], float]:
    """The first pair of candidates that makes a good frame, and its share of degenerate windows."""
    best, widest = (origin, origin), (0.0, 1.0)
    for place, first in enumerate(candidates):
        for second in candidates[place + 1 :]:
            sines = sine(points[:, origin], points[:, first], points[:, second])
            low, share = float(np.quantile(sines, 0.1)), float(np.mean(sines < FLAT))
            if low > FLAT:
                return (first, second), share
            if low > widest[0]:
                best, widest = (first, second), (low, share)
    if best == (origin, origin) and candidates:
        best = candidates[0], candidates[-1]
    return best, widest[1]
