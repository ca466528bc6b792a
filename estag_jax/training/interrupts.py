"""Signals that stop a process: handled where the state of a training is whole.

``handle`` is the handler that a program may install (``estag`` does). Without it nothing here has an effect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

_state: dict[str, int] = {"held": 0, "signal": 0}

agree: Callable[[int], int] = int
"""From the signal that waits in this process, 0 for none, to that on which all processes of a training agree
(training.distributed)."""

exit_code: Callable[[int], int] = (128).__add__
"""From the signal that stopped a process to its exit code."""


class Interrupted(KeyboardInterrupt):
    """A signal stops the process.

    Args:
      number: of the signal.

    Attributes:
      about: what was saved, for the user; "" where no training was under way.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number, self.about = number, ""


def handle(number: int, frame: object = None) -> None:
    """Stops the process: at once, or, within ``held``, at the next ``check``; a second signal at once."""
    if _state["held"] and not _state["signal"]:
        _state["signal"] = number
        return
    _state["signal"] = 0
    raise Interrupted(number)


@contextlib.contextmanager
def held() -> Generator[None]:
    """Signals wait for ``check``, or for the end of this."""
    _state["held"] += 1
    try:
        yield
    finally:
        _state["held"] -= 1
    check()


def check() -> None:
    """Raises Interrupted if a signal waits."""
    # Before it is agreed on, which a signal may interrupt.
    number, _state["signal"] = _state["signal"], 0
    if number := agree(number):
        raise Interrupted(number)
