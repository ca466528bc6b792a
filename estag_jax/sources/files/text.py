"""Text files, and what is said of a damaged frame of any file."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import zlib
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import TextIO

from estag_jax import memory
from estag_jax.data.system import DataError
from estag_jax.io import cause

UNPACK = {
    ".gz": (gzip.open, "gunzip"),
    ".bz2": (bz2.open, "bunzip2"),
    ".xz": (lzma.open, "unxz"),
}
"""By the suffix of a compressed file, what opens it and the command that unpacks it."""

WORDS = 10
"""Bytes that the words of a line take in memory for each byte of it, about."""


class _Affordable(io.RawIOBase):
    """The bytes of a file, refused where so many are read that memory would not hold them."""

    def __init__(self, file: io.BufferedIOBase, path: Path, held: int):
        self.file, self.path, self.held, self.size = file, path, held, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self.file.readinto(buffer)
        self.size += count
        memory.afford(self.held * self.size, f"{self.path}: what is read of it so far")
        return count


@contextlib.contextmanager
def opened(path: Path, held: int = 1) -> Generator[TextIO]:
    """A text file, compressed or not; bytes that are no UTF-8 are replaced.

    Args:
      path: the file.
      held: bytes of memory for each byte of text, of a reader that keeps it: WORDS where it is split first.

    Raises:
      DataError: it cannot be read, or the compressed data end too early. memory.TooLarge: it holds, or
        unpacks to, more than the limit.
    """
    kind, _ = UNPACK.get(path.suffix.lower(), (open, ""))
    try:
        with kind(path, "rb") as file:
            bounded = io.BufferedReader(_Affordable(file, path, held), 2**16)
            yield io.TextIOWrapper(bounded, encoding="utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read ({cause(error)}); copy it again") from error


def check_end(path: Path) -> str | None:
    """A note where a text file has no end of its last line, which may be cut within its last word.

    Raises:
      DataError: that number has fewer decimals than the one above it, or than the others of its line.
    """
    before, last = _last_lines(path)
    words, above = last.split(), before.split()
    if not last.endswith("\n") and len(words) == len(above) > 3:
        if all(re.fullmatch("[A-Za-z]{1,2}", row[-1]) for row in (words, above)):
            return f"{path.name} ends without an end of its last line: is {words[-1]!r} its whole last word?"
    if last.endswith("\n") or not words or not _NUMBER.fullmatch(words[-1]):
        return None
    others = above[-1:] if len(above) == len(words) else words[:-1]
    expected = max((_decimals(word) for word in others if _NUMBER.fullmatch(word)), default=0)
    if _decimals(words[-1]) < expected:
        raise DataError(
            f"{path}: ends within the number {words[-1]!r}; copy it again, or end its last line"
        )
    if "." in words[-1]:
        return None
    return (
        f"{path.name} ends without an end of its last line: is {words[-1]!r} its whole last number?"
    )


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d*)?([eEdD][-+]?\d*)?")
"""A number, or what is left of one."""

_TAIL = 2**16
"""Bytes of a file that hold its last two lines."""


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _last_lines(path: Path) -> tuple[str, str]:
    """The last two lines of a text file that are not blank; nothing of a binary one."""
    if path.suffix.lower() in UNPACK:
        with opened(path) as file:
            lines = list(deque((line for line in file if line.strip()), maxlen=2))
    else:
        with path.open("rb") as file:
            file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
            tail = file.read()
        if b"\0" in tail:
            return "", ""
        lines = tail.decode("utf-8", "replace").splitlines(keepends=True)
        lines = [line for line in lines if line.strip()][-2:]
    before, last = ("", "", *lines)[-2:]
    return before, last


def whole(word: str) -> int | None:
    """A whole number of at least zero and at most 18 digits; None for other text.

    What ``str.isdigit`` and ``strip`` let pass, ``int`` may refuse: ², thousands of digits, separators.
    """
    return int(word.strip()) if re.fullmatch(r"\s*[0-9]{1,18}\s*", word) else None


def compressed(path: Path) -> DataError | None:
    """Refuses a file that its reader does not unpack; nothing where it is not compressed."""
    if (known := UNPACK.get(path.suffix.lower())) is None:
        return None
    return DataError(f"{path}: is compressed; unpack it first ({known[1]} {path.name})")


def damaged(path: Path, frame: int, why: str) -> DataError:
    """A frame is not whole."""
    whole = f", or save its {frame} whole frames to a new file" if frame else ""
    return DataError(
        f"{path}: frame {frame} (counted from 0) is cut short or damaged ({why}); copy it again{whole}"
    )
