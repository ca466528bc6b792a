"""Times one training epoch and its parts; medians of alternated runs, ratios in one run.

    .venv/bin/python benchmarks/train_step.py [--rounds 10] [--models "ESTAG" "STGCN" …] [--seeds 3]

All programs are compiled first and then run in turn, so that a machine whose speed drifts slows all
of them alike; the ratio of each round to the first program in the same round is what to quote.
"""

from __future__ import annotations

import dataclasses
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from estag_jax.models.rows import ROWS
from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import EVALUATION_BATCH
from estag_jax.train.seeds import seed_epoch, seed_states
from estag_jax.train.sharding import device_name
from rich.console import Console
from rich.table import Table

from estag_jax.models.estag import EstagConfig
from estag_jax.training.settings import RunConfig
from estag_jax.training.step import make_errors

MODELS = {name: row.config(1) for name, row in ROWS.items()} | {
    "ESTAG without attention": EstagConfig(attention=False),
    "ESTAG without EDFT": EstagConfig(edft=False),
}
DEFAULT = (
    "ESTAG",
    "ESTAG as released",
    "ESTAG without attention",
    "ESTAG without EDFT",
    "ESTAG without layers",
    "ST_EGNN",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Epoch and evaluation times on the bundled trajectory (500 and 2000 windows)."""

    rounds: int = 10
    """Times that each program is run."""
    models: tuple[str, ...] = DEFAULT
    """Rows of the tables (ESTAG, STGCN, EqMotion, …), or the two ablations of this file."""
    seeds: int = 3
    """How many seeds are trained together in one of the programs."""


def programs(name: str, seeds: int) -> dict[str, tuple]:
    """The compiled programs of a model, each with its arguments: one seed's epoch is "train, 1"."""
    experiment = Experiment.prepare(RunConfig(model=MODELS[name]))
    data, window = experiment.dataset, experiment.config.window
    train, test = experiment.starts("train"), experiment.starts("test")
    arguments = {
        f"train, {count} together": (
            seed_epoch(experiment),
            (*seed_states(experiment, range(count)), jnp.int32(0), train, data),
        )
        for count in dict.fromkeys((1, seeds))
    }
    errors = make_errors(experiment.model, window, EVALUATION_BATCH, experiment.mesh)
    arguments["evaluate"] = errors, (experiment.init_variables(), test, data)
    return {
        f"{name}: {part}": (jax.jit(function).lower(*args).compile(), args)
        for part, (function, args) in arguments.items()
    }


def main(config: Config) -> None:
    """Compiles all programs, runs them in turn, prints the table."""
    unknown = [name for name in config.models if name not in MODELS]
    if unknown:
        sys.exit(f"no model {unknown[0]!r}; known are {', '.join(MODELS)}")
    compiled = {k: v for name in config.models for k, v in programs(name, config.seeds).items()}
    seconds = {name: [] for name in compiled}
    for _ in range(config.rounds):
        for name, (function, args) in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(function(*args))
            seconds[name].append(time.perf_counter() - began)
    first = np.array(next(iter(seconds.values())))
    table = Table("program", "median [ms]", "least [ms]", "ratio to the first", title=device_name())
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / first)
        table.add_row(
            name, f"{1e3 * np.median(values):.1f}", f"{1e3 * min(values):.1f}", f"{ratio:.2f}"
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
