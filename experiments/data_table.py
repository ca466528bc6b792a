"""Prints what each data set holds: frames, nodes, edges, windows by split, error of the last frame.

    .venv/bin/python experiments/data_table.py --shared ../shared/data

The shared folder is the developers' (md_xtb, cmu_mocap, trp_cage); rows whose files are not there are
left out, which the last line says. adk-dims and the synthetic systems need no files.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.copies import LastFrame
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig
from estag_jax.training.fit import fit

TRIALS = {"train": 1100, "validation": 600, "test": 600}
ALTERNATING = SplitConfig("by-trajectory", runs="alternating", each=100, below=300, **TRIALS)
RUNS = SplitConfig("by-trajectory")
BLOCKED, PAPER = SplitConfig(), SplitConfig("paper")


@dataclasses.dataclass(frozen=True)
class Config:
    """What each data set holds."""

    shared: Path = Path("../shared/data")
    """The folder with md_xtb, cmu_mocap and trp_cage."""


def cases(shared: Path):
    """Name, source, how it is read, windows and split of every row."""
    molecules = ("aspirin", "benzene", "ethanol", "malonaldehyde", "toluene", "uracil")
    for name in molecules:
        spec = str(shared / "md_xtb" / f"{name}_xtb.npz")
        centred = ReadConfig(centre="frame") if name == "benzene" else ReadConfig()
        yield f"{name} (md_xtb)", spec, centred, WindowConfig(), PAPER
        yield f"{name} (md_xtb)", spec, centred, WindowConfig(), BLOCKED
    mocap = str(shared / "cmu_mocap")
    five = WindowConfig(delta=5)
    yield "walk, all trials", "cmu:walk", ReadConfig(folder=mocap), five, RUNS
    long = ReadConfig(folder=mocap, min_frames=352)
    yield "walk, trials ≥ 352 frames", "cmu:walk", long, five, ALTERNATING
    cage = ",".join(str(shared / "trp_cage" / f"trp_cage.{kind}") for kind in ("pdb", "dcd"))
    residues = ReadConfig(nodes="residues", align=True)
    yield "trp_cage, superimposed", cage, residues, WindowConfig(), BLOCKED
    yield "trp_cage, superimposed", cage, residues, WindowConfig(delta=1), BLOCKED
    yield "adk-dims", "adk-dims", ReadConfig(), WindowConfig(delta=1), RUNS
    for name in sources.SOURCES["synthetic"].names:
        yield name, f"synthetic:{name}", ReadConfig(), WindowConfig(delta=1), RUNS


def main(config: Config) -> None:
    """Prints the table as Markdown."""
    print(
        "| data | T, Δ | frames (runs) | nodes × channels | edges | split | windows | overlap | last frame |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    left_out = []
    for name, spec, read, window, rule in cases(config.shared):
        try:
            task = Task(sources.load(spec, read=read), window, rule)
        except DataError as error:
            left_out.append(str(error))
            continue
        error = evaluate(fit(LastFrame(), task), task).rows[0].mse
        facts = task.describe()
        counts = "/".join(map(str, facts["windows"].values()))
        print(
            f"| {name} | {window.past}, {window.delta} | {facts['frames']} ({facts['runs']}) "
            f"| {facts['nodes']} × {facts['channels']} | {facts['edges']} | {facts['split']} "
            f"| {counts} | {facts['overlap_with_train']['test']['share']:.1%} "
            f"| {error:.4g} {facts['length_unit']}² |",
            flush=True,
        )
    for message in left_out:
        print(f"left out: {message}")


if __name__ == "__main__":
    main(tyro.cli(Config))
