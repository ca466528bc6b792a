"""The one progress display of all commands: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estag_jax.training.callbacks import Callback

QUARTERS = 4
"""Lines per task off a terminal."""


class Display:
    """Bars of tasks that are told (what, done, total, figures)."""

    def __init__(self, console: Console):
        self._lines = not console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self.bars = Progress(*columns, console=console, disable=self._lines)
        self._tasks: dict[str, Any] = {}

    def report(self, what: str, done: int, total: int, figures: str = "") -> None:
        """Shows a task, how much of it is done, and the total (0 where it is not known)."""
        if self._lines:
            self._line(what, done, total, figures)
            return
        if what not in self._tasks:
            self._tasks[what] = self.bars.add_task(what, total=total or None, figures="")
        self.bars.update(self._tasks[what], completed=done, total=total or None, figures=figures)

    def _line(self, what: str, done: int, total: int, figures: str) -> None:
        told = self._tasks.get(what, 0)
        if total and QUARTERS * done // total > told:
            self._tasks[what] = QUARTERS * done // total
            tail = f", {figures}" if figures else ""
            print(f"{what}: {done} of {total}{tail}", file=sys.stderr, flush=True)


class Epochs(Callback):
    """Tells a display of the epochs of training.

    Args:
      display: where to.
      what: the task's name.
    """

    def __init__(self, display: Display, what: str):
        self.display, self.what = display, what

    def begin(self, loop) -> None:
        self.display.report(self.what, loop.epoch, loop.config.epochs, "compiling")

    def evaluated(self, loop, evaluation: dict[str, Any]) -> None:
        parts = [
            f"{name} {value:.3e}"
            for name, key in (("train", "train_loss"), ("validation", "validation_mse"))
            if (value := evaluation[key]) is not None
        ]
        self.display.report(self.what, loop.epoch, loop.config.epochs, "  ".join(parts))


@contextlib.contextmanager
def display() -> Iterator[Display]:
    """The display of a command, on standard error."""
    shown = Display(Console(stderr=True))
    with shown.bars:
        yield shown
