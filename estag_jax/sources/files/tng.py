"""Blocks of GROMACS' TNG files: its library says what is wrong on the terminal, and reads what is left."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from estag_jax.data.system import DataError

FRAMES, POSITIONS = 2, 0x10000001
"""Kinds of blocks: of the first of a set of frames, and of their positions."""

_WORDS = 9
"""Names of programs, users, … that the first block begins with."""


def examine(path: Path) -> None:
    """Checks every block by its size and its MD5 sum, and that the last frames are there.

    A block is the sizes of its header and of its contents, its kind, the sum of the contents, a name, the
    contents. Those of the first say, behind nine words, a time, a flag and a number of frames, at which
    byte the first and the last set of frames begin.

    Raises:
      DataError: names the byte.
    """
    size, begin, last = path.stat().st_size, 0, 0
    begun, wanted, there = 0, False, True
    with path.open("rb") as file:
        order = ">" if file.read(1) == b"\0" else "<"
        while begin < size:
            file.seek(begin)
            head = file.read(40)
            whole = len(head) == 40
            header, length, kind = struct.unpack(f"{order}qqq", head[:24]) if whole else (0, 0, 0)
            if header < 40 or length < 0 or begin + header + length > size:
                raise DataError(
                    f"{path}: is cut short or damaged within the block that begins at byte {begin} of "
                    f"{size}; copy it again"
                )
            file.seek(begin + header)
            contents = file.read(length)
            if (
                any(head[24:])
                and hashlib.md5(contents, usedforsecurity=False).digest() != head[24:]
            ):
                raise DataError(
                    f"{path}: is damaged in the block that begins at byte {begin}, its sum is another; copy "
                    f"it again"
                )
            if not begin:
                rest = contents.split(b"\0", _WORDS)[-1]
                last = struct.unpack_from(f"{order}q", rest.ljust(33, b"\0"), 25)[0]
            if kind == FRAMES:
                begun, there = begin, False
            elif kind == POSITIONS:
                wanted = there = True
            begin += header + length
    if last >= size or (wanted and not there):
        raise DataError(
            f"{path}: is cut short, its last frames, from byte {max(begun, last)} of {size} on, are not "
            f"whole; copy it again"
        )
