"""Exact message passing over a graph that is split into parts, one a device of the mesh axis ``nodes``.

A device holds the nodes that it owns and all edges that end at them. Before messages are computed, every part
sends the values of its nodes that other parts read; they are appended behind the owned ones, so

    local values = [owned nodes | received from part 0 | from part 1 | …]

and sender indices point into it, receiver indices into the owned part. Nothing is left out and nothing is
averaged: results and gradients are those of one device up to the order of sums. The exchange is one
all_to_all, whose gradient is again one. (all_gather's is psum_scatter, which is reported to be wrong over
gloo for large arrays: jax-ml/jax#40830.)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from estag_jax.graph import Array

NODES = "nodes"
"""The mesh axis over which a graph is split."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Halo:
    """What a part sends to the others.

    Args:
      send: numbers of owned nodes, one row for each receiving part, filled up with any node [1, P, S].
    """

    send: Array

    @property
    def size(self) -> int:
        """How many values a part receives: P * S."""
        return self.send.shape[1] * self.send.shape[2]


def with_halo(nodes: jax.Array, halo: Halo | None) -> jax.Array:
    """Values of owned nodes [B, N, ...] with those of other parts behind them [B, N + P * S, ...].

    Is called inside ``jax.shard_map`` over the axis NODES. Without a halo the values stay as they are.
    """
    if halo is None:
        return nodes
    sent = nodes[:, jnp.asarray(halo.send).reshape(-1)]
    received = jax.lax.all_to_all(sent, NODES, split_axis=1, concat_axis=1, tiled=True)
    return jnp.concatenate([nodes, received], axis=1)


def over_parts(total: jax.Array, halo: Halo | None) -> jax.Array:
    """The sum over all parts of what each has summed over its own nodes."""
    return total if halo is None else jax.lax.psum(total, NODES)


def differing(tree: Any, halo: Halo | None) -> Any:
    """Arrays as values that differ between devices, for scans and for functions with their own gradient.

    jax.shard_map keeps apart what all devices share. The gradient of an array that was shared is summed over
    the devices here.
    """
    if halo is None:
        return tree
    nothing = 0 * jax.lax.axis_index(("data", NODES))
    return jax.tree.map(lambda leaf: leaf + nothing.astype(leaf.dtype), tree)
