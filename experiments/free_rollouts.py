"""Free rollouts of molecules: errors, broken bonds and the distribution of distances after 100 steps.

    .venv/bin/python experiments/free_rollouts.py --shared ../shared/data

From 100 starts of the test windows, each forecast is fed back. A bond is broken where its length is off
from the truth's mean by more than 0.5 Å at any step. The distances between all pairs of atoms are compared
with those of the truth by the Jensen-Shannon distance of their histograms, a mean over pairs; the noise is
that of the first half of the test frames from the second. Blocked split, T = 10, Δ = 10, 500 training
windows. "Limited motion" keeps forecasts within the steps and bond lengths of the training windows
(models.limited). Errors are in 10⁻³ Å².
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import tyro
from figures import KEPT, Figures

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.windows import gather
from estag_jax.evaluation.rollout import roll, rollout_starts
from estag_jax.evaluation.structure import KINDS, bond_lengths, jensen_shannon
from estag_jax.models.limited import limited
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

OFF = 0.5
"""Å by which the length of a broken bond is off."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Free rollouts."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder with md_xtb."""
    molecules: tuple[str, ...] = ("aspirin", "ethanol")
    models: tuple[str, ...] = ("VAR ridge", "Frame ridge", "Frame kernel")
    """Methods, each as it is and with limited motion."""
    steps: int = 100
    starts: int = 100
    out: Path = KEPT / "free_rollouts.json"
    """The figures, as JSON."""


def figures(
    predicted: np.ndarray, truth: np.ndarray, block: np.ndarray, bonds: np.ndarray
) -> dict[str, float]:
    """Of rollouts [S, B, N, 3] beside the truth, and of the frames of the test block [F, N, 3]."""
    error = ((predicted - truth) ** 2).mean(axis=(1, 2, 3))
    length = bond_lengths(truth, bonds).mean(axis=(0, 1))
    off = np.abs(bond_lengths(predicted, bonds) - length) > OFF
    pairs = np.array(list(itertools.combinations(range(truth.shape[2]), 2)))
    own, true, all_of_it = (
        bond_lengths(x, pairs).reshape(-1, len(pairs)) for x in (predicted, truth, block)
    )
    halves = np.array_split(all_of_it, 2)
    edges = KINDS["bonds"][1](all_of_it)
    return {
        "error at 20": float(1e3 * error[min(20, len(error)) - 1]),
        "error at the end": float(1e3 * error[-1]),
        "bond off": float(off.any(axis=(0, 2)).mean()),
        "distances": float(jensen_shannon(own, true, edges).mean()),
        "noise": float(jensen_shannon(*halves, edges).mean()),
    }


def main(config: Config) -> None:
    """Prints a table as Markdown, a row for each molecule and method, and writes the figures."""
    names = "error at 20", "error at the end", "bond off", "distances", "noise"
    table = Figures.start(config.out, ["molecule, method", *names])
    for molecule in config.molecules:
        trajectory = load(str(config.shared / "md_xtb" / f"{molecule}_xtb.npz"))
        task = Task(trajectory, WindowConfig(), SplitConfig())
        longer = dataclasses.replace(task.window, past=task.window.past + config.steps - 1)
        test = task.splits[0].test
        starts = rollout_starts(test, trajectory, task.window, config.steps, config.starts)
        block = trajectory.positions[test.min() : test.max() + task.window.span, :, 0]
        frames, last = gather(trajectory.positions, starts, longer)
        frames = np.concatenate([frames, np.moveaxis(last, 1, 2)], axis=2)
        history, truth = np.split(frames, [task.window.past], axis=2)
        truth = np.moveaxis(truth[..., 0, :], 2, 0)
        for name in config.models:
            free = fit(name, task).predictor
            for label, predictor in (
                (name, free),
                (f"{name}, limited motion", limited(free, task)),
            ):
                inputs = predictor.inputs(trajectory.system)
                predicted = roll(predictor, history, inputs, config.steps)[..., 0, :]
                predicted = np.where(np.isfinite(predicted), predicted, np.inf)
                found = figures(predicted, truth, block, trajectory.system.bonds)
                table.add(f"{molecule}, {label}", (found[name] for name in names))


if __name__ == "__main__":
    main(tyro.cli(Config))
