"""The graph that models see, and the glossary of axis letters.

Axis letters, used in every docstring and in einsum strings:

| letter | axis                                                              |
|--------|-------------------------------------------------------------------|
| B      | batch (windows)                                                   |
| G      | graphs of a batch: 1, shared by all windows, or B, one a window   |
| N      | nodes (atoms, residues, joints, bodies)                           |
| E      | directed edges                                                    |
| T      | past frames of a window, oldest first                             |
| K      | frequencies, K = T - 1 (the constant one is dropped)              |
| C      | channels, i.e. points per node (1 for an atom, 4 for a backbone)  |
| H      | hidden features                                                   |
| F      | input features                                                    |

The last axis of every coordinate array is the three Cartesian components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Array = jax.Array | np.ndarray

_LEAVES = ("senders", "receivers", "edge_features", "node_mask", "edge_mask", "halo")


@jax.tree_util.register_pytree_with_keys_class
class Graph:
    """Directed edges of one graph that a whole batch shares, or of one graph for every window.

    Edges may be given in any order; they are sorted by receiver. Relative positions are
    x_receiver - x_sender and messages are summed at the receiver. The number of nodes is static (part
    of the tree's structure); all arrays are leaves, so a graph may be an argument of ``jax.jit``.

    Graphs of different sizes are stacked by :func:`stack`, which pads them and adds masks.

    Args:
      senders: integer node indices [E] or [G, E].
      receivers: integer node indices [E] or [G, E].
      num_nodes: N; every index lies in 0 … N-1. Nodes without edges are allowed.
      edge_features: [E, F] or [G, E, F] rotation-invariant features, or None. Sorted with the edges.
      node_mask: [N] or [G, N] bool, False for padding, or None where all nodes are real.
      edge_mask: [E] or [G, E] bool, likewise.
      halo: of a part of a graph, an ops.halo.Halo; senders may then be N … N + halo.size - 1 too, the
        nodes that the part receives.

    Raises:
      ValueError: shapes differ, an index is out of range, or a dtype is wrong. Values are checked
        only where they are concrete (not under a JAX transformation).

    Example:
      >>> Graph([2, 0, 1], [0, 1, 0], num_nodes=3).receivers.tolist()
      [[0, 0, 1]]
    """

    senders: Array
    receivers: Array
    num_nodes: int
    edge_features: Array | None
    node_mask: Array | None
    edge_mask: Array | None
    halo: Any

    def __init__(
        self,
        senders: Any,
        receivers: Any,
        num_nodes: int,
        edge_features: Any = None,
        node_mask: Any = None,
        edge_mask: Any = None,
        halo: Any = None,
    ):
        senders, receivers = _as_index("senders", senders), _as_index("receivers", receivers)
        num_nodes = int(num_nodes)
        if senders.shape != receivers.shape:
            raise ValueError(
                f"senders {senders.shape} and receivers {receivers.shape} must have the same shape"
            )
        known = num_nodes + (0 if halo is None else halo.size)
        for name, index, count in (
            ("senders", senders, known),
            ("receivers", receivers, num_nodes),
        ):
            if isinstance(index, np.ndarray) and index.size:
                for end in (index.min(), index.max()):
                    if not 0 <= end < count:
                        raise ValueError(f"{name} holds {end}, outside 0 … {count - 1}")
        graphs, edges = senders.shape
        self.num_nodes, self.halo = num_nodes, halo
        self.edge_features = _per_graph("edge_features", edge_features, (graphs, edges), 1)
        self.node_mask = _per_graph("node_mask", node_mask, (graphs, num_nodes), 0)
        self.edge_mask = _per_graph("edge_mask", edge_mask, (graphs, edges), 0)
        xp = np if isinstance(receivers, np.ndarray) and isinstance(senders, np.ndarray) else jnp
        # Sender as second key: any two orders of the same edges give the same arrays.
        order = xp.lexsort((senders, receivers), axis=-1)
        self.senders = xp.take_along_axis(senders, order, 1)
        self.receivers = xp.take_along_axis(receivers, order, 1)
        if self.edge_mask is not None:
            self.edge_mask = xp.take_along_axis(self.edge_mask, order, 1)
        if self.edge_features is not None:
            self.edge_features = xp.take_along_axis(self.edge_features, order[..., None], 1)

    @property
    def num_graphs(self) -> int:
        """G."""
        return self.senders.shape[0]

    @property
    def num_edges(self) -> int:
        """E, padding included."""
        return self.senders.shape[1]

    @property
    def edge_width(self) -> int:
        """F of the edge features, 0 where there are none."""
        return 0 if self.edge_features is None else self.edge_features.shape[-1]

    def take(self, which: Any) -> Graph:
        """One graph for every index, so that G becomes the number of indices [B]; traceable."""
        return jax.tree.map(lambda leaf: leaf[which], self)

    def permute(self, permutation: Any) -> Graph:
        """The same graph with node ``permutation[i]`` of this one renamed i (see jnp.take on nodes)."""
        permutation = np.asarray(permutation)
        new_name = np.argsort(permutation)
        return Graph(
            new_name[np.asarray(self.senders)],
            new_name[np.asarray(self.receivers)],
            self.num_nodes,
            self.edge_features,
            None if self.node_mask is None else self.node_mask[:, permutation],
            self.edge_mask,
        )

    def pad(self, num_nodes: int, num_edges: int) -> Graph:
        """The same graph with padding nodes behind its own, and padding edges among these.

        Args:
          num_nodes: of the result; more than N if edges are added, for these end at padding nodes.
          num_edges: of the result.

        Raises:
          ValueError: fewer nodes or edges than there are, or padding edges without a padding node.
        """
        nodes, edges = num_nodes - self.num_nodes, num_edges - self.num_edges
        if nodes < 0 or edges < 0 or (edges > 0 and nodes == 0):
            raise ValueError(
                f"cannot pad {self} to {num_nodes} nodes and {num_edges} edges: sizes may only grow, "
                f"and added edges need an added node to end at"
            )

        def grown(values: Array | None, extra: int, fill: Any, kind: Any = None):
            if values is None:
                return None
            width = [(0, 0), (0, extra)] + [(0, 0)] * (values.ndim - 2)
            return np.pad(np.asarray(values, kind), width, constant_values=fill)

        ones = np.ones((self.num_graphs, 1), bool)
        node_mask = np.repeat(ones, self.num_nodes, 1) if self.node_mask is None else self.node_mask
        edge_mask = np.repeat(ones, self.num_edges, 1) if self.edge_mask is None else self.edge_mask
        return Graph(
            grown(self.senders, edges, num_nodes - 1),
            grown(self.receivers, edges, num_nodes - 1),
            num_nodes,
            grown(self.edge_features, edges, 0),
            grown(node_mask, nodes, False, bool),
            grown(edge_mask, edges, False, bool),
        )

    def __repr__(self) -> str:
        graphs = "" if self.num_graphs == 1 else f"graphs={self.num_graphs}, "
        padded = "" if self.node_mask is None else ", padded"
        return (
            f"Graph({graphs}nodes={self.num_nodes}, edges={self.num_edges}, "
            f"edge_width={self.edge_width}{padded})"
        )

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        return [(key(n), getattr(self, n)) for n in _LEAVES], self.num_nodes

    @classmethod
    def tree_unflatten(cls, num_nodes, leaves):
        # Transformations rebuild the object from arbitrary leaves: no sorting, no checks here.
        self = object.__new__(cls)
        for name, leaf in zip(_LEAVES, leaves, strict=True):
            setattr(self, name, leaf)
        self.num_nodes = num_nodes
        return self


def stack(graphs: Sequence[Graph], num_nodes: int | None = None, num_edges: int | None = None):
    """Graphs as one with a leading axis, padded to a common size where they differ.

    Args:
      graphs: all with the same width of edge features.
      num_nodes: N of the result; by default what the graphs need.
      num_edges: E of the result, likewise.

    Returns:
      A Graph with G = len(graphs) (each may hold several itself).

    Raises:
      ValueError: widths of edge features differ, or a given size is too small.
    """
    if len({graph.edge_width for graph in graphs}) > 1:
        widths = sorted({graph.edge_width for graph in graphs})
        raise ValueError(f"graphs have edge features of different widths {widths}")
    num_edges = max(graph.num_edges for graph in graphs) if num_edges is None else num_edges
    if num_nodes is None:
        # One node more where a graph gets padding edges and would have no padding node to end them at.
        num_nodes = max(graph.num_nodes + (graph.num_edges < num_edges) for graph in graphs)
    same = all((g.num_nodes, g.num_edges) == (num_nodes, num_edges) for g in graphs)
    if not same or any(g.node_mask is not None for g in graphs):
        graphs = [graph.pad(num_nodes, num_edges) for graph in graphs]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *graphs)


def _as_index(name: str, index: Any) -> Array:
    if not isinstance(index, Tracer):
        index = np.asarray(index)
        if index.size == 0:
            index = index.astype(np.int32)
    if index.ndim not in (1, 2) or not jnp.issubdtype(index.dtype, jnp.integer):
        raise ValueError(
            f"{name} must be integers of shape [E] or [G, E], got {index.dtype}{list(index.shape)}"
        )
    index = index.astype(np.int32)
    return index[None] if index.ndim == 1 else index


def _per_graph(name: str, values: Any, shape: tuple[int, int], trailing: int) -> Array | None:
    """Values with the leading axis G, checked; given with it or, for one graph, without."""
    if values is None:
        return None
    given = np.shape(values)
    if len(given) == 1 + trailing:
        values = values[None]
    if np.ndim(values) != 2 + trailing or np.shape(values)[:2] != shape:
        expected = f"[{shape[0]}, {shape[1]}{', F' * trailing}]"
        raise ValueError(f"{name} has shape {given}, expected {expected}")
    return values
