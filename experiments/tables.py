"""The published tables: molecules (1), protein (2), motion capture (3), every method on each.

    .venv/bin/python experiments/tables.py --table 1 --stand-in ../shared/data
    .venv/bin/python experiments/tables.py --table 1                  # MD17 itself, downloaded

Table 4 has the molecules of table 1 in blocks of time, without shared frames.

With --stand-in, data of the developers' shared folder take the place of what must be downloaded:
GFN2-xTB trajectories for MD17 (never to be reported as MD17), Trp-cage and the biased runs of adenylate
kinase for its equilibrium run, and 17 trials of walking, split alternately, for all 23.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Literal

import tyro

from estag_jax.cli.table import tabulate
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.nn.config import Elements, Head
from estag_jax.runs.settings import RunConfig
from estag_jax.simulate.settings import MOLECULES
from estag_jax.sources.catalog import ReadConfig
from estag_jax.training.settings import TrainConfig

WALK = SplitConfig("by-trajectory", 1100, 600, 600, runs="alternating", each=100, below=300)
"""100 starts below 300 in each trial; trials 0, 2, … train, 1, 5, … validate, 3, 7, … test."""

PROTEIN_STEP = 5e-5
"""The published step size for the protein."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One of the published tables."""

    table: Literal["1", "2", "3", "4"]
    """1: molecules, 2: protein, 3: motion capture, 4: molecules in blocks of time."""
    stand_in: Path | None = None
    """The shared folder, for data in place of those that must be downloaded."""
    data: tuple[str, ...] = ()
    """Some of the columns; all by default."""
    models: tuple[str, ...] = ()
    """Some of the rows; all by default."""
    seeds: int = 3
    """Seeds, trained together."""
    epochs: int = 500
    """Passes over the training windows."""
    head: Head | None = None
    """The last step of every network in place of its own."""
    elements: Elements = "number"
    """How atoms enter the networks that ESTAG was compared to: as they were published."""
    out: Path | None = None
    """Folder; runs/tableN by default."""


def columns(config: Config) -> dict[str, RunConfig]:
    """The data sets of a table with their published windows and splits."""
    train = TrainConfig(epochs=config.epochs)
    folder = config.stand_in

    def published(spec: str, settings: TrainConfig) -> RunConfig:
        return RunConfig(data=(spec,), split="paper", train=settings)

    if config.table in "14":
        specs = {name: f"md17:{name}" for name in MOLECULES}
        if folder is not None:
            paths = {name: folder / "md_xtb" / f"{name}_xtb.npz" for name in MOLECULES}
            specs = {name: str(path) for name, path in paths.items() if path.exists()}
        if config.table == "1":
            return {name: published(spec, train) for name, spec in specs.items()}
        blocked = SplitConfig("blocked")
        return {
            f"{name}, blocked": RunConfig(data=(spec,), split=blocked, train=train)
            for name, spec in specs.items()
        }
    if config.table == "2" and folder is None:
        slow = dataclasses.replace(train, learning_rate=PROTEIN_STEP)
        return {"adk": published("adk", slow)}
    if config.table == "2":
        cage = ",".join(str(folder / "trp_cage" / f"trp_cage.{kind}") for kind in ("pdb", "dcd"))
        residues = ReadConfig(nodes="residues", align=True)
        # With a fifth of the windows and fewer, the published step size gets nowhere in 500 epochs.
        return {
            "trp_cage": RunConfig(
                data=(cage,), read=residues, window=WindowConfig(delta=1), train=train
            ),
            "adk-dims": RunConfig(data=("adk-dims",), train=train),
        }
    if folder is None:
        # Basketball's trials are published nowhere: its split is the source's own.
        basketball = RunConfig(data=("cmu:basketball",), train=train)
        return {"walk": published("cmu:walk", train), "basketball": basketball}
    read = ReadConfig(folder=str(folder / "cmu_mocap"), min_frames=352)
    walk = RunConfig(data=("cmu:walk",), read=read, split=WALK, train=train)
    return {"walk": walk}


def main(config: Config) -> None:
    """Runs the grid, or what is missing of it, and writes table.md, table.csv and table.png."""
    wanted = {k: v for k, v in columns(config).items() if not config.data or k in config.data}
    if not wanted:
        sys.exit(f"no such data; table {config.table} has {', '.join(columns(config))}")
    out = config.out or Path(f"runs/table{config.table}")
    command = shlex.join(["python", "experiments/tables.py", *sys.argv[1:]])
    title = f"Table {config.table}"
    changes = config.head, config.elements
    for path in tabulate(wanted, config.models, config.seeds, out, *changes, title, command)[1]:
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Config))
