"""Times the parts of training for any methods; medians of alternated runs, ratios in one run.

    .venv/bin/python benchmarks/train_step.py [--rounds 10] [--models ESTAG STGCN …] [--seeds 3]

Programs are compiled first and then run in turn, so that a machine whose speed drifts slows all of them
alike; the ratio of each round to the first program in the same round is what to quote. Processor time
beside wall time tells a busy machine (less than one core) from threads (more than one).
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import batch_width, forecast
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm
from estag_jax.models.estag import EstagConfig
from estag_jax.ops.sharding import device_name
from estag_jax.sources.catalog import load
from estag_jax.training.fit import Loop
from estag_jax.training.settings import TrainConfig

ABLATIONS = {
    "ESTAG without attention": EstagConfig(attention=False),
    "ESTAG without EDFT": EstagConfig(edft=False),
}
DEFAULT = ("ESTAG", "ESTAG as released", *ABLATIONS, "ESTAG without layers", "ST_EGNN")


@dataclasses.dataclass(frozen=True)
class Config:
    """Epoch and forecast times, by default on the bundled trajectory (500 and 2000 windows)."""

    rounds: int = 10
    """Times that each program is run."""
    models: tuple[str, ...] = DEFAULT
    """Networks of the catalog, or the two ablations of this file."""
    seeds: int = 3
    """How many seeds are trained together in one of the programs."""
    data: str = "demo"
    """Where the windows are from."""


class Steps:
    """An epoch of training, compiled; its state is carried on, for a step takes the buffers it is given.

    Args:
      name: of the network.
      task: data, windows and split.
      seeds: how many are trained together.
      train: ``chunk`` says how a batch is cut.
    """

    def __init__(self, name: str, task: Task, seeds: int, train: TrainConfig):
        method = catalog.settings(ABLATIONS.get(name, name), task)
        self.loop = Loop(name, method, task, range(seeds), train)
        self.programs = self.loop.compile()

    def __call__(self) -> jax.Array:
        return self.loop.run_epoch(self.programs)[-1]


def programs(name: str, task: Task, seeds: int) -> tuple[dict[str, Callable], float]:
    """What is timed of a network, and the seconds that compiling its step took."""
    whole = TrainConfig(chunk=TrainConfig().batch)
    epoch = Steps(name, task, 1, TrainConfig())
    predictor = epoch.loop.predictor(jax.tree.map(lambda a: jnp.copy(a[0]), epoch.loop.best))
    width = batch_width(task, epoch.loop.hidden)
    batches = [jnp.asarray(w.history) for w in task.windows("test", width)]
    inputs = jax.tree.map(jnp.asarray, predictor.inputs(task.system))
    predict = jax.jit(lambda p, h, i: forecast(p, h, i, task.window.horizons))
    parts = {
        "epoch": epoch,
        "epoch, each batch whole": Steps(name, task, 1, whole),
        f"epoch, {seeds} seeds together": Steps(name, task, seeds, TrainConfig()),
        "forecasts of the test windows": lambda: [predict(predictor, h, inputs) for h in batches],
    }
    return {f"{name}: {part}": run for part, run in parts.items()}, epoch.loop.seconds["compile"]


def main(config: Config) -> None:
    """Compiles all programs, runs them in turn, prints the table."""
    task, runs, compiled = Task(load(config.data)), {}, {}
    for model in config.models:
        name = model if model in ABLATIONS else catalog.find(model)
        if isinstance(catalog.settings(ABLATIONS.get(name, name)), ClosedForm):
            sys.exit(f"{name} is not trained")
        found, compiled[name] = programs(name, task, config.seeds)
        runs |= found
    wall, processor = ({name: [] for name in runs} for _ in range(2))
    for run in runs.values():
        jax.block_until_ready(run())
    for _ in range(config.rounds):
        for name, run in runs.items():
            began = time.perf_counter(), time.process_time()
            jax.block_until_ready(run())
            wall[name].append(time.perf_counter() - began[0])
            processor[name].append(time.process_time() - began[1])
    first = np.array(next(iter(wall.values())))
    columns = "median [ms]", "least [ms]", "processor [ms]", "ratio to the first"
    table = Table("program", *columns, title=device_name())
    for name, values in wall.items():
        figures = np.median(values), min(values), np.median(processor[name])
        ratio = np.median(np.array(values) / first)
        table.add_row(name, *(f"{1e3 * figure:.1f}" for figure in figures), f"{ratio:.2f}")
    console = Console(width=120)
    console.print(table)
    console.print("compiled in", ", ".join(f"{s:.1f} s ({name})" for name, s in compiled.items()))


if __name__ == "__main__":
    main(tyro.cli(Config))
