"""NetCDF 3 files: how many bytes their header promises, which readers do not ask."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from scipy.io import netcdf_file

from estag_jax.data.system import DataError
from estag_jax.io import cause
from estag_jax.sources.files.text import damaged

SUFFIXES = (".nc", ".ncdf", ".netcdf")

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a number, by the code of its type."""

WIDTHS = {1: (4, 4), 2: (4, 8), 5: (8, 8)}
"""Bytes of a count and of a place in the file, by the version of the format."""


class Records(NamedTuple):
    """What lies behind the header.

    Args:
      count: of records, as the header says.
      size: bytes of one.
      begin: where the first begins.
    """

    count: int
    size: int
    begin: int


class _Header:
    """The numbers of a header, most significant byte first, in the order of the file."""

    def __init__(self, file: BinaryIO):
        self.file, version = file, file.read(4)[3]
        self.wide, self.place = WIDTHS[version]

    def number(self, width: int | None = None) -> int:
        return int.from_bytes(self.file.read(width or self.wide), "big")

    def padded(self, count: int) -> None:
        self.file.seek(-(-count // 4) * 4, os.SEEK_CUR)

    def entries(self) -> range:
        """The entries of a list, which its tag precedes."""
        self.number(4)
        return range(self.number())

    def attributes(self) -> None:
        for _ in self.entries():
            self.padded(self.number())
            size = SIZES[self.number(4)]
            self.padded(size * self.number())


def records(path: Path) -> Records:
    """Reads the header: records of variables that have the unlimited dimension lie behind all else.

    The NetCDF classic format specification, version 1, 2 or 5.
    """
    with open(path, "rb") as file:
        header = _Header(file)
        count, lengths, sizes, begins = header.number(), [], [], []
        for _ in header.entries():
            header.padded(header.number())
            lengths.append(header.number())
        header.attributes()
        for _ in header.entries():
            header.padded(header.number())
            shape = [lengths[header.number()] for _ in range(header.number())]
            header.attributes()
            each = SIZES[header.number(4)] * math.prod(shape[1:])
            header.number()
            begin = header.number(header.place)
            if shape and not shape[0]:  # the unlimited dimension has no length
                sizes.append(each)
                begins.append(begin)
        padded = [-(-size // 4) * 4 for size in sizes]
        # The records of a single variable are not padded.
        return Records(count, sum(padded if len(sizes) > 1 else sizes), min(begins, default=0))


def examine(path: Path) -> tuple[str, ...]:
    """Checks that a file holds the records that its header promises, and no part of another.

    Returns:
      A note where more whole ones lie behind them.

    Raises:
      DataError: names the file and the frame.
    """
    try:
        # With mmap a file that is refused stays open, and scipy warns when it is collected.
        netcdf_file(str(path), mmap=False).close()
        count, size, begin = records(path)
    except Exception as error:  # of any kind where bytes are missing
        raise DataError(
            f"{path}: is no whole NetCDF 3 file ({cause(error)}); copy it again, or write it again"
        ) from error
    if not size:
        return ()
    there, left = divmod(path.stat().st_size - begin, size)
    if left >= 4:  # less is padding
        raise damaged(path, there, f"{left:,} of its {size:,} bytes are there")
    if there > count:
        return (
            f"of the {there} frames in {path.name} the {count} are read that its header counts",
        )
    return ()
