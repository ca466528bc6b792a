"""``estag data list``: which sources there are; loads none of the libraries that read them."""

from __future__ import annotations

from rich.table import Table

from estag_jax.cli.console import wide_console
from estag_jax.sources.catalog import SOURCES


def data_list() -> None:
    """Name every source."""
    table = Table(box=None, pad_edge=False)
    table.add_column("--data", max_width=31, overflow="fold")
    table.add_column("what")
    for key, source in SOURCES.items():
        table.add_row(source.example(key), source.about)
        if "MOLECULE" in source.hint:
            table.add_row("", f"MOLECULE: {', '.join(source.names)}")
    wide_console().print(table)
