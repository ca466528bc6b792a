"""``estag table``: every method on every data set under one protocol."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from estag_jax.cli.main import Failure, UsageError
from estag_jax.config import Elements, Head
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig
from estag_jax.io import reporting
from estag_jax.sources.catalog import DEFAULT_READ, SOURCES, ReadConfig, find
from estag_jax.training.settings import TrainConfig

if TYPE_CHECKING:
    from estag_jax.evaluation.result import Result
    from estag_jax.runs.settings import RunConfig

Protocol = Literal["paper", "blocked"]

_TRAIN = TrainConfig()


def typed(name: str, argv: list[str]) -> dict[str, Any]:
    """The command as it was typed, to stand above the table."""
    return {"command": shlex.join(["estag", name, *argv])}


given = partial(typed, "table")


def table(
    data: tuple[str, ...],
    command: tyro.conf.Suppress[tyro.conf.Fixed[str]],
    models: tuple[str, ...] = (),
    seeds: int = 3,
    protocol: Protocol = "paper",
    head: Head | None = None,
    elements: Elements | None = None,
    start: str | None = None,
    past: int | None = None,
    delta: int | None = None,
    out: Path = Path("runs/table"),
    read: ReadConfig = DEFAULT_READ,
    graph: GraphConfig = DEFAULT_GRAPH,
    train: TrainConfig = _TRAIN,
) -> None:
    """Fit and test every method on every data set.

    Args:
      data: Data sets as for estag train; NAME=SOURCE names the column (aspirin=my.npz).
      command: Stands above the table.
      models: Methods such as ESTAG ST_EGNN "VAR ridge"; all by default.
      seeds: Seeds, trained together.
      protocol: The published split of each source, or its split without shared frames.
      head: The last step of every network in place of its own: residual is ESTAG's.
      elements: How atoms enter the networks that ESTAG is compared to. number: one float, as
        its authors' program has it.
      start: A closed form that every network starts from, such as frame-ridge.
      past: T in place of the source's.
      delta: Δ in place of the source's.
      out: Folder, in which finished cells are skipped: cells/, table.md, table.csv and table.png.
      read: How the data are read.
      graph: Which nodes exchange messages.
      train: How the networks are trained.
    """
    common = dict(read=read, graph=graph, train=train, start=start)
    datasets = columns(data, seeds, protocol, common, past, delta)
    title = f"{protocol} protocol"
    show(*tabulate(datasets, models, seeds, out, head, elements, title, command), protocol)


def columns(
    data: Sequence[str],
    seeds: int,
    protocol: Protocol,
    common: dict[str, Any],
    past: int | None = None,
    delta: int | None = None,
) -> dict[str, RunConfig]:
    """The settings of every data set by the name of its column.

    Raises:
      UsageError: there is none, one is named twice, or there are no seeds.
    """
    if seeds < 1:
        raise UsageError(f"--seeds is {seeds}, it must be at least 1")
    if not data:
        raise UsageError("--data names no data set; see estag data list")
    from estag_jax.runs.settings import RunConfig

    settings = RunConfig(split="paper" if protocol == "paper" else None, **common)
    datasets = dict(column(spec, settings, past, delta) for spec in data)
    if len(datasets) < len(data):
        raise UsageError("--data names a column twice; write NAME=SOURCE")
    return datasets


def show(results: Sequence[Result], files: Sequence[Path], protocol: Protocol) -> None:
    """Prints the table that was written, and its files.

    Raises:
      Failure: cells failed.
    """
    from rich.markdown import Markdown

    from estag_jax.cli.console import wide_console

    wide_console(160).print(Markdown(files[0].read_text(encoding="utf-8")))
    print(f"files: {', '.join(map(str, files))}")
    rows = [row for result in results for row in result.rows]
    failed = [row for row in rows if row.status == "failed"]
    if failed:
        unread = protocol == "paper" and any(row.name == "(data)" for row in failed)
        hint = "; data that have no published split need --protocol blocked" if unread else ""
        raise Failure(f"{len(failed)} of {len(rows)} cells failed, see {files[0]}{hint}")


def column(
    spec: str, common: RunConfig, past: int | None = None, delta: int | None = None
) -> tuple[str, RunConfig]:
    """The column's name and the settings of one data set: those common to all, and its own windows."""
    name, given, rest = spec.partition("=")
    if not given or not rest:
        name, rest = spec.partition(":")[2] or spec, spec
    source, inside = find(rest)
    if source is SOURCES["file"]:
        from estag_jax.sources.files.reader import paths_of

        paths_of(inside)  # before anything is computed
    window = source.suggested.window
    changes = {k: v for k, v in (("past", past), ("delta", delta)) if v is not None}
    return name, dataclasses.replace(
        common, data=(rest,), window=dataclasses.replace(window, **changes)
    )


def tabulate(
    datasets: dict[str, RunConfig],
    models: Sequence[str],
    seeds: int,
    out: Path,
    head: Head | None,
    elements: Elements | None,
    title: str,
    command: str,
) -> tuple[list[Result], list[Path]]:
    """Runs a grid, or what is missing of it, shows its progress, and writes its files."""
    from estag_jax.cli.progress import Display, Epochs
    from estag_jax.models.catalog import choose
    from estag_jax.report.tables import write_report
    from estag_jax.runs.grid import run_grid

    methods = choose(models)
    with Display() as shown, reporting(shown.stage):
        results = run_grid(
            datasets,
            methods,
            seeds,
            out,
            head,
            elements,
            lambda data, row: [Epochs(shown, f"{data}: {row}")],
        )
    return results, write_report(results, out, title, command)
