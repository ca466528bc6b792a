"""SIGINT, SIGTERM and SIGHUP: what was trained is saved, one line says so, and the exit code is 128 + signal,
or 75 where several processes train together.

Python runs a handler between two of its own instructions, which may be minutes away while XLA compiles. So a
thread learns of the signal by ``signal.set_wakeup_fd`` and ends the process after a grace period.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

from estag_jax.training import interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE = 15.0
"""s; clusters give 30 between SIGTERM and SIGKILL. ``estag train --distributed.grace`` sets another."""


def install() -> None:
    """Handles the signals in this process, except those that are ignored (nohup)."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupts.handle)
    threading.Thread(target=_watch, args=(read,), daemon=True).start()


def stopped(stop: KeyboardInterrupt) -> int:
    """Says in one line that a signal ended the command; returns the exit code."""
    number, about = signal.SIGINT, ""
    if isinstance(stop, interrupts.Interrupted):
        number, about = stop.number, stop.about
    saved = f"{about}, go on with --resume" if about else "checkpoints written so far are kept"
    return _say(number, saved)


def _watch(read: int) -> None:
    number = os.read(read, 1)[0]
    # A second signal, or the end of the grace period; a process that ends in time takes this thread along.
    select.select([read], [], [], GRACE)
    os._exit(_say(number, "it was busy; checkpoints written so far are kept"))


def _say(number: int, what: str) -> int:
    word = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    print(f"estag: {word}; {what}", file=sys.stderr, flush=True)
    return interrupts.exit_code(number)
