"""``estag ablation``: what each part of ESTAG contributes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from estag_jax.cli.table import Protocol, columns, show, typed
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig
from estag_jax.io import reporting
from estag_jax.sources.catalog import DEFAULT_READ, ReadConfig
from estag_jax.training.settings import TrainConfig

if TYPE_CHECKING:
    from estag_jax.evaluation.result import Result
    from estag_jax.runs.settings import RunConfig

_TRAIN = TrainConfig()


given = partial(typed, "ablation")


def ablation(
    data: tuple[str, ...],
    command: tyro.conf.Suppress[tyro.conf.Fixed[str]],
    variants: tuple[str, ...] = (),
    pasts: tuple[int, ...] = (),
    hydrogens: bool = False,
    seeds: int = 3,
    protocol: Protocol = "blocked",
    out: Path = Path("runs/ablation"),
    read: ReadConfig = DEFAULT_READ,
    graph: GraphConfig = DEFAULT_GRAPH,
    train: TrainConfig = _TRAIN,
) -> None:
    """Fit ESTAG without each of its parts, and compare.

    Variants differ by one thing and share windows and seeds.

    Args:
      data: Data sets as for estag train; NAME=SOURCE names the column (aspirin=my.npz).
      command: Stands above the table.
      variants: Some of them, such as "without EDFT"; all by default.
      pasts: Further lengths T of the windows, for ESTAG with and without EDFT.
      hydrogens: Fit ESTAG with and without EDFT where hydrogen atoms are visible, too.
      seeds: Seeds, trained together.
      protocol: The published split of each source, or its split without shared frames.
      out: Folder, in which finished cells are skipped: cells/, table.md, table.csv and ablation.png.
      read: How the data are read.
      graph: Which nodes exchange messages.
      train: How the networks are trained.
    """
    datasets = columns(data, seeds, protocol, dict(read=read, graph=graph, train=train))
    asked = datasets, seeds, out, variants, pasts, hydrogens
    show(*ablate(asked, f"{protocol} protocol", command), protocol)


def ablate(
    asked: tuple[dict[str, RunConfig], int, Path, Sequence[str], Sequence[int], bool],
    title: str,
    command: str,
) -> tuple[list[Result], list[Path]]:
    """Runs an ablation, or what is missing of it, shows its progress, and writes its files.

    Args:
      asked: the first arguments of runs.ablation.run_ablation.
      title: of the table.
      command: that stands above it.
    """
    from estag_jax.cli.progress import Display, Epochs
    from estag_jax.report.ablation import write_ablation
    from estag_jax.runs.ablation import run_ablation

    with Display() as shown, reporting(shown.stage):
        results = run_ablation(*asked, announce=lambda data, row: [Epochs(shown, f"{data}: {row}")])
    return results, write_ablation(results, asked[2], title, command)
