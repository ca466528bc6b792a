"""Graphs on the nodes: who sends messages to whom.

Every graph is fixed in time and linear in memory in its edges. Neighbours are found by a k-d tree
and paths by sparse products, so nothing here makes an [N, N] array but ``fully_connected``, whose
edges are that many.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import ase
import numpy as np
from ase.neighborlist import natural_cutoffs
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from estag_jax.data.trajectory import DataError
from estag_jax.types import Topology

Kind = Literal["bonds", "paper", "radius", "full"]

PAPER_CUTOFF = 1.6
"""Å; the published rule calls two heavy atoms bonded below this distance."""


@dataclasses.dataclass(frozen=True)
class GraphConfig:
    """Which pairs of nodes are edges.

    Args:
      kind: "bonds", covalent bonds by the elements' radii and all pairs up to ``hops`` bonds apart;
        "paper", the same with bonds by distance in frame 0; "radius", all pairs within ``cutoff``
        in frame 0; "full", all pairs.
      hops: the most bonds between the ends of an edge (bonds and paper).
      cutoff: a length in the trajectory's unit; needed for radius, 1.6 for paper unless given.
      channel: the point of a node that stands for it when distances are measured.

    Raises:
      ValueError: a value is out of its range, or a cutoff is missing or would have no effect.
    """

    kind: Kind = "bonds"
    hops: int = 2
    cutoff: float | None = None
    channel: int = 0

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"graph kind is {self.kind!r}, expected one of {', '.join(get_args(Kind))}"
            )
        if self.hops < 1:
            raise ValueError(f"graph hops is {self.hops}, it must be at least 1")
        if self.channel < 0:
            raise ValueError(f"graph channel is {self.channel}, it must be at least 0")
        if self.cutoff is None:
            if self.kind == "radius":
                raise ValueError("graph kind 'radius' needs a cutoff, for example cutoff=6.0")
        elif self.kind not in ("paper", "radius"):
            raise ValueError(f"graph cutoff has no effect with kind {self.kind!r}; leave it out")
        elif not 0 < self.cutoff < np.inf:
            raise ValueError(f"graph cutoff is {self.cutoff}, it must be positive and finite")


DEFAULT_GRAPH = GraphConfig()


def bonds(positions: np.ndarray, atomic_numbers: np.ndarray, tolerance: float = 1.2) -> np.ndarray:
    """Covalent bonds: pairs whose median distance is within the sum of their radii × tolerance.

    The median is over at most 200 evenly spaced frames (fewer for very large systems, at least
    21), not over frame 0 alone: there a bond may happen to be stretched, and would be lost.

    Args:
      positions: [F, N, 3] in Å.
      atomic_numbers: [N].
      tolerance: factor on the sum of ASE's covalent radii.

    Returns:
      Integers [bonds, 2], i < j, in increasing order.
    """
    num_frames, num_nodes = positions.shape[:2]
    count = min(num_frames, max(21, min(200, 2_000_000 // max(num_nodes, 1))))
    frames = positions[np.linspace(0, num_frames - 1, count).round().astype(np.int64)]
    radii = np.array(natural_cutoffs(ase.Atoms(numbers=atomic_numbers), mult=tolerance))

    # A median within the limit means that at least half of the frames are: the pairs that are close
    # in one of any half + 1 of them include every bond.
    keys = np.empty(0, np.int64)
    for frame in frames[: count // 2 + 1]:
        pairs = _pairs_within(frame, 2 * radii.max())
        distances = np.linalg.norm(frame[pairs[:, 0]] - frame[pairs[:, 1]], axis=-1)
        pairs = pairs[distances <= radii[pairs].sum(axis=1)]
        keys = np.union1d(keys, pairs[:, 0] * num_nodes + pairs[:, 1])
    pairs = np.stack([keys // num_nodes, keys % num_nodes], axis=1)
    distances = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1)
    return pairs[np.median(distances, axis=0) <= radii[pairs].sum(axis=1)]


def distance_bonds(positions: np.ndarray, cutoff: float = PAPER_CUTOFF) -> np.ndarray:
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
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    ends = np.concatenate([edges, edges[:, ::-1]])

    def matrix(keys):
        ones = np.ones(len(keys), bool)
        return csr_array((ones, (keys // num_nodes, keys % num_nodes)), (num_nodes, num_nodes))

    adjacency = matrix(np.unique(ends[:, 0] * num_nodes + ends[:, 1]))
    reached = adjacency
    seen = np.arange(num_nodes) * (num_nodes + 1)  # the diagonal: every node reaches itself
    found = []
    for _ in range(maximum):
        senders, receivers = reached.nonzero()
        keys = senders.astype(np.int64) * num_nodes + receivers
        found.append(np.setdiff1d(keys, seen))
        seen = np.concatenate([seen, found[-1]])
        reached = matrix(found[-1]) @ adjacency
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
    return np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])


def fully_connected(num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different nodes: senders and receivers, integers [N (N - 1)] each."""
    senders, receivers = np.nonzero(~np.eye(num_nodes, dtype=bool))
    return senders, receivers


def build_topology(
    config: GraphConfig,
    positions: np.ndarray,
    atomic_numbers: np.ndarray | None,
    source: str = "the trajectory",
) -> Topology:
    """The graph that ``config`` asks for.

    Args:
      config: which pairs are edges.
      positions: [F, N, C, 3].
      atomic_numbers: [N], or None where nodes are not atoms.
      source: what the positions were read from, for messages.

    Returns:
      The topology. The edge feature of bonds and paper is the number of bonds between the two ends,
      [E, 1] float32; the other kinds have none.

    Raises:
      DataError: bonds are asked for without atomic numbers, the channel does not exist, or there
        are no edges.
    """
    num_nodes, channels = positions.shape[1:3]
    if config.channel >= channels:
        raise DataError(
            f"{source}: graph channel {config.channel} does not exist, nodes have {channels} "
            f"channel(s), counted from 0; choose a smaller one"
        )
    points = positions[:, :, config.channel]
    hop = None
    if config.kind == "bonds":
        if atomic_numbers is None:
            raise DataError(
                f"{source}: graph kind 'bonds' needs atomic numbers and there are none; give them "
                f"as key z, or choose kind 'paper' or 'radius' (by distance) or 'full' (all pairs)"
            )
        senders, receivers, hop = hops(bonds(points, atomic_numbers), num_nodes, config.hops)
    elif config.kind == "paper":
        pairs = distance_bonds(points, config.cutoff or PAPER_CUTOFF)
        senders, receivers, hop = hops(pairs, num_nodes, config.hops)
    elif config.kind == "radius":
        senders, receivers = radius_edges(points[0], config.cutoff)
    else:
        senders, receivers = fully_connected(num_nodes)
    if not len(senders):
        remedy = {
            "bonds": "are the positions in Å? kind 'radius' or 'full' needs no bonds",
            "paper": f"raise the cutoff of {config.cutoff or PAPER_CUTOFF}",
            "radius": f"raise the cutoff of {config.cutoff}",
            "full": "at least two nodes are needed",
        }[config.kind]
        raise DataError(
            f"{source}: graph kind {config.kind!r} gives no edges between the {num_nodes} node(s); "
            f"{remedy}"
        )
    features = None if hop is None else hop[:, None].astype(np.float32)
    return Topology(senders, receivers, num_nodes, features)


def _pairs_within(frame: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs [P, 2] at most ``cutoff`` apart in positions [N, 3], i < j, in increasing order."""
    pairs = cKDTree(frame).query_pairs(cutoff, output_type="ndarray").astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
