"""What each part of ESTAG contributes: its variants on two molecules, walking and a protein.

    .venv/bin/python experiments/estag_ablation.py --shared ../shared/data --data ethanol --epochs 120
    .venv/bin/python experiments/results.py --collect runs/estag_ablation

The rows are those of models.variants, T of the windows and hydrogens besides. T = 10, 500 training and
at most 500 validation windows, three seeds. Molecules and protein in blocks of time, walking by trial.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import tables
import tyro

from estag_jax.cli.ablation import ablate
from estag_jax.data.settings import SplitConfig, WindowConfig

WINDOWS = {"ethanol": WindowConfig(), "aspirin": WindowConfig(), "walk": WindowConfig(delta=5)}

SPLITS = {
    "ethanol": SplitConfig(validation=500),
    "aspirin": SplitConfig(validation=500),
    "walk": dataclasses.replace(tables.WALK, train=500, validation=300),
    "trp_cage": SplitConfig(validation=300, test=500),
}
"""Validation windows are few: they choose an epoch and nothing else."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Ablation of ESTAG."""

    data: str
    """ethanol, aspirin, walk or trp_cage."""
    shared: Path = Path("../shared/data")
    """The developers' shared folder."""
    variants: tuple[str, ...] = ()
    """Some of the rows; all by default."""
    pasts: tuple[int, ...] = ()
    """Further lengths of the windows, for ESTAG with and without EDFT."""
    hydrogens: bool = False
    """The same where hydrogens are visible."""
    epochs: int = 100
    seeds: int = 3
    out: Path = Path("runs/estag_ablation")


def main(config: Config) -> None:
    """Runs the rows, or what is missing of them, and writes table.md, table.csv and ablation.png."""
    number = {"walk": "3", "trp_cage": "2"}.get(config.data, "1")
    chosen = tables.Config(number, stand_in=config.shared, epochs=config.epochs)
    column = tables.columns(chosen)[config.data]
    train = dataclasses.replace(column.train, evaluate_every=10)
    column = dataclasses.replace(
        column, split=SPLITS[config.data], train=train, window=column.window or WINDOWS[config.data]
    )
    asked = {config.data: column}, config.seeds, config.out
    rest = config.variants, config.pasts, config.hydrogens
    command = shlex.join(["python", "experiments/estag_ablation.py", *sys.argv[1:]])
    for path in ablate((*asked, *rest), "Ablation of ESTAG", command)[1]:
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Config))
