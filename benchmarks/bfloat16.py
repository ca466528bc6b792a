"""Features in bfloat16 beside float32: accuracy, equivariance, memory and time of ESTAG.

    .venv/bin/python benchmarks/bfloat16.py [--data demo] [--epochs 60]

Errors are of the validation windows. "Float32 network, features lowered" is trained in float32 and evaluated
with features in bfloat16. The equivariance error is |f(g x) - g f(x)| over random rotations, relative to the
largest predicted displacement, for the network after training.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.data.settings import SplitConfig
from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validation_error
from estag_jax.models.base import NetworkPredictor
from estag_jax.models.estag import EstagConfig
from estag_jax.ops.sharding import device_name
from estag_jax.sources.catalog import load
from estag_jax.testing import random_symmetry
from estag_jax.training.fit import fit
from estag_jax.training.loop import Loop
from estag_jax.training.settings import TrainConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """What is trained."""

    data: str = "demo"
    """As for estag train."""
    epochs: int = 60
    """Of either network."""
    rotations: int = 20
    """For the equivariance error."""
    windows: int = 500
    """For training."""


def equivariance(predictor: NetworkPredictor, task: Task, rotations: int) -> tuple[float, float]:
    """Largest and root mean square error under rotation, relative to the largest displacement."""
    history = np.concatenate([w.history for w in task.windows("validation", 50)][:1])
    inputs = predictor.inputs(task.systems[0])
    predict = jax.jit(predictor.predict)
    history = history - history[:, :, -1:].mean(axis=(1, 2, 3), keepdims=True)
    out = np.asarray(predict(history, inputs), np.float64)
    size = np.abs(out - history[:, :, -1]).max()
    errors = []
    for key in range(rotations):
        symmetry = random_symmetry(key, history.shape[1], "rotation")
        turned = np.asarray(predict(symmetry.on_positions(history), inputs), np.float64)
        errors.append((turned - out @ symmetry.matrix.T) / size)
    return float(np.abs(errors).max()), float(np.sqrt(np.mean(np.square(errors))))


def step(method: EstagConfig, task: Task) -> tuple[float, float]:
    """Median seconds of process time and bytes of temporaries of an epoch, per step."""
    loop = Loop("ESTAG", method, task, (0,), TrainConfig())
    programs, seconds = loop.compile(), []
    for _ in range(4):
        began = time.process_time()
        jax.block_until_ready(loop.run_epoch(programs))
        seconds.append((time.process_time() - began) / loop.steps)
    return statistics.median(seconds[1:]), programs[0][1].memory_analysis().temp_size_in_bytes


def main(config: Config) -> None:
    """Trains both and prints the table."""
    task = Task(load(config.data), split=SplitConfig(train=config.windows))
    full = EstagConfig()
    half = dataclasses.replace(full, bfloat16_features=True)
    train = TrainConfig(epochs=config.epochs)
    trained = {
        method: fit(method, task, train=train).forecaster.predictor for method in (full, half)
    }
    lowered = dataclasses.replace(trained[full], module=half.build())
    figures = {method: step(method, task) for method in (full, half)}
    table = Table("features", title=f"{config.data}, {config.epochs} epochs, {device_name()}")
    for column in ("MSE", "equivariance: largest", "rms", "step [ms]", "temporaries [MB]"):
        table.add_column(column, justify="right")
    for name, predictor, method in (
        ("float32", trained[full], full),
        ("bfloat16", trained[half], half),
        ("float32 network, features lowered", lowered, half),
    ):
        mse = validation_error(predictor, task)
        largest, rms = equivariance(predictor, task, config.rotations)
        seconds, memory = figures[method]
        table.add_row(
            name,
            f"{mse:.3e}",
            f"{largest:.1e}",
            f"{rms:.1e}",
            f"{1e3 * seconds:.0f}",
            f"{memory / 1e6:.1f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
