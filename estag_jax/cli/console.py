"""The console that commands print tables to."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

from rich.console import Console


def wide_console(width: int = 120) -> Console:
    """A console for tables; off a terminal rich assumes 80 columns, which would break their lines."""
    return Console(width=None if _columns() else width)


def say(text: str, indent: int = 2) -> None:
    """Prints a line, wrapped to a terminal; off one it stays one line, for programs that read it."""
    if columns := _columns():
        text = textwrap.fill(text, columns, subsequent_indent=" " * indent, break_on_hyphens=False)
    print(text, flush=True)


def _columns() -> int | None:
    """Columns of the terminal; None off one."""
    given = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if given else None
