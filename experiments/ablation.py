"""What each part of Frame kernel is worth: the method with one part left out, on two molecules.

    .venv/bin/python experiments/ablation.py --shared ../shared/data

Blocked split, T = 10, Δ = 10, 500 training and 2,000 test windows. Errors are in 10⁻³ Å². Parity
cannot be left out: it is the symmetry of the forecast under reflection.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro
from figures import KEPT, Figures

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Part, Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.body_ridge import BodyRidge
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.ridge import VarRidge
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

METHODS = {
    "VAR ridge": VarRidge(),
    "one body frame, linear (Body ridge)": BodyRidge(),
    "Frame ridge without reversal": FrameRidge(reversible=False),
    "Frame ridge": FrameRidge(),
    "Frame kernel": FrameKernel(),
    "one round of scales": FrameKernel(steps=(60, 0)),
    "no back-casts": FrameKernel(backcasts=0),
    "fixed scales": FrameKernel(steps=(0, 0)),
    "fixed scales, no back-casts": FrameKernel(steps=(0, 0), backcasts=0),
    "without reversal": FrameKernel(reversible=False),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Ablation of Frame kernel."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder with md_xtb."""
    molecules: tuple[str, ...] = ("ethanol", "aspirin")
    methods: tuple[str, ...] = ()
    """Some of the rows; all by default."""
    part: Part = "test"
    """Windows that are forecast: test, or validation while settings are chosen."""
    out: Path = KEPT / "ablation.json"
    """The figures, as JSON."""


def main(config: Config) -> None:
    """Prints a table as Markdown, a row for each method, and writes the figures."""
    tasks = [
        Task(load(str(config.shared / "md_xtb" / f"{name}_xtb.npz")), WindowConfig(), SplitConfig())
        for name in config.molecules
    ]
    figures = Figures.start(config.out, ["error [10⁻³ Å²]", *config.molecules])
    for name in config.methods or METHODS:
        fits = [fit(METHODS[name], task) for task in tasks]
        rows = [
            evaluate(fit, task, part=config.part).rows[0]
            for fit, task in zip(fits, tasks, strict=True)
        ]
        figures.add(name, (1e3 * row.mse for row in rows))


if __name__ == "__main__":
    main(tyro.cli(Config))
