"""What several commands print."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estag_jax.evaluate.table import render
from estag_jax.table.grid import Announce
from estag_jax.train.loop import Report


def print_facts(facts: dict[str, Any]) -> None:
    """One line a fact, the names in a column; empty facts are left out."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if value != "":
            print(f"{name:<{width}}  {value}")


def print_table(result: dict[str, Any]) -> None:
    """The result table of a run and what became of its rollouts."""
    data, windows = result["data"], result["data"]["windows"]
    title = f"{data['source']}: {windows['test']} test windows, {windows['train']} training windows"
    # Off a terminal rich assumes 80 columns, which would break the table's lines.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(render(result["rows"], data["length_unit"], title))
    rollout, name = result["rollout"], result["rows"][-1]["name"]
    if rollout["predictors"]:
        figures, steps = rollout["predictors"][name], rollout["steps"]
        median = figures["median"][-1]
        print(
            f"{rollout['windows']} rollouts of {steps} frames by {name}: "
            f"{figures['lost'][-1]:.1%} ran away, median error at the end "
            f"{'infinite' if median is None else f'{median:.4f}'} {data['length_unit']}²"
        )


def slug(text: str) -> str:
    """A source or path as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.")[-80:] or "data"


def progress_bars(console: Console) -> Progress:
    """Bars of epochs with a field ``figures``; nothing where the console is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextlib.contextmanager
def cell_progress() -> Iterator[Announce]:
    """What to tell of the cells of a table: a bar each on a terminal, elsewhere a line each quarter."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _cell_lines
        return
    with progress_bars(console) as progress:

        def announce(data: str, row: str, epochs: int) -> Report:
            task = progress.add_task(f"{data}: {row}", total=epochs, figures="")

            def report(epoch: int, evaluation: dict[str, Any]) -> None:
                progress.update(task, completed=epoch, figures=_validation(evaluation))

            return report

        yield announce


def _cell_lines(data: str, row: str, epochs: int) -> Report:
    told = 0

    def report(epoch: int, evaluation: dict[str, Any]) -> None:
        nonlocal told
        if 4 * epoch // epochs > told:
            told = 4 * epoch // epochs
            line = f"{data}: {row}, epoch {epoch} of {epochs}, {_validation(evaluation)}"
            print(line, file=sys.stderr, flush=True)

    return report


def _validation(evaluation: dict[str, Any]) -> str:
    return f"validation {evaluation['validation_mse']:.3e}"
