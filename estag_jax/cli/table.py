"""``estag table``: every method on every data set under one protocol."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markdown import Markdown

from estag_jax.cli.main import Failure, UsageError, parse
from estag_jax.cli.progress import cell_progress
from estag_jax.data.graphs import GraphConfig
from estag_jax.models.rows import choose
from estag_jax.nn.heads import Head
from estag_jax.report.grid_report import write_report
from estag_jax.runs.grid import run_grid
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig
from estag_jax.train.settings import RunConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class TableArgs:
    """Train and test every network and closed-form predictor on every data set; resumes by itself."""

    data: tuple[str, ...]
    """Data sets as for estag train; NAME=SOURCE names the column (aspirin=my.npz)."""
    models: tuple[str, ...] = ()
    """Rows such as ESTAG ST_EGNN STGCN; all by default."""
    seeds: int = 3
    """Seeds, trained together."""
    protocol: Literal["paper", "blocked"] = "paper"
    """The published split of each source, or its split without shared frames."""
    head: Head | None = None
    """The last step of every network in place of its own: residual is ESTAG's."""
    past: int | None = None
    """T in place of the source's."""
    delta: int | None = None
    """Δ in place of the source's."""
    out: Path = Path("runs/table")
    """Folder of cells/, table.md, table.csv and table.png."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    graph: GraphConfig = GraphConfig()
    """Which nodes exchange messages."""
    train: TrainConfig = TrainConfig()
    """How the networks are trained."""


def table(argv: list[str]) -> None:
    """``estag table``: runs the grid, prints it, writes Markdown, CSV and a figure."""
    args = parse("table", TableArgs, argv)
    if args.seeds < 1:
        raise UsageError(f"--seeds is {args.seeds}, it must be at least 1")
    if not args.data:
        raise UsageError("--data names no data set; see estag data list")
    rows, datasets = choose(args.models), dict(_dataset(args, spec) for spec in args.data)
    if len(datasets) < len(args.data):
        raise UsageError("--data names a column twice; write NAME=SOURCE")
    with cell_progress() as announce:
        cells = run_grid(datasets, rows, args.seeds, args.out, args.head, announce)
    command = shlex.join(["estag", "table", *argv])
    files = write_report(cells, args.out, f"{args.protocol} protocol", command)
    Console(width=None if sys.stdout.isatty() else 160).print(
        Markdown(files[0].read_text(encoding="utf-8"))
    )
    print(f"files: {', '.join(map(str, files))}")
    failed = [cell for cell in cells if cell["status"] == "failed"]
    if failed:
        unread = args.protocol == "paper" and any(cell["row"] == "(data)" for cell in failed)
        hint = "; data that have no published split need --protocol blocked" if unread else ""
        raise Failure(f"{len(failed)} of {len(cells)} cells failed, see {files[0]}{hint}")


def _dataset(args: TableArgs, spec: str) -> tuple[str, RunConfig]:
    """The column's name and the settings of one data set."""
    name, given, rest = spec.partition("=")
    if not given or not rest:
        name, rest = spec.partition(":")[2] or spec, spec
    source, _ = sources.find(rest)
    changes = {k: v for k in ("past", "delta") if (v := getattr(args, k)) is not None}
    return name, RunConfig(
        data=rest,
        read=args.read,
        window=dataclasses.replace(source.window, **changes),
        split=source.published if args.protocol == "paper" else source.split,
        graph=args.graph,
        train=args.train,
    )
