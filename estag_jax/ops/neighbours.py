"""Lists of the pairs of nodes within a distance that follow moving nodes, of fixed size, for use under jit.

Pairs are found by a cell list, up to a skin beyond the cutoff, and stay as they are until a node has moved by
more than half the skin: no pair within the cutoff can be missing before (Verlet, Phys. Rev. 159 (1967) 98).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array, Graph

CELLS = 1000
"""Cells along an axis at most; a system that extends further has larger ones."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Pairs of nodes within cutoff + skin where the nodes were when it was built.

    Args:
      senders, receivers: node indices [P], sorted by receiver; N - 1 behind the last pair.
      count: pairs that there are.
      frame: where the nodes were [N, 3].
      builds: how many times it was built.
      overflow: whether there were ever more pairs, or candidates, than fit; what it says is wrong then.
      cutoff: the distance within which nodes are neighbours.
      skin: how far beyond it pairs are kept.
      candidates: pairs of nodes in neighbouring cells that fit.
    """

    senders: Array
    receivers: Array
    count: Array
    frame: Array
    builds: Array
    overflow: Array
    cutoff: float = dataclasses.field(metadata={"static": True})
    skin: float = dataclasses.field(metadata={"static": True})
    candidates: int = dataclasses.field(metadata={"static": True})

    def graph(self, frame: Array) -> Graph:
        """The edges between nodes that are within the cutoff in a frame [N, 3], their lengths as features.

        All other pairs are padding. Traceable; the frame must be one that the list was updated for.
        """
        square = jnp.sum((frame[self.receivers] - frame[self.senders]) ** 2, axis=-1)
        real = (jnp.arange(len(self.senders)) < self.count) & (square <= self.cutoff**2)
        apart = real & (square > 0)  # the root of zero has no gradient
        length = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)
        leaves = (
            self.senders[None],
            self.receivers[None],
            length[None, :, None],
            None,
            real[None],
            None,
        )
        return Graph.tree_unflatten(len(frame), leaves)  # which does not sort what is sorted


def allocate(frame: Array, cutoff: float, skin: float, capacity: float = 1.25) -> Neighbours:
    """The list for a first frame, with room for more pairs; not to be called under jit.

    Args:
      frame: positions [N, 3].
      cutoff: in the unit of the positions.
      skin: likewise; a larger one means fewer builds of longer lists.
      capacity: room for pairs, as a multiple of those of this frame.

    Raises:
      ValueError: the cutoff or the skin is not positive, or the capacity is below 1.
    """
    if not (cutoff > 0 and skin > 0 and capacity >= 1):
        raise ValueError(
            f"cutoff={cutoff:g}, skin={skin:g}, capacity={capacity:g}: cutoff and skin must be positive, "
            f"the capacity at least 1"
        )
    start = jnp.asarray(frame), jnp.int32(0), jnp.bool_(False), cutoff, skin
    needed = int(jnp.sum(jax.jit(_ranges)(start[0], cutoff + skin)[2]))
    pairs = int(_built(*start, 1, needed).count)
    return _built(*start, *(max(1, math.ceil(capacity * size)) for size in (pairs, needed)))


def update(neighbours: Neighbours, frame: Array) -> Neighbours:
    """The list for the next frame [N, 3]: itself, or a new one where a node has moved too far; traceable."""
    frame = jnp.asarray(frame)
    moved = jnp.max(jnp.sum((frame - neighbours.frame) ** 2, axis=-1))
    size = len(neighbours.senders)

    def build(old: Neighbours) -> Neighbours:
        rest = old.cutoff, old.skin, size, old.candidates
        return _built(frame, old.builds, old.overflow, *rest)

    stale = moved > (neighbours.skin / 2) ** 2
    return jax.lax.cond(stale, build, lambda old: old, neighbours)


@partial(jax.jit, static_argnames=("cutoff", "skin", "size", "candidates"))
def _built(frame, builds, overflow, cutoff, skin, size, candidates) -> Neighbours:
    """The list of a frame, counted as one more build; overflow if there was any before."""
    nodes, reach = len(frame), cutoff + skin
    order, begins, counts = _ranges(frame, reach)
    ends = jnp.cumsum(counts)
    total = ends[-1]
    # One number for every candidate: which node and row of cells it belongs to, and its place there.
    owner = jnp.repeat(jnp.arange(len(counts)), counts, total_repeat_length=candidates)
    number = jnp.arange(candidates)
    place = begins[owner] + number - (ends - counts)[owner]
    own, other = owner // len(_ROWS), order.at[place].get(mode="clip")
    square = jnp.sum((frame[own] - frame[other]) ** 2, axis=-1)
    near = (number < total) & (own != other) & (square <= reach**2)
    found = jnp.nonzero(near, size=size, fill_value=candidates)[0]
    ends_of = [at.at[found].get(mode="fill", fill_value=nodes - 1) for at in (other, own)]
    senders, receivers = (end.astype(jnp.int32) for end in ends_of)
    count = jnp.sum(near)
    overflow = overflow | (total > candidates) | (count > size)
    return Neighbours(
        senders, receivers, count, frame, builds + 1, overflow, cutoff, skin, candidates
    )


_ROWS = np.array(list(itertools.product((-1, 0, 1), repeat=2)))
"""Of three cells each along the last axis: together a cell and all its neighbours."""


def _ranges(frame: jax.Array, reach: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Candidates of every node: for each of the rows of cells about it, a range of the nodes by cell.

    Returns:
      The nodes ordered by cell [N], where each range begins and how long it is [N * 9].
    """
    low = jnp.min(frame, axis=0)
    size = jnp.maximum(reach, jnp.max(jnp.max(frame, axis=0) - low) / CELLS)
    cell = jnp.floor((frame - low) / size).astype(jnp.int32) + 1  # an empty layer about all
    _, rows, depth = jnp.max(cell, axis=0) + 2
    key = (cell[:, 0] * rows + cell[:, 1]) * depth + cell[:, 2]
    order = jnp.argsort(key)
    middle = key[:, None] + (_ROWS[:, 0] * rows + _ROWS[:, 1]) * depth
    begins = jnp.searchsorted(key[order], (middle - 1).ravel(), side="left")
    ends = jnp.searchsorted(key[order], (middle + 1).ravel(), side="right")
    return order, begins, ends - begins
