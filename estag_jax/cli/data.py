"""``estag data list | info | prepare``; what needs the libraries is imported when it is run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from estag_jax.cli.main import UsageError
from estag_jax.io import did_you_mean
from estag_jax.sources.catalog import SOURCES

ACTIONS = ("list", "info", "prepare")


def data(argv: list[str]) -> None:
    """``estag data``."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: estag data list\n       estag data info SOURCE [OPTIONS]")
        print("       estag data prepare SOURCE [OPTIONS]")
        print("\nSOURCE is SOURCE[:NAME] of estag data list, or a path.")
        return
    action, rest = argv[0], argv[1:]
    if action not in ACTIONS:
        raise UsageError(
            f"no command data {action!r}{did_you_mean(action, ACTIONS)}; see estag data --help"
        )
    if action == "list":
        _list(rest)
        return
    from estag_jax.cli import data_info

    getattr(data_info, action)(rest)


def _list(argv: list[str]) -> None:
    if argv:
        raise UsageError(f"estag data list takes no arguments, got {' '.join(argv)}")
    table = Table(box=None, pad_edge=False)
    table.add_column("--data", no_wrap=True)
    table.add_column("what")
    for key, source in SOURCES.items():
        table.add_row(source.example(key), source.about)
        if "MOLECULE" in source.hint:
            table.add_row("", f"MOLECULE: {', '.join(source.names)}")
    Console(width=None if Console().is_terminal else 120).print(table)
