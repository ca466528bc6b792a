"""Who may write to a folder: one process at a time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from estag_jax.disk import is_alive, unwritable
from estag_jax.io import FileError, read_json
from estag_jax.runs.folder import LOCK, RunError, Unwritable


@contextlib.contextmanager
def locked(folder: Path, take_over: bool = False) -> Generator[None]:
    """The only writer of a folder; a second one is refused.

    A lock whose process has ended on this machine is removed.

    Args:
      folder: made if need be.
      take_over: remove a lock of another machine, whose process cannot be looked at.

    Raises:
      RunError: another process writes to the folder; names it.
    """
    path = folder / LOCK
    made = not folder.exists()
    own = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.ctime()}
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _create(path, json.dumps(own))
            break
        except OSError as error:
            if not path.exists():
                raise Unwritable(f"{unwritable(path, error)}, or choose another --out") from None
            holder = _holder(path)
            if holder is None or take_over or _ended(holder):
                path.unlink(missing_ok=True)
                continue
            raise RunError(
                f"{folder}: process {holder.get('pid')} on {holder.get('host')} has been writing to it "
                f"since {holder.get('since')}; wait for it, choose another --out, or, if it is gone, add "
                f"--take-over"
            ) from None
    try:
        yield
    finally:
        if _holder(path) == own:
            path.unlink(missing_ok=True)
        if made:  # and nothing was written
            with contextlib.suppress(OSError):
                folder.rmdir()


def _create(path: Path, text: str) -> None:
    """Writes a file that is not there yet; one that cannot be written is taken away again."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _holder(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; None where it is unreadable for more than a moment."""
    for _ in range(10):
        try:
            holder = read_json(path)
            return holder if isinstance(holder, dict) else None
        except FileError:
            time.sleep(0.02)  # being written
    return None


def _ended(holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    return not is_alive(pid)
