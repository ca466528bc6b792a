"""What the parts of the closed forms in frames are worth: each method with one part left out.

    .venv/bin/python experiments/ablation.py --shared ../shared/data [--data walk | --data trp_cage]

Molecules: blocked split, T = 10, Δ = 10, 500 training and 2,000 test windows, errors in 10⁻³ Å². Parity
cannot be left out: it is the symmetry of the forecast under reflection. Walk and Trp-cage: the windows of
tables 3 and 2. Closed forms have no seed but that of Body kernel's search: its rows are means over three,
the last number their standard deviation.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import tables
import tyro
from figures import KEPT, Figures

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Part, Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.base import ClosedForm
from estag_jax.models.body_kernel import BodyKernel
from estag_jax.models.body_ridge import BodyRidge
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.in_context import InContextAr
from estag_jax.models.mode_ridge import ModeRidge
from estag_jax.models.ridge import VarRidge
from estag_jax.models.vertical_ridge import VarRidgeVertical
from estag_jax.runs.settings import prepare
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

NO_UP = "without up: "
"""Begins the names of rows that are fitted to a task which does not know the vertical."""

METHODS: dict[str, dict[str, ClosedForm]] = {
    "molecules": {
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
    },
    "walk": {
        "VAR ridge": VarRidge(),
        "VAR ridge, vertical apart": VarRidgeVertical(),
        "Body ridge": BodyRidge(),
        "Body ridge without mirror images": BodyRidge(mirror=()),
        f"{NO_UP}Body ridge": BodyRidge(),
        "Body kernel": BodyKernel(),
        "fixed metrics": BodyKernel(steps=0),
        "without mirror images": BodyKernel(mirror=()),
        f"{NO_UP}Body kernel": BodyKernel(),
    },
    "trp_cage": {
        "VAR ridge": VarRidge(),
        "frames of residues (Frame ridge)": FrameRidge(),
        "one window's own past (In-context AR)": InContextAr(),
        "Mode ridge": ModeRidge(),
        "16 modes": ModeRidge(modes=16),
        "not backwards in time": ModeRidge(reversible=False),
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Ablation of the closed forms in frames."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder."""
    data: Literal["molecules", "walk", "trp_cage"] = "molecules"
    molecules: tuple[str, ...] = ("ethanol", "aspirin")
    methods: tuple[str, ...] = ()
    """Some of the rows; all by default."""
    seeds: int = 3
    """Of Body kernel's search."""
    part: Part = "test"
    """Windows that are forecast: test, or validation while settings are chosen."""
    out: Path = KEPT
    """Folder of the figures: ablation.json, ablation_walk.json and ablation_trp_cage.json."""


def mse(method: ClosedForm, task: Task, part: Part) -> float:
    """Mean squared error of a fit."""
    return evaluate(fit(method, task), task, part=part).rows[0].mse


def molecules(config: Config) -> None:
    """A row for each method, a column for each molecule."""
    tasks = [
        Task(load(str(config.shared / "md_xtb" / f"{name}_xtb.npz")), WindowConfig(), SplitConfig())
        for name in config.molecules
    ]
    columns = ["error [10⁻³ Å²]", *config.molecules]
    figures = Figures.start(config.out / "ablation.json", columns)
    for name in config.methods or METHODS["molecules"]:
        method = METHODS["molecules"][name]
        figures.add(name, (1e3 * mse(method, task, config.part) for task in tasks))


def main(config: Config) -> None:
    """Prints a table as Markdown, a row for each method, and writes the figures."""
    if config.data == "molecules":
        molecules(config)
        return
    number = {"walk": "3", "trp_cage": "2"}[config.data]
    column = tables.columns(tables.Config(number, stand_in=config.shared))[config.data]
    _, task = prepare(column)
    flat = [
        dataclasses.replace(t, system=dataclasses.replace(t.system, vectors={}), vectors={})
        for t in task.trajectories
    ]
    unit = f"error [{task.system.length_unit}²]"
    columns = [config.data, unit, "/ VAR ridge", "± of seeds"]
    figures = Figures.start(config.out / f"ablation_{config.data}.json", columns)
    for name in config.methods or METHODS[config.data]:
        method = METHODS[config.data][name]
        of = Task(flat, task.window, task.splits) if name.startswith(NO_UP) else task
        seeds = range(config.seeds) if isinstance(method, BodyKernel) else (None,)
        errors = [
            mse(method if s is None else dataclasses.replace(method, seed=s), of, config.part)
            for s in seeds
        ]
        base = figures.rows["VAR ridge"][0] if name != "VAR ridge" else errors[0]
        spread = np.std(errors, ddof=1) if len(errors) > 1 else 0.0
        figures.add(name, (np.mean(errors), np.mean(errors) / base, spread))


if __name__ == "__main__":
    main(tyro.cli(Config))
