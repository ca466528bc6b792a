"""Times one training epoch and its parts; medians of alternated runs, ratios in one run.

    .venv/bin/python benchmarks/train_step.py [--rounds 10] [--models "ESTAG" "STGCN" …] [--seeds 3]

All programs are compiled first and then run in turn, so that a machine whose speed drifts slows all
of them alike; the ratio of each round to the first program in the same round is what to quote. Process
time beside wall time: on a busy machine it is the steadier of the two. For one core,

    taskset -c 0 env XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" …
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validation_error
from estag_jax.models import catalog
from estag_jax.ops.sharding import device_name
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.training.loop import Loop
from estag_jax.training.settings import TrainConfig

WHOLE = 10**6
"""More windows than a batch has: the gradient of a step in one piece."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Times of a step and of the validation, by default on the bundled trajectory."""

    data: str = "demo"
    """As for estag train."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    rounds: int = 10
    """Times that each program is run."""
    models: tuple[str, ...] = ("ESTAG as released", "ESTAG", "ST_EGNN")
    """Networks of the catalog."""
    seeds: int = 1
    """More than one: this many seeds trained together, beside one."""


def programs(name: str, task: Task, seeds: int) -> dict[str, tuple[Callable, int, float]]:
    """What is timed of a network: a function, how many steps one call takes, seconds to compile."""
    method = catalog.settings(name, task)
    found = {}
    for label, chunk, count in (
        ("whole batches", WHOLE, 1),
        ("in chunks", None, 1),
        (f"in chunks, {seeds} seeds", None, seeds),
    ):
        if count == 1 and "seeds" in label:
            continue
        loop = Loop(name, method, task, tuple(range(count)), TrainConfig(chunk=chunk))
        epoch = partial(loop.run_epoch, loop.compile())
        chunks = loop._chunks(loop.buckets[0])
        found[f"{name}: {label} ({chunks})"] = epoch, loop.steps, loop.seconds["compile"]
    # One that is not trained, for a step gives its arrays away.
    alone = Loop(name, method, task, (0,), TrainConfig())
    found[f"{name}: validation, all {task.count('validation')} windows forward"] = (
        lambda: validation_error(
            alone.predictor(alone.best), task, alone.sizes, alone.numbers, seeds=True
        ),
        1,
        np.nan,
    )
    return found


def main(config: Config) -> None:
    """Compiles all programs, runs them in turn, prints the table."""
    task = Task(load(config.data, read=config.read))
    compiled = {
        label: program
        for name in config.models
        for label, program in programs(catalog.find(name), task, config.seeds).items()
    }
    seconds = {name: [] for name in compiled}
    for turn in range(config.rounds + 1):
        for name, (function, steps, _) in compiled.items():
            began = time.perf_counter(), time.process_time()
            jax.block_until_ready(function())
            ended = time.perf_counter(), time.process_time()
            if turn:  # the first call may still compile
                seconds[name].append([(b - a) / steps for a, b in zip(began, ended, strict=True)])
    first = np.array(next(iter(seconds.values())))
    table = Table("program (parts of a step)", title=device_name())
    for column in ("wall [ms]", "process [ms]", "ratio to the first", "compile [s]"):
        table.add_column(column, justify="right")
    for name, values in seconds.items():
        wall, process = 1e3 * np.median(values, axis=0)
        ratio = np.median(np.array(values)[:, 1] / first[:, 1])
        compiling = compiled[name][2]
        shown = "–" if np.isnan(compiling) else f"{compiling:.1f}"
        table.add_row(name, f"{wall:.1f}", f"{process:.1f}", f"{ratio:.2f}", shown)
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
