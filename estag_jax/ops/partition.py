"""A graph split into parts for the devices of the mesh axis ``nodes``: built once, on the host."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from estag_jax.graph import Graph
from estag_jax.ops.halo import Halo


@dataclasses.dataclass(frozen=True)
class Partition:
    """A graph in P parts of equal, padded size.

    Args:
      order: the node of every place, part after part; -1 for padding [P * n].
      graph: the parts' graphs one after another, [1, P * …] each leaf, to be split over the axis ``nodes``;
        its N is n, that of a part.
    """

    order: np.ndarray
    graph: Graph

    def spread(self, values: np.ndarray, axis: int = 1) -> np.ndarray:
        """Values of nodes in the order of the parts, zero for padding: N of ``axis`` becomes P * n."""
        taken = np.take(np.asarray(values), np.maximum(self.order, 0), axis)
        real = (self.order >= 0).reshape(-1, *(1,) * (values.ndim - axis - 1))
        return np.where(real, taken, np.zeros((), taken.dtype))

    def collect(self, values: np.ndarray, axis: int = 1) -> np.ndarray:
        """The inverse: values in the order of the nodes, without padding."""
        places = np.flatnonzero(self.order >= 0)
        return np.take(np.asarray(values), places[np.argsort(self.order[places])], axis)


def bisect(positions: np.ndarray, parts: int) -> np.ndarray:
    """The part of every node [N]: halved at the median of the longest axis, again and again.

    Sizes of parts differ by one at most, for any number of them.

    Args:
      positions: [N, 3].
      parts: P.

    Raises:
      ValueError: there are fewer nodes than parts.
    """
    if parts > len(positions):
        raise ValueError(
            f"a graph of {len(positions)} nodes cannot be split into {parts} parts; set mesh.nodes to "
            f"{len(positions)} or less"
        )
    found = np.zeros(len(positions), int)
    sizes = np.diff(np.arange(parts + 1) * len(positions) // parts)

    def halve(nodes: np.ndarray, first: int, last: int) -> None:
        if last - first == 1:
            found[nodes] = first
            return
        middle = (first + last) // 2
        axis = np.argmax(np.ptp(positions[nodes], axis=0))
        order = nodes[np.argsort(positions[nodes, axis], kind="stable")]
        cut = sizes[first:middle].sum()
        halve(order[:cut], first, middle)
        halve(order[cut:], middle, last)

    halve(np.arange(len(positions)), 0, parts)
    return found


def split_graph(graph: Graph, part: np.ndarray) -> Partition:
    """Splits a graph: each part gets the edges that end at its nodes, and what it sends to the others.

    Args:
      graph: of one system, G = 1, without masks.
      part: of every node [N], 0 … P-1, none empty.
    """
    parts, nodes = part.max() + 1, np.argsort(part, kind="stable")
    counts = np.bincount(part)
    begins = np.cumsum(counts) - counts
    local = np.empty(len(part), int)  # the number of a node in its own part
    local[nodes] = np.arange(len(part)) - np.repeat(begins, counts)

    senders, receivers = np.asarray(graph.senders[0]), np.asarray(graph.receivers[0])
    crossing = part[senders] != part[receivers]
    # Each node goes to each part once, however many edges lead there.
    sent = np.unique(np.stack([part[senders], part[receivers], senders], 1)[crossing], axis=0)
    pair = sent[:, 0] * parts + sent[:, 1]
    slot = np.arange(len(sent)) - np.searchsorted(pair, pair)
    width = int(slot.max(initial=-1)) + 1
    send = np.zeros((parts, parts, width), np.int32)
    send[sent[:, 0], sent[:, 1], slot] = local[sent[:, 2]]

    edges = np.bincount(part[receivers], minlength=parts)
    most = edges.max(initial=0)
    # One node more where a part's padding edges would have no padding node to end at.
    size = int(max(counts + (edges < most)))
    wanted = sent[:, 1] * len(part) + sent[:, 2]
    by_wanted = np.argsort(wanted)
    # Behind the owned nodes of the part that wants it.
    seat = (sent[:, 0] * width + slot)[by_wanted]
    order = np.full((parts, size), -1)
    graphs = []
    for p in range(parts):
        order[p, : counts[p]] = nodes[begins[p] : begins[p] + counts[p]]
        own = np.flatnonzero(part[receivers] == p)
        ends = np.full((2, most), size - 1)
        fetched = np.flatnonzero(crossing[own])
        found = np.searchsorted(wanted[by_wanted], p * len(part) + senders[own[fetched]])
        ends[:, : len(own)] = local[senders[own]], local[receivers[own]]
        ends[0, fetched] = size + seat[found]
        features = None
        if graph.edge_features is not None:
            features = np.zeros((most, graph.edge_width), graph.edge_features.dtype)
            features[: len(own)] = np.asarray(graph.edge_features)[0, own]
        halo = Halo(send[p][None])
        masks = np.arange(size) < counts[p], np.arange(most) < len(own)
        graphs.append(Graph(*ends, size, features, *masks, halo))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *graphs)
    return Partition(order.reshape(-1), joined)
