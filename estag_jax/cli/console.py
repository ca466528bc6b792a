"""The console that commands print tables to."""

from __future__ import annotations

import os
import sys

from rich.console import Console


def wide_console(width: int = 120) -> Console:
    """A console for tables; off a terminal rich assumes 80 columns, which would break their lines."""
    given = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if given else width)
