"""Containers shared by the whole package, and the glossary of axis letters.

Axis letters, used in every docstring and in einsum strings:

| letter | axis                                                              |
|--------|-------------------------------------------------------------------|
| B      | batch (windows); only callers have it, layers and models see one graph |
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

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray


@jax.tree_util.register_pytree_with_keys_class
class Topology:
    """A directed graph, its edges sorted by receiver, with a static node count.

    Edges may be given in any order; relative positions are x_receiver - x_sender and messages are
    summed at the receiver. The number of nodes is static (part of the tree's structure), so that
    shapes are known under ``jax.jit``; the index arrays are leaves and may be traced or vmapped.

    Args:
      senders: integer node indices [E].
      receivers: integer node indices [E].
      num_nodes: N; every index lies in 0 … N-1. Nodes without edges are allowed.
      edge_features: [E, F] rotation-invariant features, or None. Sorted along with the edges.

    Raises:
      ValueError: lengths differ, an index is out of range, or a shape or dtype is wrong. Values are
        checked only where they are concrete (not under a JAX transformation).
    """

    senders: Array
    receivers: Array
    num_nodes: int
    edge_features: Array | None

    def __init__(self, senders: Any, receivers: Any, num_nodes: int, edge_features: Any = None):
        senders, receivers = _as_index("senders", senders), _as_index("receivers", receivers)
        num_nodes = int(num_nodes)
        if senders.shape != receivers.shape:
            raise ValueError(
                f"senders {senders.shape} and receivers {receivers.shape} must have the same length"
            )
        if edge_features is not None and (
            np.ndim(edge_features) != 2 or np.shape(edge_features)[0] != senders.shape[0]
        ):
            raise ValueError(
                f"edge_features has shape {np.shape(edge_features)}, expected [{senders.shape[0]}, F]"
            )
        for name, index in (("senders", senders), ("receivers", receivers)):
            if isinstance(index, np.ndarray) and index.size:
                low, high = int(index.min()), int(index.max())
                if low < 0 or high >= num_nodes:
                    bad = low if low < 0 else high
                    raise ValueError(f"{name} holds {bad}, outside 0 … {num_nodes - 1}")
        xp = np if isinstance(receivers, np.ndarray) and isinstance(senders, np.ndarray) else jnp
        # Sender as second key: any two orders of the same edges give the same arrays.
        order = xp.lexsort((senders, receivers))
        self.senders, self.receivers = senders[order], receivers[order]
        self.num_nodes = num_nodes
        self.edge_features = None if edge_features is None else edge_features[order]

    @property
    def num_edges(self) -> int:
        """E."""
        return self.senders.shape[0]

    @property
    def edge_width(self) -> int:
        """F of the edge features, 0 where there are none."""
        return 0 if self.edge_features is None else self.edge_features.shape[-1]

    def permute(self, permutation: Any) -> Topology:
        """The same graph with node ``permutation[i]`` of this one renamed i (see jnp.take on nodes)."""
        new_name = np.argsort(np.asarray(permutation))
        return Topology(
            new_name[np.asarray(self.senders)],
            new_name[np.asarray(self.receivers)],
            self.num_nodes,
            self.edge_features,
        )

    def __repr__(self) -> str:
        return f"Topology(nodes={self.num_nodes}, edges={self.num_edges}, edge_width={self.edge_width})"

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        names = ("senders", "receivers", "edge_features")
        return [(key(n), getattr(self, n)) for n in names], self.num_nodes

    @classmethod
    def tree_unflatten(cls, num_nodes, leaves):
        # Transformations rebuild the object from arbitrary leaves: no sorting, no checks here.
        self = object.__new__(cls)
        self.senders, self.receivers, self.edge_features = leaves
        self.num_nodes = num_nodes
        return self


def _as_index(name: str, index: Any) -> Array:
    if not isinstance(index, jax.core.Tracer):
        index = np.asarray(index)
        if index.size == 0:
            index = index.astype(np.int32)
    if index.ndim != 1 or not jnp.issubdtype(index.dtype, jnp.integer):
        raise ValueError(
            f"{name} must be integers of shape [E], got {index.dtype}{list(index.shape)}"
        )
    return index.astype(np.int32)
