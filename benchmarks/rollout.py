"""Rollouts of one window beside Python loops over forecasts: process time a frame, medians of the ratios.

    taskset -c 1 env XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \
      python benchmarks/rollout.py [--shapes walk]
"""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from shapes import SHAPES, random_task

from estag_jax.data.task import Task
from estag_jax.models import catalog
from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.models.forecaster import Forecaster

FRAMES = 50


@dataclasses.dataclass(frozen=True)
class Config:
    """Rollouts and loops."""

    shapes: tuple[str, ...] = tuple(SHAPES)
    """Of shapes.SHAPES."""
    rounds: int = 9
    """Turns of each."""


def fresh(task: Task) -> Forecaster:
    """ESTAG as released, before training."""
    method = catalog.settings("ESTAG as released", task)
    module, inputs = method.build(), network_inputs(task.system, method.elements)
    history = next(task.windows("test")).history
    variables = jax.jit(module.init)(jax.random.key(0), history, *jax.tree.map(jnp.asarray, inputs))
    predictor = NetworkPredictor(variables, module, method.elements)
    return Forecaster.bind(predictor, method, task.trajectories[0], task.window)


def seconds(task: Task, rounds: int) -> np.ndarray:
    """Of a frame [rounds, 3]: rollout, loop over Forecaster.predict, loop over that under jax.jit."""
    forecaster, first = fresh(task), next(task.windows("test")).history[0]
    compiled = jax.jit(lambda f, history: f.predict(history))

    def loop(predict):
        history = first
        for _ in range(FRAMES):
            frame = np.asarray(predict(history))
            history = np.concatenate([history[:, 1:], frame[:, None]], axis=1)

    ways = (
        lambda: jax.block_until_ready(forecaster.rollout(first, FRAMES)),
        lambda: loop(forecaster.predict),
        lambda: loop(lambda history: compiled(forecaster, history)),
    )
    found = np.empty((rounds + 1, len(ways)))
    for i in range(rounds + 1):
        for j, way in enumerate(ways):
            began = time.process_time()
            way()
            found[i, j] = (time.process_time() - began) / FRAMES
    return found[1:]


def main(config: Config) -> None:
    """Prints a table."""
    print(
        "| shape | rollout [ms a frame] | loop over predict / rollout | compiled loop / rollout |"
    )
    print("| --- | ---: | ---: | ---: |")
    for shape in config.shapes:
        found = seconds(random_task(SHAPES[shape]), config.rounds)
        ratios = np.median(found / found[:, :1], axis=0)
        print(
            f"| {shape} | {1e3 * np.median(found[:, 0]):.2f} | {ratios[1]:.1f} | {ratios[2]:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Config))
