"""Networks that start from Frame ridge: what they add to it on two molecules.

    .venv/bin/python experiments/start.py --shared ../shared/data

Blocked split, T = 10, Δ = 10, 500 training and 2,000 test windows. Atoms enter the compared
networks as they were published, as one float. Errors are in 10⁻³ Å².
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from figures import KEPT, Figures

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.catalog import settings
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks that start from Frame ridge."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder with md_xtb."""
    molecules: tuple[str, ...] = ("ethanol", "aspirin")
    models: tuple[str, ...] = ("ESTAG", "ST_EGNN", "EGNN + residual head")
    epochs: int = 200
    seeds: int = 3
    out: Path = KEPT / "start.json"
    """The figures, as JSON."""


def main(config: Config) -> None:
    """Prints a table as Markdown, a row for each molecule and network, and writes the figures."""
    heads = "Frame ridge", "started from it", "± of seeds", "epochs"
    figures = Figures.start(config.out, ["molecule, network", *heads])
    for molecule in config.molecules:
        trajectory = load(str(config.shared / "md_xtb" / f"{molecule}_xtb.npz"))
        task = Task(trajectory, WindowConfig(), SplitConfig())
        base = evaluate(fit("Frame ridge", task), task).rows[0].mse
        for model in config.models:
            seeds = range(config.seeds)
            fitted = fit(
                settings(model, task, elements="number"),
                task,
                start="frame-ridge",
                seeds=seeds,
                epochs=config.epochs,
            )
            errors = evaluate(fitted, task).rows[0].metrics["mse"]["seeds"]
            spread = np.std(errors, ddof=1) if len(errors) > 1 else 0.0
            numbers = 1e3 * base, 1e3 * np.mean(errors), 1e3 * spread, config.epochs
            figures.add(f"{molecule}, {model}", numbers)


if __name__ == "__main__":
    main(tyro.cli(Config))
