"""The shapes that are timed, with random data, so that they need no files."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform

from estag_jax.data.settings import WindowConfig
from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.graph import Graph

STEPS = 3
"""Batches of an epoch, for training and for validation alike."""


class Shape(NamedTuple):
    """Windows of a batch, nodes, directed edges, channels."""

    windows: int
    nodes: int
    edges: int
    channels: int


SHAPES = {
    "walk": Shape(100, 31, 130, 1),
    "aspirin": Shape(100, 13, 60, 1),
    "protein": Shape(4, 213, 1700, 4),
}
"""Batches of the walking body, of the heavy atoms of aspirin, and of adenylate kinase."""


def random_task(shape: Shape) -> Task:
    """Points that oscillate about random places, the nearest pairs joined; T = 10, Δ = 5."""
    rng, window = np.random.default_rng(0), WindowConfig(past=10, delta=5)
    count = STEPS * shape.windows
    frames = np.arange(2 * count + window.span)[:, None, None, None]
    size = shape.nodes, shape.channels, 3
    centre = rng.uniform(0, shape.nodes ** (1 / 3), (shape.nodes, 1, 3))
    rest = centre + 0.3 * rng.normal(size=size)
    speed, phase = rng.uniform(0.01, 0.1, size), rng.uniform(0, 2 * np.pi, size)
    positions = (rest + 0.2 * np.sin(speed * frames + phase)).astype(np.float32)
    distance = squareform(pdist(centre[:, 0])) + np.triu(np.full((shape.nodes,) * 2, np.inf))
    nearest = np.argsort(distance, axis=None)[: shape.edges // 2]
    low, high = np.unravel_index(nearest, distance.shape)
    ends = np.concatenate([low, high]), np.concatenate([high, low])
    features = rng.normal(size=(2 * len(low), 1)).astype(np.float32)
    graph = Graph(*ends, shape.nodes, features)
    trajectory = Trajectory.from_arrays(
        positions, node_features=rng.normal(size=(shape.nodes, 2)), graph=graph
    )
    starts = np.arange(count)
    split = Split(starts, starts + count, starts[:1] + count, kind="given")
    return Task(trajectory, window, [split])
