"""Parts of a body by its graph: limbs and trunk, and vectors along bonds."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from estag_jax.data.edges import bonded
from estag_jax.data.system import System


def groups_of(system: System, mirror: np.ndarray) -> list[np.ndarray]:
    """The nodes of one side by limb, and the trunk: what is forecast together.

    The trunk are the nodes that the mirror leaves in place; limbs are the parts of the graph that hang
    together without it, of which a mirrored pair counts once. Without a mirror all nodes are one group.

    Args:
      system: the nodes.
      mirror: what each node is exchanged with [N].

    Returns:
      Nodes of each group; these and the mirror images of the limbs are all nodes.
    """
    near, left = bonded(system.bonds, len(mirror)), np.full(len(mirror), -1)
    groups = []
    for start in np.flatnonzero(mirror != np.arange(len(mirror))):
        limb, reached = [], [int(start)] if left[start] < 0 else []
        while reached:
            node = reached.pop()
            if left[node] < 0 and mirror[node] != node:
                left[[node, mirror[node]]] = len(groups)
                limb.append(node)
                reached += near[node]
        groups += [np.sort(limb)] if limb else []
    trunk = np.flatnonzero(left < 0)
    return [*groups, trunk] if len(trunk) else groups


def along_bonds(system: System) -> np.ndarray:
    """Vectors along bonds, and the centroid of each part that hangs together [F, N*C]."""
    nodes, channels, anchor = system.num_nodes, system.channels, system.anchor
    near, ends = bonded(system.bonds, nodes), np.transpose(system.bonds)
    joined = csr_array((np.ones(ends.shape[1]), ends), (nodes, nodes))
    count, part = connected_components(joined, directed=False)
    parts = np.repeat(part == np.arange(count)[:, None], channels, axis=1)
    anchors = np.arange(nodes) * channels + anchor
    pairs = [
        (anchors[i], anchors[j]) for i, others in enumerate(near) for j in sorted(others) if i < j
    ]
    pairs += [(i, i - anchor + c) for i in anchors for c in range(channels) if c != anchor]
    unit = np.eye(nodes * channels)
    centres = parts / parts.sum(axis=1, keepdims=True)
    return np.array([*centres, *(unit[j] - unit[i] for i, j in pairs)])
