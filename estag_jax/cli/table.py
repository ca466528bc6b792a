"""``estag table``: every method on every data set under one protocol."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Literal

from rich.markdown import Markdown

from estag_jax.cli.arguments import parse
from estag_jax.cli.main import Failure, UsageError
from estag_jax.cli.output import wide_console
from estag_jax.cli.progress import Epochs, display
from estag_jax.data.graphs import GraphConfig
from estag_jax.models.catalog import choose
from estag_jax.nn.config import Head
from estag_jax.report.tables import write_report
from estag_jax.runs.grid import run_grid
from estag_jax.runs.settings import RunConfig
from estag_jax.sources.catalog import ReadConfig, find
from estag_jax.training.settings import TrainConfig


@dataclasses.dataclass(frozen=True)
class TableArgs:
    """Fit and test every method on every data set; finished cells are skipped."""

    data: tuple[str, ...]
    """Data sets as for estag train; NAME=SOURCE names the column (aspirin=my.npz)."""
    models: tuple[str, ...] = ()
    """Methods such as ESTAG ST_EGNN "VAR ridge"; all by default."""
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
    """``estag table``."""
    args = parse("table", TableArgs, argv)
    if args.seeds < 1:
        raise UsageError(f"--seeds is {args.seeds}, it must be at least 1")
    if not args.data:
        raise UsageError("--data names no data set; see estag data list")
    methods, datasets = choose(args.models), dict(_dataset(args, spec) for spec in args.data)
    if len(datasets) < len(args.data):
        raise UsageError("--data names a column twice; write NAME=SOURCE")
    with display() as shown:
        results = run_grid(
            datasets,
            methods,
            args.seeds,
            args.out,
            args.head,
            lambda data, row: [Epochs(shown, f"{data}: {row}")],
        )
    command = shlex.join(["estag", "table", *argv])
    files = write_report(results, args.out, f"{args.protocol} protocol", command)
    wide_console(160).print(Markdown(files[0].read_text(encoding="utf-8")))
    print(f"files: {', '.join(map(str, files))}")
    rows = [row for result in results for row in result.rows]
    failed = [row for row in rows if row.status == "failed"]
    if failed:
        unread = args.protocol == "paper" and any(row.name == "(data)" for row in failed)
        hint = "; data that have no published split need --protocol blocked" if unread else ""
        raise Failure(f"{len(failed)} of {len(rows)} cells failed, see {files[0]}{hint}")


def _dataset(args: TableArgs, spec: str) -> tuple[str, RunConfig]:
    """The column's name and the settings of one data set."""
    name, given, rest = spec.partition("=")
    if not given or not rest:
        name, rest = spec.partition(":")[2] or spec, spec
    fitting = find(rest)[0].suggested
    changes = {k: v for k in ("past", "delta") if (v := getattr(args, k)) is not None}
    return name, RunConfig(
        data=(rest,),
        read=args.read,
        window=dataclasses.replace(fitting.window, **changes),
        split="paper" if args.protocol == "paper" else None,
        graph=args.graph,
        train=args.train,
    )
