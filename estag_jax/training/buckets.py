"""Systems of like size, padded to one shape: what is compiled once and shared by all of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.graph import Graph, stack
from estag_jax.memory import ALIGNMENT, aligned
from estag_jax.models.base import network_inputs
from estag_jax.nn.config import Elements
from estag_jax.ops.halo import NODES
from estag_jax.ops.partition import bisect, split_graph
from estag_jax.ops.sharding import place
from estag_jax.ops.windows import gather_windows

GROWTH = 1.5
"""The largest system of a bucket has at most so many times the nodes of its smallest."""


class Cut(NamedTuple):
    """Windows that were cut on the host, in place of their numbers.

    Args:
      history: [..., N, T, C, 3].
      target: [..., P, N, C, 3].
      which: systems of the windows [...].
    """

    history: Any
    target: Any
    which: Any


CUT_SPEC = Cut(
    PartitionSpec("data", NODES), PartitionSpec("data", None, NODES), PartitionSpec("data")
)
"""How windows [W] that were cut are split over a mesh."""


class Bucket(NamedTuple):
    """The training windows of some systems, as arrays on the device or, where it has no room, the host.

    Args:
      positions: the frames of all systems one after another [frames, N, C, 3].
      features: node features [S, N, F].
      graph: S graphs of N nodes and E edges; with masks where systems were padded.
      starts: first frame of each window [W].
      which: its system [W].
    """

    positions: jax.Array
    features: jax.Array
    graph: Graph
    starts: jax.Array
    which: jax.Array

    def inputs(self, which: jax.Array) -> tuple[jax.Array, Graph]:
        """Features and graph of windows [B] of the given systems: shared where there is one system."""
        if self.features.shape[0] == 1:
            return self.features, self.graph
        return self.features[which], self.graph.take(which)

    def windows(self, rows: jax.Array | Cut, past: int, delta: int, horizons: tuple[int, ...]):
        """History, target, features and graph of the windows with these numbers [B], or cut already."""
        if isinstance(rows, Cut):
            return rows.history, rows.target, *self.inputs(rows.which)
        cut = gather_windows(self.positions, self.starts[rows], past, delta, horizons)
        return *cut, *self.inputs(self.which[rows])


def sizes(task: Task) -> list[tuple[int, int]]:
    """Nodes and edges that each system of a task is padded to; equal within a bucket.

    Systems are sorted by their nodes; a bucket ends where one has more than GROWTH times the nodes of
    the bucket's first, so a task needs at most log_1.5(largest / smallest) + 1 of them.
    """
    graphs = [system.graph for system in task.systems]
    order = sorted(range(len(graphs)), key=lambda i: graphs[i].num_nodes)
    buckets: list[list[int]] = []
    for i in order:
        if buckets and graphs[i].num_nodes <= GROWTH * graphs[buckets[-1][0]].num_nodes:
            buckets[-1].append(i)
        else:
            buckets.append([i])
    found: list[tuple[int, int]] = [(0, 0)] * len(graphs)
    for bucket in buckets:
        edges = max(graphs[i].num_edges for i in bucket)
        # One node more where padding edges would otherwise have no padding node to end at.
        nodes = max(graphs[i].num_nodes + (graphs[i].num_edges < edges) for i in bucket)
        for i in bucket:
            found[i] = (nodes, edges)
    return found


def make_buckets(task: Task, elements: Elements) -> list[Bucket]:
    """The training windows of a task as numpy arrays, a bucket for each size; smallest first."""
    padded = sizes(task)
    buckets = []
    for size in sorted(set(padded)):
        members = [i for i, other in enumerate(padded) if other == size]
        inputs = [network_inputs(task.systems[i], elements, size) for i in members]
        used = [
            _spanned(task.trajectories[i].positions, task.splits[i].train, task.window.span)
            for i in members
        ]
        frames = [frame for frame, _ in used]
        begins = np.cumsum([0, *map(len, frames)])
        starts = [begins[k] + start for k, (_, start) in enumerate(used)]
        which = [np.full(len(s), k) for k, s in enumerate(starts)]
        same = all(frame.shape[1] == size[0] for frame in frames)
        if not same:
            frames = [_grown(frame, size[0]) for frame in frames]
        buckets.append(
            Bucket(
                frames[0] if len(frames) == 1 else np.concatenate(frames),
                np.concatenate([features for features, _ in inputs]),
                stack([graph for _, graph in inputs], *size),
                np.concatenate(starts).astype(np.int32),
                np.concatenate(which).astype(np.int32),
            )
        )
    return buckets


def bucket_spec(nodes: int) -> Bucket:
    """How the leaves of a bucket are split over a mesh with so many devices along ``nodes``."""
    whole = PartitionSpec()
    by_node = whole if nodes == 1 else PartitionSpec(None, NODES)
    return Bucket(by_node, by_node, by_node, whole, whole)


class Frames:
    """The same frames of many windows, which are read when they are sliced, and no others.

    Args:
      positions: [frames, N, C, 3].
      starts: first frame of each window [...].
      offsets: of the frames [T].
      history: whether nodes come before time.
    """

    def __init__(
        self, positions: np.ndarray, starts: np.ndarray, offsets: np.ndarray, history: bool
    ):
        self.positions, self.history = positions, history
        self.frames = starts[..., None] + offsets
        nodes, *rest = positions.shape[1:]
        middle = (nodes, len(offsets)) if history else (len(offsets), nodes)
        self.shape = *starts.shape, *middle, *rest

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        *windows, first, second, channels, coordinates = slices
        nodes, times = (first, second) if self.history else (second, first)
        found = self.positions[:, nodes, channels, coordinates][self.frames[(*windows, times)]]
        return np.moveaxis(found, -4, -3) if self.history else found


def cut(bucket: Bucket, windows: np.ndarray, config: WindowConfig, mesh: Mesh) -> Cut:
    """Windows of a bucket on the devices of a mesh: each process reads those of its own devices.

    Args:
      bucket: on the host.
      windows: their numbers [S, steps, chunks, W]; each chunk is split over the axis ``data``.
      config: the shape of a window.
      mesh: of the devices of all processes.
    """
    past, ahead = np.split(config.offsets, [config.past])
    starts = bucket.starts[windows]
    whole = Cut(
        Frames(bucket.positions, starts, past, history=True),
        Frames(bucket.positions, starts, ahead, history=False),
        bucket.which[windows],
    )
    if jax.process_count() == 1:
        whole = Cut(*(leaf[(slice(None),) * len(leaf.shape)] for leaf in whole))
    specs = (PartitionSpec(None, None, None, *spec) for spec in CUT_SPEC)
    return Cut(*(place(leaf, mesh, spec) for leaf, spec in zip(whole, specs, strict=True)))


def split_nodes(bucket: Bucket, parts: int) -> Bucket:
    """The bucket of one system with its graph split by the positions of the first frame.

    Nodes are then in the order of the parts, and ``graph`` is that of an ops.partition.Partition.
    """
    positions = np.asarray(bucket.positions)
    partition = split_graph(bucket.graph, bisect(positions[0].mean(1), parts))
    return bucket._replace(
        positions=partition.spread(positions),
        features=partition.spread(np.asarray(bucket.features)),
        graph=partition.graph,
    )


def _spanned(frames: np.ndarray, starts: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames from the start to the end of any window, and the starts among them."""
    steps = np.bincount(starts, minlength=len(frames) + 1)
    steps[span + 1 :] -= steps[: len(steps) - span - 1].copy()
    within = np.cumsum(steps[:-1]) > 0
    first, last = np.flatnonzero(within)[[0, -1]]
    if within[first : last + 1].all():  # a block of time, which needs no copy, not even on a CPU
        first -= first % (ALIGNMENT // math.gcd(ALIGNMENT, frames[0].nbytes))
        return frames[first : last + 1], starts - first
    found = aligned((np.count_nonzero(within), *frames.shape[1:]), frames.dtype)
    np.take(frames, np.flatnonzero(within), axis=0, out=found, mode="clip")  # others are buffered
    return found, np.cumsum(within)[starts] - 1


def _grown(frames: np.ndarray, nodes: int) -> np.ndarray:
    """Positions with padding nodes at rest in the origin."""
    return np.pad(frames, [(0, 0), (0, nodes - frames.shape[1]), (0, 0), (0, 0)])
