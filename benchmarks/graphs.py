"""Times graphs of many nodes and the bookkeeping of many windows, and what memory they take.

    .venv/bin/python benchmarks/graphs.py

Points at the density of atoms in water, drawn at random; each figure is the median of three runs.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from estag_jax.data.graphs import GraphConfig, with_graph
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.splits import split
from estag_jax.data.trajectory import Trajectory

NODES, DENSITY = 100_000, 0.1  # atoms per Å³
WINDOWS = 1_000_000


def measure(name: str, action: Callable[[], object]) -> None:
    """Prints the median time of an action and its peak memory."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = action()
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:<44} {statistics.median(seconds):7.2f} s  {peak / 1e6:7.0f} MB at most  {found}")


def system(frames: int, nodes: int) -> Trajectory:
    """Resting atoms of carbon at random places in a cube."""
    edge = (nodes / DENSITY) ** (1 / 3)
    frame = np.random.default_rng(0).uniform(0, edge, size=(1, nodes, 1, 3)).astype(np.float32)
    positions = np.broadcast_to(frame, (frames, nodes, 1, 3))
    return Trajectory.from_arrays(positions, atomic_numbers=np.full(nodes, 6), source="benchmark")


def main() -> None:
    """Prints one line a case."""
    many = system(1, NODES)
    for config in (
        GraphConfig("radius", cutoff=3.0),
        GraphConfig("nearest", neighbours=16),
        GraphConfig("covalent", hops=2),
    ):
        measure(
            f"{NODES:,} nodes, {config.kind}",
            lambda c=config: f"{with_graph(many, c).system.graph.num_edges:,} edges",
        )
    few, window = system(WINDOWS + 100, 1), WindowConfig()
    counts = SplitConfig(train=WINDOWS)
    measure(
        f"{WINDOWS:,} windows, blocked split",
        lambda: f"{len(split(few, window, counts).train):,} training windows",
    )


if __name__ == "__main__":
    main()
