"""The header of DCD trajectories, against what the file holds: the readers drop an incomplete last frame."""

from __future__ import annotations

import struct
from pathlib import Path

from estag_jax.data.system import DataError


def examine(path: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether a DCD file is whole, and whether its time step means something.

    Layout: Fortran records with their length before and after; the first has "CORD", 20 integers (of
    frames, first step, steps between frames, …, fixed atoms, time step, box, fourth dimension, …,
    CHARMM's version), then come titles, the number of atoms and the frames (CHARMM; NAMD and VMD
    write the same).

    Args:
      path: the file.

    Returns:
      Whether the time step is plausible, and notes.

    Raises:
      DataError: the file ends within a frame or holds none.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(92)
        if len(head) < 92:
            raise DataError(f"{path}: has {size} bytes, too few for a DCD header; copy it again")
        if head[4:8] != b"CORD":
            return True, ()  # an unusual kind of file, for the reader to judge
        order = "<" if head[:4] == struct.pack("<i", 84) else ">"
        control = struct.unpack(f"{order}20i", head[8:88])
        try:
            (title,) = struct.unpack(f"{order}i", file.read(4))
            file.seek(title + 4, 1)
            _, atoms, _ = struct.unpack(f"{order}3i", file.read(12))
        except (struct.error, ValueError, OSError) as error:
            raise DataError(f"{path}: ends within the DCD header; copy it again") from error
        begin = file.tell()
    promised, interval, fixed = control[0], control[2], control[8]
    charmm = control[19] != 0  # X-PLOR has neither box nor fourth dimension
    (step,) = struct.unpack(f"{order}f", head[44:48])
    dimensions = 4 if charmm and control[11] == 1 else 3
    box = 56 if charmm and control[10] == 1 else 0

    first = box + dimensions * (8 + 4 * atoms)
    other = box + dimensions * (8 + 4 * (atoms - fixed))
    if size - begin < first:
        raise DataError(
            f"{path}: holds no whole frame, {size - begin} bytes are left for frames of {first}; "
            f"copy it again"
        )
    more, left = divmod(size - begin - first, other)
    if left:
        raise DataError(
            f"{path}: is cut short, frame {more + 1} (counted from 0) has {left} of its {other} bytes; "
            f"copy it again, or save its {more + 1} whole frames to a new file"
        )
    notes = ()
    if promised > more + 1:
        notes = (
            f"the header of {path.name} promises {promised} frames, the file ends after "
            f"{more + 1} whole ones",
        )
    if promised < more + 1:
        notes = (
            f"the header of {path.name} promises {promised} frames, {more + 1} whole ones were read: it was "
            f"appended to, or its writer was killed",
        )
    # What writers put there that do not know the time (mdtraj): one step of one AKMA unit.
    return not (charmm and step == 1.0 and interval == 1), notes
