"""Renamings of nodes that leave a system's graph of bonds as it is, and the views that they make alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from estag_jax.data.edges import bonded, refined
from estag_jax.data.system import System

MOST = 48
"""Renamings of a system whose nodes are tied."""


class Views(NamedTuple):
    """From where a system is seen: each node by a frame and an order of what it looks at.

    Nodes that a renaming exchanges have one class, and a view for each renaming that takes the first of
    them there. Without ties every node is a class of one view.

    Args:
      axes: the points of the frames [3, V], see models.frames.
      neighbours: nodes in the order in which they are looked at [V, M].
      classes: which views share all that is fitted [V], counted from 0.
    """

    axes: np.ndarray
    neighbours: np.ndarray
    classes: np.ndarray

    @classmethod
    def of_nodes(cls, axes: np.ndarray, neighbours: np.ndarray) -> Views:
        """One view for each node."""
        return cls(np.array(axes), neighbours, np.arange(len(neighbours)))

    def tied(self, system: System) -> Views:
        """The views of the first node of each class, as all renamings place them."""
        channels, group = system.channels, automorphisms(system)
        first = group.min(axis=0)  # the first node that a renaming takes a node to
        found = []
        for number, start in enumerate(np.unique(first)):
            for names in group:
                points = self.axes[:, start]
                moved = names[points // channels] * channels + points % channels
                found.append((moved, names[self.neighbours[start]], number))
        axes, neighbours, classes = zip(*found, strict=True)
        return Views(np.stack(axes, axis=1), np.stack(neighbours), np.array(classes))


def classes_of(system: System, nodes: np.ndarray) -> np.ndarray:
    """Which of some nodes renamings exchange: numbers from 0, like those of :meth:`Views.tied`."""
    first = automorphisms(system).min(axis=0)
    return np.unique(first[nodes], return_inverse=True)[1]


def automorphisms(system: System) -> np.ndarray:
    """All renamings g of the nodes, i to g[i], that keep elements (or names), hydrogens and bonds [G, N].

    Raises:
      ValueError: there are no bonds, or more than MOST renamings; one line that goes on from a name.
    """
    nodes = system.num_nodes
    if system.bonds is None or not len(system.bonds):
        raise ValueError("ties nodes by the symmetry of bonds, and there are none (tie)")
    near = bonded(system.bonds, nodes)
    kinds = system.names if system.atomic_numbers is None else system.atomic_numbers
    hydrogens = np.zeros(nodes) if system.hydrogens is None else system.hydrogens
    rows = [np.asarray(row).tobytes() for row in np.asarray(system.node_features)]
    colours = refined(list(zip(map(str, kinds), hydrogens.tolist(), rows, strict=True)), near)
    found: list[list[int]] = []

    def extend(names: list[int]) -> None:
        node = len(names)
        if node == nodes:
            found.append(names)
            if len(found) > MOST:
                raise ValueError(
                    f"ties nodes by the symmetry of bonds, and there are more than {MOST} renamings (tie)"
                )
            return
        for image in range(nodes):
            if colours[image] == colours[node] and image not in names:
                if all((k in near[node]) == (names[k] in near[image]) for k in range(node)):
                    extend([*names, image])

    extend([])
    return np.array(found)
