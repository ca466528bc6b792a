"""Steps as ``estag plan`` times them, with made-up numbers, beside those of training on the same shapes.

    taskset -c 1 env XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \
      python benchmarks/planned.py [--shapes walk] [--methods ESTAG EGNN-t]

Both take turns in one process; process time, medians.
"""

from __future__ import annotations

import dataclasses
import time

import jax
import numpy as np
import tyro
from shapes import SHAPES, STEPS, random_task

from estag_jax.models import catalog
from estag_jax.training.cost import measure_rates
from estag_jax.training.loop import Loop
from estag_jax.training.plan import Shapes, plan
from estag_jax.training.settings import TrainConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """Planned and real steps."""

    shapes: tuple[str, ...] = tuple(SHAPES)
    """Of shapes.SHAPES."""
    methods: tuple[str, ...] = ("ESTAG", "ST_EGNN", "EGNN-t", "ST_GNN")
    """Networks of the catalog."""
    rounds: int = 5
    """Turns of each."""


def compare(name: str, shape: str, rounds: int) -> tuple[float, float, float]:
    """Seconds of a step: what counts at the rates of this machine alone, as planned, and in training."""
    task = random_task(SHAPES[shape])
    method, train = catalog.settings(name, task), TrainConfig(batch=SHAPES[shape].windows)
    loop = Loop(name, method, task, (1,), train)
    programs = loop.compile()
    found = plan(method, Shapes.of(task, method), task.window, train)
    times = []
    for _ in range(rounds + 1):
        planned = found.seconds(1, time.process_time)
        began = time.process_time()
        jax.block_until_ready(loop.run_epoch(programs))
        times.append((planned, (time.process_time() - began) / STEPS))
    planned, real = np.median(times[1:], axis=0)
    return found.bound(measure_rates(clock=time.process_time)), planned, real


def main(config: Config) -> None:
    """Prints a table."""
    print("| method | shape | at the rates [ms] | planned [ms] | real [ms] | planned / real |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in config.methods:
        for shape in config.shapes:
            bound, planned, real = compare(name, shape, config.rounds)
            figures = " | ".join(f"{1e3 * value:.1f}" for value in (bound, planned, real))
            print(f"| {name} | {shape} | {figures} | {planned / real:.2f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
