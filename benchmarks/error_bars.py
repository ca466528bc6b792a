"""How far error bars hold from one block of time to another, and what the joint covariance is worth.

    .venv/bin/python benchmarks/error_bars.py ../shared/data/md_xtb/ethanol_xtb.npz

The test windows are left alone: the first four fifths of a trajectory are cut into four blocks, and each
ordered pair of them is a validation and a test block, with 500 training windows from the other two.
"""

from __future__ import annotations

import itertools

import numpy as np
import tyro

from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

BLOCKS, TRAIN, TEST, JOINT = 4, 500, 1000, 300


def tasks(data: str):
    """A task for each choice of validation and test block of the (only) run."""
    trajectory = load(data)
    window = Task(trajectory).window
    generator, length = np.random.default_rng(0), int(0.8 * trajectory.num_frames) // BLOCKS
    blocks = [np.arange(length - window.span) + i * length for i in range(BLOCKS)]
    for validation, test in itertools.permutations(range(BLOCKS), 2):
        others = [blocks[i] for i in range(BLOCKS) if i not in (validation, test)]
        pools = np.concatenate(others), blocks[validation], blocks[test]
        drawn = [
            generator.permutation(pool)[:count]
            for pool, count in zip(pools, (TRAIN, TEST, TEST), strict=True)
        ]
        yield Task(trajectory, window, [Split(*drawn, kind="given")])


def gain(fitted, task: Task) -> float:
    """What the joint covariance adds to the log density of the truth, in nats a coordinate."""
    windows = next(task.windows("test", JOINT))
    history = np.asarray(windows.history, np.float64)
    forecast = np.asarray(fitted.predictor(history, task.system))
    bars, density = fitted.error_bars[0][0], []
    for joint in (True, False):
        covariance = bars.distribution(history, forecast, joint).covariance
        size = forecast[0].size if joint else 3
        error = (windows.target[:, 0] - forecast).reshape(-1, size)
        root = np.linalg.cholesky(covariance.reshape(-1, size, size))
        whitened = np.linalg.solve(root, error[..., None])[..., 0]
        logs = np.log(np.diagonal(root, axis1=-2, axis2=-1))
        density.append(-np.mean(whitened**2) / 2 - np.mean(logs))
    return density[0] - density[1]


def main(data: tyro.conf.Positional[str], models: tuple[str, ...] = ("VAR ridge", "Frame ridge")):
    """Prints a line for each model.

    Args:
      data: A trajectory of one run.
      models: Names of methods.
    """
    covers: dict[str, list[float]] = {name: [] for name in models}
    gains: dict[str, list[float]] = {name: [] for name in models}
    for task in tasks(data):
        for name in models:
            fitted = fit(name, task)
            covers[name].append(evaluate(fitted, task).rows[0].metrics["covers_90"]["mean"])
            gains[name].append(gain(fitted, task))
    for name in models:
        print(
            f"{name}: 90 % covers {min(covers[name]):.3f} to {max(covers[name]):.3f}, "
            f"{np.mean(covers[name]):.3f} on average; joint {np.mean(gains[name]):+.3f} nats"
        )


if __name__ == "__main__":
    tyro.cli(main)
