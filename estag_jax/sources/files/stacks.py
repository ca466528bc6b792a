"""Text files of frames as arrays, each line of which is accounted for: GROMACS' .gro, LAMMPS' dumps.

MDAnalysis reads the first frame of a .gro alone, drops a cut last frame of a dump, and moves dumps by
the corner of their box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from ase.geometry import cell_to_cellpar

from estag_jax.data.system import DataError
from estag_jax.data.transform import LENGTHS
from estag_jax.sources.files.text import damaged, opened, whole


class Stack(NamedTuple):
    """All frames of a file.

    Args:
      positions: [frames, N, 3] float32 in Å, or in the file's own unit.
      boxes: lengths and angles [frames, 6], zero without a box.
      times: [frames] in ``unit``, or None where the file does not say.
      unit: "ps", or "steps" for numbers of steps, which tell gaps and no time.
    """

    positions: np.ndarray
    boxes: np.ndarray
    times: np.ndarray | None
    unit: str


class DumpFrame(NamedTuple):
    """A frame of a LAMMPS dump.

    Args:
      step: its number.
      time: where the file has it, in ``units``.
      units: LAMMPS' name of its units, or "".
      box: cell vectors [3, 3] and corner of the box [3].
      columns: their names.
      rows: of words.
    """

    step: int
    time: float | None
    units: str
    box: tuple[np.ndarray, np.ndarray]
    columns: list[str]
    rows: list[list[str]]


DUMP_UNITS = {
    "real": (1.0, 1e-3),
    "metal": (1.0, 1.0),
    "electron": (LENGTHS["bohr"], 1e-3),
    "nano": (10.0, 1e3),
    "micro": (1e4, 1e6),
    "si": (1e10, 1e12),
    "cgs": (1e8, 1e12),
}
"""Å and ps in LAMMPS' units of length and time; those of lj are anyone's."""


def other_size(path: Path, frame: int, atoms: int, first: int) -> DataError:
    """A frame has another number of atoms than the first."""
    return DataError(
        f"{path}: frame {frame} has {atoms} atoms, frame 0 has {first}; all frames must be of one system"
    )


def check_names(path: Path, frame: int, names: Sequence[str], first: Sequence[str]) -> None:
    """Refuses a frame whose atoms are not those of the first in their order.

    Raises:
      DataError: names the frame and the atom.
    """
    if len(names) != len(first):
        raise other_size(path, frame, len(names), len(first))
    if names != first:
        i = next(i for i, pair in enumerate(zip(names, first, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"{path}: atom {i} is {names[i]} in frame {frame} and {first[i]} in frame 0; the atoms of all "
            f"frames must be in the same order"
        )


def read_gro(path: Path) -> Stack:
    """Reads every frame of a .gro file: a title, the number of atoms, the atoms, the box; nm and ps.

    Raises:
      DataError: names the line that is no part of a frame.
    """
    positions, boxes, times = [], [], []
    for first, title, rows, box in _gro_frames(path):
        try:
            # Columns of equal width begin behind the 20 of names and numbers: the distance between
            # two points is the width.
            width = rows[0].index(".", rows[0].index(".") + 1) - rows[0].index(".")
            columns = [slice(20 + width * i, 20 + width * (i + 1)) for i in range(3)]
            frame = np.array([[row[c] for c in columns] for row in rows], np.float64)
            cell = np.array(box.split(), np.float64)
            if cell.shape not in ((3,), (9,)):
                raise ValueError(f"a box of {len(cell)} numbers")
        except ValueError as error:
            raise _gro_cut(path, len(positions), first, str(error)) from error
        if positions and len(frame) != len(positions[0]):
            raise other_size(path, len(positions), len(frame), len(positions[0]))
        positions.append(frame * 10)
        boxes.append(_gro_box(cell * 10))
        times.append(_gro_time(title))
    known = None if None in times else np.array(times, np.float64)
    return Stack(np.array(positions, np.float32), np.array(boxes), known, "ps")


def read_dump(path: Path) -> Stack:
    """Reads a LAMMPS dump: atoms by id, coordinates unscaled (x), scaled (xs) or unwrapped (xu, xsu).

    Positions are where the file has them, with the corner of the box for scaled ones. The number of a
    step is no time; ITEM: TIME is, where ITEM: UNITS says in what.

    Raises:
      DataError: names the frame that is cut short, or has other atoms.
    """
    positions, boxes, steps, dates, ids, scale = [], [], [], [], None, 1.0
    with opened(path) as file:
        for k, frame in enumerate(_dump_frames(path, file)):
            cell, corner = frame.box
            columns, rows = frame.columns, frame.rows
            scale, ps = DUMP_UNITS.get(frame.units, (1.0, None))
            dates.append(None if ps is None or frame.time is None else frame.time * ps)
            where = f"{path}: frame {k} (counted from 0)"
            kind = next((s for s in ("", "u", "s", "su") if f"x{s}" in columns), None)
            wanted = [f"{axis}{kind}" for axis in "xyz"]
            if kind is None or not set(wanted) <= set(columns) or "id" not in columns:
                why = "; without id the order of atoms is not known" * ("id" not in columns)
                raise DataError(
                    f"{where} has the columns {' '.join(columns)}, expected id x y z (or xs, xu){why}"
                )
            table = np.array(
                [[row[columns.index(name)] for name in ("id", *wanted)] for row in rows]
            )
            try:
                these, points = table[:, 0].astype(np.int64), table[:, 1:].astype(np.float64)
            except (ValueError, OverflowError) as error:
                raise damaged(path, k, str(error)) from None
            order = np.argsort(these)
            these, points = these[order], points[order]
            if ids is None:
                ids = these
            if len(these) != len(ids):
                raise other_size(path, k, len(these), len(ids))
            if (these != ids).any():
                raise DataError(f"{where} has other ids of atoms than frame 0; dump one group")
            if kind.startswith("s"):
                points = points @ cell + corner
            positions.append((points * scale).astype(np.float32))
            boxes.append(cell_to_cellpar(cell * scale))
            steps.append(frame.step)
    known = bool(dates) and None not in dates
    times = np.array(dates if known else steps, np.float64)
    return Stack(np.array(positions), np.array(boxes), times, "ps" if known else "steps")


READERS: dict[str, Callable[[Path], Stack]] = {
    ".gro": read_gro,
    ".lammpstrj": read_dump,
    ".lammpsdump": read_dump,
    ".dump": read_dump,
}
"""What reads the frames of a file, by suffix."""


def _gro_frames(path: Path) -> Iterator[tuple[int, str, list[str], str]]:
    """The number of the first line, title, rows and box of each frame."""
    with opened(path) as file:
        lines, number, frame = (line.rstrip("\n") for line in file), 0, 0
        for title in lines:
            number += 1
            first, count = number, next(lines, "")
            if not title.strip() and not count.strip():
                continue  # empty lines at the end, or between frames
            if (atoms := whole(count)) is None:
                raise DataError(
                    f"{path}: line {first + 1} is {count.strip()[:40]!r}, expected the number of atoms of "
                    f"the frame that line {first} begins; delete what is no frame"
                )
            rows = [row for _, row in zip(range(atoms), lines, strict=False)]
            if len(rows) < atoms:
                raise _gro_cut(path, frame, first, f"{len(rows)} of {atoms} atoms are there")
            box = next(lines, "")
            number, frame = number + len(rows) + 2, frame + 1
            yield first, title, rows, box


def _gro_cut(path: Path, frame: int, first: int, why: str) -> DataError:
    return DataError(
        f"{path}: frame {frame} (counted from 0), which begins in line {first}, is not whole ({why}); copy "
        f"it again"
    )


def _gro_time(title: str) -> float | None:
    words = title.partition("t=")[2].split() or title.partition("t =")[2].split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _gro_box(cell: np.ndarray) -> np.ndarray:
    """Lengths and angles of v1x v2y v3z [v1y v1z v2x v2z v3x v3y]."""
    if not cell.any():
        return np.zeros(6)
    x, y, z, xy, xz, yx, yz, zx, zy = np.resize(np.append(cell, np.zeros(9 - len(cell))), 9)
    return cell_to_cellpar(np.array([(x, xy, xz), (yx, y, yz), (zx, zy, z)]))


def _dump_frames(path: Path, file: TextIO) -> Iterator[DumpFrame]:
    frame, begun, step, time, units, count, box = 0, False, 0, None, "", 0, None
    for line in file:
        words = line.split()
        if not words:
            continue
        item = line.removeprefix("ITEM: ")
        try:
            if item.startswith("TIMESTEP"):
                step = int(next(file))
            elif item.startswith("TIME"):
                time = float(next(file))
            elif item.startswith("UNITS"):
                units = next(file).strip()
            elif item.startswith("NUMBER OF ATOMS"):
                count = int(next(file))
            elif item.startswith("BOX BOUNDS"):
                box = _dump_cell(np.array([next(file).split() for _ in range(3)], np.float64))
            elif item.startswith("ATOMS") and box is not None:
                rows = [next(file).split() for _ in range(count)]
                if any(len(row) != len(words) - 2 for row in rows):
                    raise ValueError("a row has another number of columns")
                yield DumpFrame(step, time, units, box, words[2:], rows)
                frame, begun = frame + 1, False
                continue
            else:
                raise ValueError(f"a line is {line.strip()[:40]!r}")
        except (StopIteration, ValueError) as error:
            raise damaged(path, frame, str(error) or "the file ends") from None
        begun = True
    if begun:
        raise damaged(path, frame, "the file ends")


def _dump_cell(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell vectors as rows [3, 3] and the corner of the box [3], by LAMMPS' Howto_triclinic."""
    if bounds.shape[1] > 3:
        raise ValueError("a box of general triclinic vectors; dump the restricted one")
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] > 2 else (0.0, 0.0, 0.0)
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    x, y, z = high - low
    return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), low
