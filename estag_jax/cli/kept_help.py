"""Help of commands, kept in the user's cache: the options of networks stand beside these, which need jax."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import estag_jax
from estag_jax.io import cache_folder, write_text

MOST = 32
"""Texts that are kept, for other commands, widths and installations; then the oldest go."""

_CHOICES = "--model", "--preset"
"""Options that may stand before ``--help``: what others name may lie in files, and these change."""

_VARIABLES = "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR"


def file_of(command: str, argv: Sequence[str]) -> Path | None:
    """Where the help that these arguments ask for is kept: a file for each state of all that it depends on.

    Args:
      command: the command's name.
      argv: its arguments.

    Returns:
      The file, or None where they ask for no help, or for one that is not kept.
    """
    asks = list(argv[-1:]) in (["-h"], ["--help"])
    if not asks or not set(argv[:-1:2]) <= set(_CHOICES) or _off():
        return None
    out, variables = sys.stdout, sorted(os.environ.items())
    terminal = shutil.get_terminal_size().columns, out.isatty(), out.encoding
    said = [v for v in variables if v[0] in _VARIABLES or v[0].startswith("PYTHON_TYRO_")]
    package = Path(estag_jax.__file__).parent
    # Installing, updating or removing a package changes the folder that it is in.
    folders = [(name, _state(name)[:1]) for name in sys.path]
    python = sys.version, sys.flags.optimize, sys.executable
    state = command, list(argv), terminal, said, python, folders, sorted(_sources(package))
    return cache_folder() / "help" / f"{_digest(json.dumps(state))}.txt"


def read(file: Path | None) -> str | None:
    """The help that is kept in a file; None where there is none or the file is damaged."""
    if file is None:
        return None
    try:
        digest, _, text = file.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return text if digest == _digest(text) else None


def keep(file: Path | None, text: str) -> None:
    """Keeps help in a file, if it can be written, and removes the oldest of too many."""
    if file is None:
        return
    with contextlib.suppress(OSError, ValueError):
        write_text(file, f"{_digest(text)}\n{text}")
        newest_last = sorted(file.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in newest_last[:-MOST]:
            old.unlink()


def _off() -> bool:
    """Whether jax is told to keep no programs; then no help is kept either."""
    value = os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "true")
    return value.lower() in ("n", "no", "f", "false", "off", "0")


def _sources(package: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The files of a package, so that a change of one is seen where it is edited in place."""
    for folder, inner, files in os.walk(package):
        inner[:] = [name for name in inner if name != "__pycache__"]
        for path in (os.path.join(folder, name) for name in files):
            yield path, _state(path)


def _state(path: str) -> tuple[int, ...]:
    """Time of the last change and size; nothing where there is no such file."""
    try:
        found = os.stat(path or ".")
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
