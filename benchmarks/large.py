"""Trains, evaluates and rolls out a large system, and prints time and peak memory of each phase.

    .venv/bin/python benchmarks/large.py [--nodes 20000]

Particles on springs about random resting places at the density of a liquid, about 16 neighbours within
the cut-off, T = 5. Closed forms that cannot be afforded are named.
"""

from __future__ import annotations

import dataclasses
import resource
import time

import numpy as np
import tyro

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.rebuilt import roll_rebuilt
from estag_jax.evaluation.rollout import roll
from estag_jax.models.catalog import find
from estag_jax.ops.sharding import device_name
from estag_jax.runs.readers import closed_forms
from estag_jax.training.fit import fit


@dataclasses.dataclass(frozen=True)
class Config:
    """A large system."""

    nodes: int = 20_000
    """N."""
    frames: int = 60
    """Of the trajectory."""
    windows: int = 6
    """For training."""
    model: str = "ESTAG"
    """A network of the catalog."""
    steps: int = 5
    """Of the rollout."""


class Clock:
    """Prints the time since the last phase and the largest memory so far."""

    def __init__(self):
        self.last = time.perf_counter()

    def tell(self, phase: str) -> None:
        """One line."""
        now = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{phase:<44} {now - self.last:7.1f} s   peak so far {peak:6.2f} GiB", flush=True)
        self.last = time.perf_counter()


def oscillators(nodes: int, frames: int) -> np.ndarray:
    """Positions [frames, N, 3] of independent oscillators of random frequencies, exact."""
    rng = np.random.default_rng(0)
    rest = rng.uniform(0, nodes ** (1 / 3), (nodes, 3))
    amplitude, phase = 0.1 * rng.normal(size=(nodes, 3)), rng.uniform(0, 2 * np.pi, (nodes, 3))
    omega = rng.uniform(0.1, 0.5, (nodes, 1))
    t = np.arange(frames)[:, None, None]
    return (rest + amplitude * np.sin(omega * t + phase)).astype(np.float32)


def main(config: Config) -> None:
    """Prints one line a phase."""
    clock, few = Clock(), SplitConfig(train=config.windows, validation=2, test=2)
    trajectory = Trajectory.from_arrays(oscillators(config.nodes, config.frames), source="springs")
    cutoff = (16 / (4 / 3 * np.pi)) ** (1 / 3)  # 16 neighbours at density 1
    task = Task(
        trajectory, WindowConfig(past=5, delta=1), few, GraphConfig("radius", cutoff=cutoff)
    )
    graph = task.system.graph
    clock.tell(f"{graph.num_nodes:,} nodes, {graph.num_edges:,} edges")
    names, skipped = closed_forms(task)
    for row in skipped:
        print(f"without {row.name}: it {row.reason}")
    fits = [fit(name, task) for name in names]
    clock.tell(f"{len(fits)} closed forms fitted")
    fitted = fit(find(config.model), task, epochs=2, batch=2, evaluate_every=1)
    clock.tell(f"{config.model}: 2 epochs of {config.windows} windows")
    for row in evaluate([*fits, fitted], task).rows:
        print(f"  {row.name}: {row.mse:.3e}")
    clock.tell("evaluation")
    forecaster = fitted.forecaster
    history = np.asarray(forecaster.history(trajectory.positions))[None]
    given = history, forecaster.inputs, config.steps
    for how in ("compiled and run", "run again"):
        roll(forecaster.predictor, *given)
        clock.tell(f"rollout of {config.steps} frames, {how}")
    for how in ("compiled and run", "run again"):
        _, builds = roll_rebuilt(forecaster.predictor, *given, cutoff)
        clock.tell(f"edges rebuilt {builds - 1} times, {how}")
    print(device_name())


if __name__ == "__main__":
    main(tyro.cli(Config))
