"""The one progress display of all commands: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estag_jax.training.callbacks import Callback

QUARTERS = 4
"""Lines per task off a terminal."""

QUIET = 2.0
"""s; what is done by then needs no line."""


class Display(Progress):
    """Bars of tasks on standard error that are told (what, done, total, figures)."""

    def __init__(self):
        console = Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._told: dict[str, Any] = {}
        self._began = time.monotonic()

    def report(self, what: str, done: int, total: int, figures: str = "") -> None:
        """Shows a task, how much of it is done, and the total (0 where it is not known)."""
        if not self.disable:
            if what not in self._told:
                self._told[what] = self.add_task(what, total=total or None, figures="")
            self.update(self._told[what], completed=done, total=total or None, figures=figures)
        elif (
            total
            and time.monotonic() - self._began > QUIET
            and (quarters := QUARTERS * done // total) > self._told.get(what, 0)
        ):
            self._told[what] = quarters
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
