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

PAUSE = 5.0
"""s from one line of a task of many stages to the next, off a terminal."""


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
        self._since: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def report(self, what: str, done: int, total: int, figures: str = "") -> None:
        """Shows a task, how much of it is done, and the total (0 where it is not known)."""
        if not self.disable:
            self._show(what, done, total, figures)
        elif (
            total
            and time.monotonic() - self._began > QUIET
            and (quarters := QUARTERS * done // total) > self._told.get(what, 0)
        ):
            self._told[what] = quarters
            _print(what, done, total, figures)

    def stage(self, what: str, done: int, total: int, stage: str = "") -> None:
        """Shows how much of a task's stage is done: its bar starts again with each stage.

        Nothing is shown of a task in its first seconds.
        """
        now = time.monotonic()
        since = self._since.setdefault(what, now)
        if now - since < (QUIET if not self.disable else PAUSE):
            return
        if self.disable:
            self._since[what] = now
            _print(what, done, total, stage)
            return
        if done < self._done.get(what, 0):
            self.reset(self._told[what])
        self._done[what] = done
        self._show(what, done, total, stage)

    def _show(self, what: str, done: int, total: int, figures: str) -> None:
        if what not in self._told:
            self._told[what] = self.add_task(what, total=total or None, figures="")
        self.update(self._told[what], completed=done, total=total or None, figures=figures)


def _print(what: str, done: int, total: int, figures: str) -> None:
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
