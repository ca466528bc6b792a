"""Process time of a training step divided by that of an old commit, on one core.

    .venv/bin/python benchmarks/old_step.py [--rounds 15] [--models ESTAG ST_TFN …]

The old package is unpacked from git into a temporary folder. Each version runs in a process of its
own; the two take turns, an epoch each, so that a machine whose speed drifts slows both alike. The
median over rounds of the ratio of the two is what to quote.
"""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Config:
    """Times of a training step on the bundled trajectory, new and old."""

    commit: str = "701261a"
    """The old commit; epoch_before knows its functions."""
    rounds: int = 15
    """Times that each epoch is run."""
    models: tuple[str, ...] = (
        "ESTAG",
        "ESTAG as released",
        "ST_EGNN",
        "EGNN-t",
        "ST_GNN",
        "ST_TFN",
        "ST_SE(3)-Tr",
        "EqMotion",
        "AGL-STAN",
    )
    """Networks without batch statistics."""


def epoch_now(name: str) -> tuple[Callable[[], object], int]:
    """A function that trains one epoch, and how many steps that takes."""
    from estag_jax.data.task import Task
    from estag_jax.models import catalog
    from estag_jax.sources.catalog import load
    from estag_jax.training.loop import Loop
    from estag_jax.training.settings import TrainConfig

    task = Task(load("demo"))
    loop = Loop(name, catalog.settings(name, task), task, (1,), TrainConfig())
    programs = loop.compile()
    return lambda: loop.run_epoch(programs), loop.steps


def epoch_before(name: str) -> tuple[Callable[[], object], int]:
    """The same with the package as it was."""
    from estag_jax.table.rows import ROWS
    from estag_jax.train.experiment import Experiment
    from estag_jax.train.seeds import seed_epoch, seed_states
    from estag_jax.train.settings import RunConfig

    experiment = Experiment.prepare(RunConfig(model=ROWS[name].config(1)))
    (state, keys), windows = seed_states(experiment, (1,)), experiment.starts("train")
    fixed = keys, jax.numpy.int32(0), windows, experiment.dataset
    function = jax.jit(seed_epoch(experiment), donate_argnums=0).lower(state, *fixed).compile()

    def epoch():
        nonlocal state
        state, loss = function(state, *fixed)
        return loss

    return epoch, -(-len(windows) // experiment.config.train.batch)


def work(version: str, name: str) -> None:
    """Trains an epoch for every line read and writes the seconds a step took."""
    epoch, steps = {"now": epoch_now, "before": epoch_before}[version](name)
    for _ in sys.stdin:
        began = time.process_time()
        jax.block_until_ready(epoch())
        print((time.process_time() - began) / steps, flush=True)


def compare(name: str, folders: dict[str, Path], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of a step in each round, of each version."""
    workers = {
        version: subprocess.Popen(
            [sys.executable, __file__, version, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(folder), "XLA_FLAGS": ONE_THREAD},
        )
        for version, folder in folders.items()
    }
    seconds = {version: [] for version in workers}
    for turn in range(rounds + 2):
        for version, worker in workers.items():
            worker.stdin.write("go\n")
            worker.stdin.flush()
            taken = float(worker.stdout.readline())
            if turn >= 2:  # the first calls still compile and fill caches
                seconds[version].append(taken)
    for worker in workers.values():
        worker.communicate()
    return {version: np.array(values) for version, values in seconds.items()}


def main(config: Config) -> None:
    """Compares each network in turn and prints the table."""
    table = Table("network", title="a step of 100 windows, process time")
    for column in (f"{config.commit} [ms]", "now [ms]", "now / before"):
        table.add_column(column, justify="right")
    archive = subprocess.run(
        ["git", "archive", config.commit, "estag_jax"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        tarfile.open(fileobj=io.BytesIO(archive)).extractall(folder, filter="data")
        for name in config.models:
            seconds = compare(name, {"before": Path(folder), "now": ROOT}, config.rounds)
            before, now = (1e3 * np.median(seconds[version]) for version in ("before", "now"))
            ratio = np.median(seconds["now"] / seconds["before"])
            table.add_row(name, f"{before:.1f}", f"{now:.1f}", f"{ratio:.2f}")
            print(name, f"{ratio:.2f}", file=sys.stderr)
    Console(width=100).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] in (["now"], ["before"]):
        work(*sys.argv[1:])
    else:
        main(tyro.cli(Config))
