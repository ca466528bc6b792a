"""How commands that train tell how far they are; apart from output.py, because it needs the trainer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estag_jax.runs.grid import Announce
from estag_jax.train.loop import Report


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
