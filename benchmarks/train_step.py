"""Times one training epoch and its parts; medians of alternated runs, ratios in one run.

    .venv/bin/python benchmarks/train_step.py [--rounds 10]

All programs are compiled first and then run in turn, so that a machine whose speed drifts slows all
of them alike; the ratio of each round to the first program in the same round is what to quote.
"""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.nn.egnn import StEgnnConfig
from estag_jax.nn.estag import EstagConfig
from estag_jax.train.experiment import Experiment
from estag_jax.train.settings import RunConfig, make_optimizer
from estag_jax.train.step import init_state, make_epoch, make_errors

MODELS = {
    "estag": EstagConfig(),
    "estag, reference": EstagConfig.reference(),
    "estag without attention": EstagConfig(attention=False),
    "estag without EDFT": EstagConfig(edft=False),
    "estag without layers": EstagConfig(layers=0),
    "st_egnn": StEgnnConfig(),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Epoch and evaluation times on the bundled trajectory (500 and 2000 windows)."""

    rounds: int = 10
    """Times that each program is run."""


def programs(name: str) -> dict[str, tuple]:
    """The compiled programs of a model, each with its arguments."""
    experiment = Experiment.prepare(RunConfig(model=MODELS[name]))
    window, optimizer = experiment.config.window, make_optimizer(experiment.config.train)
    variables, data = experiment.init_variables(), experiment.dataset
    epoch = make_epoch(experiment.model, optimizer, window, 100, experiment.mesh)
    errors = make_errors(experiment.model, window, 500, experiment.mesh)
    state = init_state(variables, optimizer)
    arguments = {
        "train": (
            epoch,
            (state, jax.random.key(0), jnp.int32(0), experiment.starts("train"), data),
        ),
        "evaluate": (errors, (variables, experiment.starts("test"), data)),
    }
    return {
        f"{name}: {part}": (jax.jit(function).lower(*args).compile(), args)
        for part, (function, args) in arguments.items()
    }


def main(config: Config) -> None:
    """Compiles all programs, runs them in turn, prints the table."""
    compiled = {k: v for name in MODELS for k, v in programs(name).items()}
    seconds = {name: [] for name in compiled}
    for _ in range(config.rounds):
        for name, (function, args) in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(function(*args))
            seconds[name].append(time.perf_counter() - began)
    first = np.array(next(iter(seconds.values())))
    device = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    table = Table("program", "median [ms]", "least [ms]", "ratio to the first", title=device)
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / first)
        table.add_row(
            name, f"{1e3 * np.median(values):.1f}", f"{1e3 * min(values):.1f}", f"{ratio:.2f}"
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
