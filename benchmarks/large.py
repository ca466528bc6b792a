"""One large system from data to rollout: seconds and memory of every phase.

    .venv/bin/python benchmarks/large.py [--nodes 20000] [--model ESTAG]

Particles at random places swing about them, each with a frequency of its own; those within a cutoff that
leaves 16 neighbours on average are joined. A network that needs memory for every pair of nodes would
show here: 20,000² numbers are 1.6 GB.
"""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tyro

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models import catalog
from estag_jax.ops.sharding import device_name
from estag_jax.training.fit import fit
from estag_jax.training.settings import TrainConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the system and of the work."""

    nodes: int = 20_000
    """N."""
    neighbours: float = 16.0
    """Edges of a node on average."""
    past: int = 5
    """T."""
    windows: int = 4
    """To train on; half as many to validate and to test."""
    batch: int = 1
    """Windows per step."""
    epochs: int = 2
    """Passes over the training windows."""
    steps: int = 5
    """Frames of the rollout."""
    model: str = "ESTAG"
    """A network of the catalog."""


def swinging(nodes: int, frames: int = 60) -> Trajectory:
    """Particles at one per unit volume that swing by a tenth of their distance, 20 to 60 frames a period."""
    random = np.random.default_rng(0)
    rest = random.uniform(0, nodes ** (1 / 3), (nodes, 3))
    amplitude = random.normal(scale=0.1, size=(nodes, 3))
    speed, phase = 2 * np.pi / random.uniform(20, 60, nodes), random.uniform(0, 2 * np.pi, nodes)
    swing = np.sin(np.outer(np.arange(frames), speed) + phase)
    positions = (rest + swing[..., None] * amplitude).astype(np.float32)
    return Trajectory.from_arrays(positions, length_unit="unit", source="swinging particles")


def phase(name: str, action: Callable[[], Any]) -> Any:
    """Runs an action; prints its seconds and the most memory that the process has had so far."""
    began = time.perf_counter()
    found = jax.block_until_ready(action())
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<40} {seconds:8.2f} s   peak so far {peak:6.2f} GiB", flush=True)
    return found


def main(config: Config) -> None:
    """One line a phase; closed forms that refuse the task say why."""
    # A ball of this radius holds so many particles at one per unit volume.
    cutoff = (3 * config.neighbours / (4 * np.pi)) ** (1 / 3)
    split = SplitConfig(
        train=config.windows, validation=config.windows // 2, test=config.windows // 2
    )
    task = phase(
        "data, graph, windows",
        lambda: Task(
            swinging(config.nodes),
            WindowConfig(past=config.past, delta=1),
            split,
            GraphConfig("radius", cutoff=float(cutoff)),
        ),
    )
    facts = task.describe()
    print(f"{facts['nodes']:,} nodes, {facts['edges']:,} edges, {device_name()}")
    fits = []
    for name in catalog.CLOSED_FORMS:
        if why := catalog.settings(name, task).refuse(task):
            print(f"{name:<40} skipped: {why}")
        else:
            fits.append(phase(f"fit {name}", lambda name=name: fit(name, task)))
    train = TrainConfig(epochs=config.epochs, batch=config.batch, evaluate_every=config.epochs)
    network = phase(
        f"train {config.model}, {config.epochs} epochs",
        lambda: fit(config.model, task, train=train),
    )
    print(", ".join(f"{part} {seconds:.2f} s" for part, seconds in network.seconds.items()))
    result = phase("evaluate all", lambda: evaluate([*fits, network], task))
    history = next(task.windows("test", 1)).history[0]
    phase(
        f"rollout, {config.steps} frames", lambda: network.forecaster.rollout(history, config.steps)
    )
    for row in result.rows:
        print(f"{row.name:<40} test MSE {row.mse:.3g} unit²")


if __name__ == "__main__":
    main(tyro.cli(Config))
