"""Text files, and what is said of a damaged frame of any file."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import TextIO

from estag_jax.data.system import DataError
from estag_jax.io import cause


@contextlib.contextmanager
def opened(path: Path) -> Generator[TextIO]:
    """A text file, compressed or not; bytes that are no UTF-8 are replaced.

    Raises:
      DataError: it cannot be read, or the compressed data end too early.
    """
    kind = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix.lower(), open)
    try:
        with kind(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read ({cause(error)}); copy it again") from error


def damaged(path: Path, frame: int, why: str) -> DataError:
    """A frame is not whole."""
    whole = f", or save its {frame} whole frames to a new file" if frame else ""
    return DataError(
        f"{path}: frame {frame} (counted from 0) is cut short or damaged ({why}); copy it again{whole}"
    )
