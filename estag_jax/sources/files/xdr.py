"""Frames of GROMACS' XTC and TRR files, counted from their own headers: readers drop a cut last frame."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from estag_jax.data.system import DataError
from estag_jax.sources.files.packages import signal_of
from estag_jax.sources.files.text import damaged

XTC, XTC_LONG, TRR = 1995, 2023, 1993
"""The first number of a frame, by format; XTC_LONG holds more than 2³¹ bytes in a frame."""

UNCOMPRESSED = 9
"""Atoms up to which XTC keeps plain numbers."""

_DECODE = """
import sys
from MDAnalysis.lib.formats.libmdaxdr import XTCFile

with XTCFile(sys.argv[1]) as file:
    for _ in file:
        pass
"""


def examine(path: Path) -> tuple[str, ...]:
    """Counts the frames, and refuses a file that ends within a frame, or has frames without positions.

    A frame of XTC is a header of 56 bytes (magic number, atoms, step, time, box, atoms), and then
    either 3 floats for each of at most 9 atoms, or the precision, 7 integers, the number of bytes and
    these. A frame of TRR is a header that gives the size of each of its parts, and the parts.

    Returns:
      A note with the count: a file that ends with a whole frame may still be a part of what was written.

    Raises:
      DataError: names the frame and the number of bytes that are there.
    """
    size, frame, silent, first, compressed = path.stat().st_size, 0, None, None, False
    with path.open("rb") as file:
        while (begin := file.tell()) < size:
            try:
                magic, end, atoms, positions = _end_of_frame(path, file, frame)
                compressed |= magic != TRR and atoms > UNCOMPRESSED
            except (struct.error, OSError):  # sizes that lead beyond the file, or before it
                end, atoms, positions = size + 1, first, True
            if not begin < end <= size:
                raise DataError(
                    f"{path}: is cut short within frame {frame} (counted from 0), {size - begin} bytes of "
                    f"it are there; copy it again, or save its {frame} whole frames to a new file"
                )
            first = first or atoms
            if atoms != first:
                raise damaged(path, frame, f"it claims {atoms} atoms, the frames before {first}")
            if not positions and silent is None:
                silent = frame
            file.seek(end)
            frame += 1
    if compressed and (name := signal_of(_DECODE, path)):
        raise DataError(
            f"{path}: its compressed coordinates are damaged (the library that reads them ends by {name}); "
            f"copy the file again"
        )
    if silent is not None:
        raise DataError(
            f"{path}: frame {silent} (counted from 0) holds no positions (velocities or forces alone); "
            f"write a file of the frames with positions, for example by gmx trjconv to .xtc"
        )
    note = f"{path.name} ends after {frame} whole frames; its format does not say how many were written"
    return (note,)


def _end_of_frame(path: Path, file: BinaryIO, frame: int) -> tuple[int, int, int, bool]:
    """Magic number of the frame that begins here, where it ends, its atoms, and whether it holds positions.

    Sizes that contradict each other are refused: the library that reads the frame believes all of them, and
    writes beyond its memory.
    """
    magic = _integers(file, 1)[0]
    if magic in (XTC, XTC_LONG):
        (atoms,) = _integers(file, 1)
        file.seek(44, 1)  # step, time, box
        if (again := _integers(file, 1)[0]) != atoms:
            raise damaged(path, frame, f"it claims {atoms} atoms and {again}")
        if atoms <= UNCOMPRESSED:
            return magic, file.tell() + 12 * atoms, atoms, True
        file.seek(32, 1)  # precision, bounds of the integers, size of the smallest
        long = magic == XTC_LONG
        (count,) = struct.unpack(">q" if long else ">i", file.read(8 if long else 4))
        return magic, file.tell() + -(-count // 4) * 4, atoms, True
    if magic == TRR:
        file.seek(4, 1)  # length of the version with its end
        (length,) = _integers(file, 1)
        file.seek(-(-length // 4) * 4, 1)
        *parts, atoms, _, _ = _integers(file, 13)
        box, x = parts[2], parts[7]
        reals = box // 9 or max(parts[7:]) // max(3 * atoms, 1)
        known = dict.fromkeys((2, 3, 4), (0, 9 * reals))  # box, virial, pressure
        known |= dict.fromkeys((7, 8, 9), (0, 3 * atoms * reals))  # positions, velocities, forces
        if reals not in (4, 8) or any(
            part not in known.get(k, (0,)) for k, part in enumerate(parts)
        ):
            raise damaged(path, frame, f"parts of {parts} bytes are not those of {atoms} atoms")
        return magic, file.tell() + 2 * reals + sum(parts), atoms, x > 0
    raise DataError(
        f"{path}: frame {frame} (counted from 0) does not begin with the number of an XTC or TRR frame "
        f"but {magic}; copy the file again"
    )


def _integers(file: BinaryIO, count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}i", file.read(4 * count))
