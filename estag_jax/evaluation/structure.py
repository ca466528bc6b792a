"""Bond lengths, angles, dihedrals and radius of gyration of frames, and how their distributions differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_masses
from scipy.spatial.distance import jensenshannon

from estag_jax.data.edges import bonded
from estag_jax.data.system import System

BINS = 50
"""Of a histogram of lengths and angles."""


class Terms(NamedTuple):
    """The internal coordinates of a system.

    Args:
      bonds: pairs of joined nodes [P, 2].
      angles: nodes i, j, k with bonds i-j and j-k [A, 3].
      dihedrals: nodes i, j, k, l with bonds i-j, j-k and k-l [D, 4].
    """

    bonds: np.ndarray
    angles: np.ndarray
    dihedrals: np.ndarray


def terms(bonds: np.ndarray | Sequence[Sequence[int]], nodes: int) -> Terms:
    """All bonds, angles and dihedrals of a graph of bonds, each once.

    Args:
      bonds: pairs of nodes [P, 2], in one direction or in both.
      nodes: N.
    """
    beside = [sorted(found) for found in bonded(bonds, nodes)]
    pairs = [(i, j) for i in range(nodes) for j in beside[i] if i < j]
    angles = [(i, j, k) for j in range(nodes) for i in beside[j] for k in beside[j] if i < k]
    dihedrals = [
        (i, j, k, m)
        for j, k in pairs
        for i in beside[j]
        for m in beside[k]
        if len({i, j, k, m}) == 4
    ]
    listed = zip((pairs, angles, dihedrals), (2, 3, 4), strict=True)
    return Terms(*(np.array(found, int).reshape(-1, width) for found, width in listed))


def bond_lengths(x: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Distances of pairs [P, 2] of nodes in frames [..., N, 3]: [..., P], in the unit of x."""
    x = np.asarray(x, np.float64)
    return np.linalg.norm(x[..., pairs[:, 1], :] - x[..., pairs[:, 0], :], axis=-1)


def angles(x: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Angles at the middle node of triples [A, 3] in frames [..., N, 3]: [..., A], in degrees, 0 to 180."""
    x = np.asarray(x, np.float64)
    i, j, k = (x[..., triples[:, n], :] for n in range(3))
    u, v = i - j, k - j
    sine = np.linalg.norm(np.cross(u, v), axis=-1)
    return np.degrees(np.arctan2(sine, (u * v).sum(axis=-1)))


def dihedrals(x: np.ndarray, quadruples: np.ndarray) -> np.ndarray:
    """Dihedral angles with the sign of IUPAC, of quadruples [D, 4] of nodes.

        φ = atan2(|b_2| b_1·(b_2 × b_3), (b_1 × b_2)·(b_2 × b_3))

    Args:
      x: frames [..., N, 3].
      quadruples: nodes along three bonds b_1, b_2, b_3.

    Returns:
      [..., D], in degrees, -180 to 180.
    """
    x = np.asarray(x, np.float64)
    points = [x[..., quadruples[:, n], :] for n in range(4)]
    first, middle, last = (b - a for a, b in zip(points, points[1:], strict=False))
    one, other = np.cross(first, middle), np.cross(middle, last)
    sine = np.linalg.norm(middle, axis=-1) * (first * other).sum(axis=-1)
    return np.degrees(np.arctan2(sine, (one * other).sum(axis=-1)))


def masses(system: System) -> np.ndarray:
    """Atomic masses [N], hidden hydrogens included; ones where nodes are no atoms."""
    if system.atomic_numbers is None:
        return np.ones(system.num_nodes)
    own = atomic_masses[np.asarray(system.atomic_numbers)]
    return own if system.hydrogens is None else own + atomic_masses[1] * system.hydrogens


def radius_of_gyration(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sqrt(Σ m |x - x̄|² / Σ m), x̄ the centre of mass, of frames [..., N, 3] with masses [N]: [...]."""
    x, share = np.asarray(x, np.float64), (weights / weights.sum())[:, None]
    about = x - (x * share).sum(axis=-2, keepdims=True)
    return np.sqrt((about**2 * share).sum(axis=(-2, -1)))


def jensen_shannon(one: np.ndarray, other: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance of the histograms of each column, 0 for equal ones, 1 for disjoint ones.

        d² = H((p + q) / 2) - (H(p) + H(q)) / 2,   H in bits (Endres & Schindelin 2003)

    Args:
      one: samples [F, M].
      other: samples [G, M].
      edges: of the bins of each column [M, K + 1], increasing; samples outside go to two further bins,
        samples that are not finite to the last.

    Returns:
      [M].
    """
    found = []
    for p, q, edge in zip(one.T, other.T, edges, strict=True):
        counts = [
            np.bincount(np.searchsorted(edge, v, side="right"), minlength=len(edge) + 1)
            for v in (p, q)
        ]
        found.append(jensenshannon(*counts, base=2))
    return np.nan_to_num(np.array(found))  # rounding below zero, for equal histograms


def _spread(truth: np.ndarray) -> np.ndarray:
    """Edges of equal bins over the range of the truth [M, BINS + 1]."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    room = 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-12
    return np.linspace(low - room, high + room, BINS + 1, axis=1)


def _around(truth: np.ndarray) -> np.ndarray:
    """Edges of bins of 10 degrees around the circle [M, 37]."""
    return np.tile(np.linspace(-180, 180, 37), (truth.shape[1], 1))


KINDS: dict[str, tuple[Callable, Callable]] = {
    "bonds": (bond_lengths, _spread),
    "angles": (angles, _spread),
    "dihedrals": (dihedrals, _around),
}
"""The internal coordinates, by the names of :class:`Terms`: their values and the bins of their histograms."""


def distribution_distances(
    frames: np.ndarray, truth: np.ndarray, found: Terms
) -> dict[str, dict[str, float]]:
    """How the distributions of bonds, angles and dihedrals differ from those of the truth.

    Each coordinate has a histogram of its own, over the range of the truth (dihedrals: 10 degrees a bin).

    Args:
      frames: of forecasts [F, N, 3], in any order.
      truth: of the trajectory [G, N, 3], in the order of time.
      found: the coordinates.

    Returns:
      By name of the coordinate, where there are any: ``distance``, the mean Jensen-Shannon distance
      over coordinates, ``worst``, the largest, and ``halves``, the mean distance between the first and
      the second half of the truth, which a forecast cannot be asked to undercut.
    """
    distances = {}
    for (name, (values, bins)), nodes in zip(KINDS.items(), found, strict=True):
        if not len(nodes):
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # of forecasts that diverged
            own, true = values(frames, nodes), values(truth, nodes)
        edges, middle = bins(true), len(true) // 2
        each = jensen_shannon(own, true, edges)
        halves = jensen_shannon(true[:middle], true[middle:], edges)
        distances[name] = {
            "distance": float(each.mean()),
            "worst": float(each.max()),
            "halves": float(halves.mean()),
        }
    return distances
