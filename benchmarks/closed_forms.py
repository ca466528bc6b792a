"""Times the fit and the forecasts of closed forms, and prints their peak memory.

    taskset -c 0 env OMP_NUM_THREADS=1 .venv/bin/python benchmarks/closed_forms.py \
        [--data demo] [--methods frame-ridge frame-kernel …] [--samples 4000] [--split.train 4000]

Every method has a process of its own; its memory is the peak of that process over what it holds once the
data are read. A forecast is timed twice: all test windows in one call, and one window alone (jitted).
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import time

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.data.settings import SplitConfig
from estag_jax.data.task import Task
from estag_jax.models import catalog
from estag_jax.ops.sharding import device_name
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.training.fit import fit

ALONE = 50
"""Forecasts of one window that are timed."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Times and memory of closed forms, by default on the bundled trajectory."""

    data: str = "demo"
    """As for estag train."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    split: SplitConfig = SplitConfig()
    """How windows are drawn."""
    methods: tuple[str, ...] = ("var-ridge", "frame-ridge", "frame-kernel")
    """Closed forms of the catalog."""
    samples: int | None = None
    """At most so many training samples, for methods that take samples."""


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(config: Config, name: str) -> tuple[float, ...]:
    """Test error, seconds of the fit (wall, process), ms a window (in a batch, alone), peak MiB."""
    task = Task(load(config.data, read=config.read), split=config.split)
    method = catalog.settings(name, task)
    if config.samples is not None and hasattr(method, "samples"):
        method = dataclasses.replace(method, samples=config.samples, exact=config.samples)
    jax.block_until_ready(jax.numpy.zeros(3) + 1)
    held, began = peak(), (time.perf_counter(), time.process_time())
    predictor = fit(method, task).predictor
    ended = time.perf_counter(), time.process_time()
    seconds = [b - a for a, b in zip(began, ended, strict=True)]
    memory = peak() - held
    windows = next(task.windows("test"))
    history, system = windows.history, task.system
    predict = jax.jit(lambda history: predictor(history, system))
    error = float(np.mean(np.square(predict(history) - windows.target[:, 0])))
    times = []
    for given, count in ((history, 3), (history[:1], ALONE)):
        jax.block_until_ready(predict(given))
        start = time.perf_counter()
        for _ in range(count):
            jax.block_until_ready(predict(given))
        times.append((time.perf_counter() - start) / count / len(given) * 1e3)
    return error, *seconds, *times, memory


def main(config: Config) -> None:
    """Runs each method in a process of its own and prints the table."""
    table = Table("method", title=f"{config.data}, {device_name()}")
    for column in ("test MSE", "fit [s]", "fit [CPU s]", "ms a window", "ms alone", "peak [MiB]"):
        table.add_column(column, justify="right")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in map(catalog.find, config.methods):
            error, wall, process, batch, alone, memory = pool.apply(measure, (config, name))
            values = f"{error:.4g}", f"{wall:.1f}", f"{process:.1f}", f"{batch:.3f}", f"{alone:.2f}"
            table.add_row(name, *values, f"{memory:,.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
