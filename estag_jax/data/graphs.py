"""Graphs on the nodes: who sends messages to whom.

Every graph is fixed in time and linear in memory in its edges (see ``edges``): 100,000 nodes take
seconds.
"""

from __future__ import annotations

import numpy as np

from estag_jax.data.edges import bonds, distance_bonds, fully_connected, hops, nearest, radius_edges
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig, GraphKind
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import LENGTHS
from estag_jax.graph import Graph

PAPER_CUTOFF = 1.6
"""Å; the published rule calls two heavy atoms bonded below this distance."""

FULL_UP_TO = 64
"""Nodes up to which "auto" joins all pairs where nothing is known of bonds or contacts."""

NEIGHBOURS = 16
"""Neighbours per node of "nearest" unless given."""


def resolve(config: GraphConfig, trajectory: Trajectory) -> GraphConfig:
    """The graph that "auto" stands for, all of whose values are given; any other kind likewise."""
    kind, system = config.kind, trajectory.system
    if kind == "auto":
        atoms = system.atomic_numbers is not None and system.channels == 1
        if atoms or (system.bonds is not None and len(system.bonds) > 0):
            kind = "bonds"
        elif system.contact_distance is not None:
            kind = "radius"
        else:
            kind = "full" if system.num_nodes <= FULL_UP_TO else "nearest"
    cutoff, neighbours = config.cutoff, config.neighbours
    if cutoff is None and kind == "radius":
        cutoff = system.contact_distance
        if cutoff is None:
            raise DataError(
                f"{trajectory.source}: graph kind 'radius' needs a cutoff, for example "
                f"--graph.cutoff 6.0 (in {system.length_unit})"
            )
    if cutoff is None and kind == "paper":
        cutoff = PAPER_CUTOFF / _unit_in_angstrom(trajectory, kind)
    if neighbours is None and kind == "nearest":
        neighbours = NEIGHBOURS
    channel = system.anchor if config.channel is None else config.channel
    return GraphConfig(kind, config.hops, cutoff, neighbours, channel)


def with_graph(trajectory: Trajectory, config: GraphConfig = DEFAULT_GRAPH) -> Trajectory:
    """The trajectory, its system joined by the graph that ``config`` asks for.

    Args:
      trajectory: positions, elements and bonds; its own graph, if any, is replaced.
      config: which pairs are edges.

    Returns:
      The same frames; the system has a graph, and the bonds that were found where it had none. The
      edge features of bonds, covalent and paper are the number of bonds between
      the two ends and, where the source knows bond orders and its bonds are taken, the order of the
      bond (0 between ends that are not bonded): [E, 1 or 2] float32. That of radius is the distance
      between the two ends in frame 0, in the trajectory's unit, as published for the protein: [E, 1];
      the other kinds have none.

    Raises:
      DataError: bonds are asked for without atomic numbers, the channel does not exist, or there
        are no edges between several nodes.
    """
    config = resolve(config, trajectory)
    system, source = trajectory.system, trajectory.source
    num_nodes = system.num_nodes
    if config.channel >= system.channels:
        raise DataError(
            f"{source}: graph channel {config.channel} does not exist, nodes have {system.channels} "
            f"channel(s), counted from 0; choose a smaller one"
        )
    points = trajectory.positions[:, :, config.channel]
    if trajectory.missing is not None:
        points = points[trajectory.known]
    orders = pairs = features = None
    if config.kind == "radius":
        senders, receivers = radius_edges(points[0], config.cutoff)
        apart = points[0][receivers] - points[0][senders]
        features = np.linalg.norm(apart, axis=1, keepdims=True).astype(np.float32)
    elif config.kind == "nearest":
        senders, receivers = nearest(points[0], config.neighbours)
    elif config.kind == "full":
        senders, receivers = fully_connected(num_nodes)
    else:
        if config.kind == "paper":
            pairs = distance_bonds(points, config.cutoff)
        elif config.kind == "bonds" and system.bonds is not None:
            pairs, orders = system.bonds, system.bond_orders
        else:
            pairs = _covalent(config, trajectory, points)
        senders, receivers, hop = hops(pairs, num_nodes, config.hops)
        features = [hop]
        if orders is not None:
            features.append(_orders(pairs, orders, senders, receivers, num_nodes))
        features = np.stack(features, axis=1).astype(np.float32)
    if not len(senders) and num_nodes > 1:
        remedy = (
            f"are the positions in {system.length_unit}? If not, give the unit (--read.length-unit bohr, "
            f"nm, …); kind 'nearest' or 'full' needs no bonds"
        )
        if system.hydrogens is not None:
            remedy = "bonds to hydrogens are left out with them (--read.hydrogens keeps both)"
            remedy += "; kind 'nearest' or 'full' (--graph.kind) needs no bonds"
        if config.cutoff is not None:
            remedy = f"raise the cutoff of {config.cutoff}"
        remedy = "; ".join([*(note for note in trajectory.notes if "?" in note), remedy])
        raise DataError(
            f"{source}: graph kind {config.kind!r} gives no edges between the {num_nodes} nodes; "
            f"{remedy}"
        )
    graph = Graph(senders, receivers, num_nodes, features)
    if pairs is None or system.bonds is not None:
        return trajectory.changed(graph=graph)
    return trajectory.changed(graph=graph, bonds=pairs)


def _covalent(config: GraphConfig, trajectory: Trajectory, points: np.ndarray) -> np.ndarray:
    if trajectory.system.atomic_numbers is None:
        raise DataError(
            f"{trajectory.source}: graph kind {config.kind!r} needs atomic numbers and there are none; "
            f"give them as key z, or choose kind 'paper' or 'radius' (by distance) or 'full' (all pairs)"
        )
    unit = _unit_in_angstrom(trajectory, config.kind)
    return bonds(points, trajectory.system.atomic_numbers, unit)


def _unit_in_angstrom(trajectory: Trajectory, kind: GraphKind) -> float:
    if trajectory.system.length_unit not in LENGTHS:
        raise DataError(
            f"{trajectory.source}: graph kind {kind!r} measures in Å and the length unit is "
            f"{trajectory.system.length_unit!r}; choose kind 'radius' with a cutoff, or 'full'"
        )
    return LENGTHS[trajectory.system.length_unit]


def _orders(
    pairs: np.ndarray, orders: np.ndarray, senders: np.ndarray, receivers: np.ndarray, num: int
) -> np.ndarray:
    """The bond order of each edge, 0 where its ends are not bonded [E]; ``num`` is that of nodes."""
    keys = np.concatenate([pairs[:, 0] * num + pairs[:, 1], pairs[:, 1] * num + pairs[:, 0]])
    order = np.argsort(keys)
    keys, values = keys[order], np.concatenate([orders, orders])[order]
    edges = np.asarray(senders, np.int64) * num + receivers
    at = np.minimum(np.searchsorted(keys, edges), max(len(keys) - 1, 0))
    return np.where(keys[at] == edges, values[at], 0.0) if len(keys) else np.zeros(len(edges))
