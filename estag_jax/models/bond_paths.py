"""Bond paths of a system and the environment of each node: what path ridge knows of it besides frames.

All of it follows from bonds, elements and hidden hydrogens, so it is renamed with the nodes and known for
systems that were never seen. Paths have at most four bonds: tables and cost are linear in the nodes.
"""

from __future__ import annotations

import itertools

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from estag_jax.data.edges import bonded
from estag_jax.data.system import System
from estag_jax.ops.paths import Paths

MASS, MASS_UNIT = 13.0, 3.0
"""Masses are counted from that of CH, in u, in units of three hydrogens."""

ALL = "all"
"""The class of every node."""


def neighbours(system: System) -> list[list[int]]:
    """The nodes bonded to each node, in the order of their numbers."""
    return [sorted(nodes) for nodes in bonded(system.bonds, system.num_nodes)]


def paths_of(system: System) -> Paths:
    """The paths of up to four bonds of every node, no node twice, and the planes of nodes."""
    near = neighbours(system)
    walks: list[list[list[tuple[int, ...]]]] = [[[()] for _ in near]]
    for _ in range(4):
        walks.append(
            [
                [
                    (*path, end)
                    for path in walks[-1][node]
                    for end in near[path[-1] if path else node]
                    if end != node and end not in path
                ]
                for node in range(len(near))
            ]
        )
    one, two, three, four = (_table(lists, n + 1) for n, lists in enumerate(walks[1:]))
    fork = [list(itertools.permutations(nodes, 2)) for nodes in near]
    bent = [
        [(j, k, other) for j, k in walks[2][node] for other in near[node] if other != j]
        for node in range(len(near))
    ]
    centre = np.array([nodes[0] if len(nodes) == 1 else i for i, nodes in enumerate(near)])
    planes = [[tuple(near[c])] if 2 <= len(near[c]) <= 3 else [] for c in centre]
    around = _table([[p + (-1,) * (3 - len(p)) for p in plane] for plane in planes], 3)[:, 0]
    return Paths(
        one, two, three, four, _table(fork, 2), _table(bent, 3), centre, around, _mass(system)
    )


def environments(system: System) -> list[tuple[str, str, str]]:
    """The classes of each node, from all nodes to those with the same environment.

    An environment is element, number of bonds, whether the smallest ring through the node has six
    nodes, and of each bonded node the element, the number of bonds and whether the bond is one to an
    end without hydrogens (C=O): "C3 ring (C2 C3 O1=)". Nodes that are no atoms have the element "X".
    """
    near = neighbours(system)
    numbers = system.atomic_numbers
    element = ["X"] * len(near) if numbers is None else [chemical_symbols[z] for z in numbers]
    hidden = np.zeros(len(near), int) if system.hydrogens is None else system.hydrogens
    ends = [len(nodes) + hidden[i] == 1 for i, nodes in enumerate(near)]
    kind = [f"{element[i]}{len(nodes)}" for i, nodes in enumerate(near)]
    found = []
    for i, nodes in enumerate(near):
        ring = " ring" if _smallest_ring(i, near) == 6 else ""
        around = sorted(kind[j] + "=" * bool(ends[i] or ends[j]) for j in nodes)
        found.append((ALL, element[i], f"{kind[i]}{ring} ({' '.join(around)})"))
    return found


def _table(paths: list[list[tuple[int, ...]]], length: int) -> np.ndarray:
    """Lists of paths of each node as one array [N, K, length], filled up with -1."""
    table = np.full((len(paths), max(1, *map(len, paths)), length), -1)
    for node, listed in enumerate(paths):
        if listed:
            table[node, : len(listed)] = listed
    return table


def _mass(system: System) -> np.ndarray:
    if system.atomic_numbers is None:
        return np.zeros(system.num_nodes)
    hidden = 0 if system.hydrogens is None else np.asarray(system.hydrogens)
    masses = atomic_masses[np.asarray(system.atomic_numbers)] + hidden * atomic_masses[1]
    return (masses - MASS) / MASS_UNIT


def _smallest_ring(node: int, near: list[list[int]], largest: int = 6) -> int:
    """Nodes of the smallest ring through a node, 0 where there is none of at most ``largest``."""
    # Two branches from the node that meet close a ring.
    branch, shell = {other: other for other in near[node]}, list(near[node])
    depth, found = {other: 1 for other in near[node]}, 0
    while shell and 2 * depth[shell[0]] < largest:
        further = []
        for one in shell:
            for other in near[one]:
                if other == node:
                    continue
                if other not in branch:
                    branch[other], depth[other] = branch[one], depth[one] + 1
                    further.append(other)
                elif branch[other] != branch[one]:
                    size = depth[one] + depth[other] + 1
                    found = min(found or size, size)
        shell = further
    return found if found <= largest else 0
