"""Forecasts of larger steps: Δ = 20, 50 and 100 frames, errors as they are and after alignment.

    .venv/bin/python experiments/larger_steps.py --shared ../shared/data
    .venv/bin/python experiments/larger_steps.py --shared ../shared/data --estag-epochs 300

The aligned error (metrics.per_window_aligned_mse) leaves out the motion of the molecule as a whole. Blocked
split, T = 10, 500 training and 2,000 test windows. Errors are in 10⁻³ Å².
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro
from figures import KEPT, Figures

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Part, Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

METRICS = ("mse", "aligned_mse")


@dataclasses.dataclass(frozen=True)
class Config:
    """Larger steps."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder with md_xtb."""
    molecules: tuple[str, ...] = ("aspirin", "ethanol")
    deltas: tuple[int, ...] = (20, 50, 100)
    """Frames of 0.5 fs from one frame of a window to the next."""
    methods: tuple[str, ...] = ("Frame ridge", "Frame kernel")
    """Closed forms beside VAR ridge."""
    estag_epochs: int = 0
    """Epochs of ESTAG as released; 0 leaves it out."""
    part: Part = "test"
    """Windows that are forecast."""
    out: Path = KEPT / "larger_steps.json"
    """The figures, as JSON."""


def main(config: Config) -> None:
    """Prints a table as Markdown, a row for each molecule, step and method, and writes the figures."""
    heads = "raw", "aligned", "raw / VAR ridge", "aligned / VAR ridge"
    figures = Figures.start(config.out, ["molecule, Δ, method", *heads])
    for molecule in config.molecules:
        trajectory = load(str(config.shared / "md_xtb" / f"{molecule}_xtb.npz"))
        for delta in config.deltas:
            task = Task(trajectory, WindowConfig(delta=delta), SplitConfig())
            fits = [fit(name, task) for name in ("VAR ridge", *config.methods)]
            if config.estag_epochs:
                fits.append(fit("ESTAG as released", task, epochs=config.estag_epochs))
            result = evaluate(fits, task, METRICS, part=config.part)
            base = [result.rows[0].metrics[name]["mean"] for name in METRICS]
            for row in result.rows:
                own = [row.metrics[name]["mean"] for name in METRICS]
                ratios = (one / other for one, other in zip(own, base, strict=True))
                figures.add(
                    f"{molecule}, {delta}, {row.name}", (*(1e3 * one for one in own), *ratios)
                )


if __name__ == "__main__":
    main(tyro.cli(Config))
