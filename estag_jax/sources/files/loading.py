"""One run's coordinates: whether its file is whole, how MDAnalysis gets them, and its times."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.geometry import cell_to_cellpar, cellpar_to_cell

from estag_jax.data.system import DataError
from estag_jax.sources.files import (
    blocks,
    dcd,
    ends,
    hdf5,
    netcdf,
    packages,
    pdb,
    singles,
    stacks,
    text,
    tng,
    xdr,
)
from estag_jax.sources.files.stacks import Stack
from estag_jax.sources.files.timing import Clock, clock, has_time, unknown
from estag_jax.sources.files.topology import mdanalysis_name, unreadable
from estag_jax.sources.files.xyz import read_xyz

AMBER = (".mdcrd", ".crdbox", ".trj")
"""Text trajectories of Amber."""

HISTORY = (".history", ".his")
"""Trajectories of DL_POLY."""


NAMD = (".coor", ".namdbin")
"""Coordinates of NAMD: the number of atoms, and three numbers of 8 bytes for each."""


class Seen(NamedTuple):
    """What a look at a file says before MDAnalysis reads it.

    Args:
      notes: on it.
      believed: whether its time step means something.
      frames: how many begin, or None where the format does not tell.
      times: of its frames [frames], ps, where MDAnalysis does not read them.
      boxes: lengths and angles [frames, 6], where MDAnalysis takes those of frame 0 for all.
      sure: whether a cut would be noticed, of a file of one frame.
    """

    notes: tuple[str, ...] = ()
    believed: bool = True
    frames: int | None = None
    times: np.ndarray | None = None
    boxes: np.ndarray | None = None
    sure: bool = True


def examined(path: Path, suffix: str) -> Seen:
    """Checks that a file of a format is whole."""
    packages.require(path, suffix)
    if suffix not in STACKS:
        text.check_begin(path)
    if suffix == ".dcd":
        believed, notes = dcd.examine(path)
        return Seen(notes, believed)
    if suffix in (".xtc", ".trr"):
        return Seen(xdr.examine(path))
    if suffix == ".tng":
        return Seen(tng.examine(path).notes)
    if suffix in netcdf.SUFFIXES:
        return Seen(netcdf.examine(path))
    if suffix in pdb.SUFFIXES:
        cells, notes = pdb.examine(path, suffix)
        return Seen(notes, frames=len(cells), boxes=cells)
    if suffix in HISTORY:
        history = blocks.examine_history(path)
        return Seen(history.notes, times=history.times)
    if suffix in NAMD:
        with path.open("rb") as file:
            (atoms,) = struct.unpack("<i", file.read(4).ljust(4, b"\0"))
        if path.stat().st_size != 4 + 24 * atoms:
            raise DataError(
                f"{path}: has {path.stat().st_size} bytes, {atoms} atoms take {4 + 24 * atoms}; copy it again"
            )
    form = mdanalysis_name(suffix).lower()
    if form in ("inpcrd", "restrt"):
        with path.open("rb") as file:
            if file.read(3) == b"CDF":
                raise DataError(
                    f"{path}: is a restart in netCDF, one frame; give the trajectory (.nc), or write it as "
                    f"text (ntxo = 1)"
                )
    end = ends.examine(path, form)
    return Seen(end.notes, frames=end.frames, sure=end.sure or form not in singles.EXAMINE)


def load(
    universe: Any, topology: Path, path: Path, suffix: str, folder: Path, stack: Stack | None
) -> Stack | None:
    """Puts a run's coordinates into the universe; returns them where they were read here."""
    from MDAnalysis.coordinates.memory import MemoryReader

    if stack is None and suffix in STACKS:
        stack = STACKS[suffix](path)
    count = len(universe.atoms)
    if stack is not None and stack.positions.shape[1] != count:
        raise _other_atoms(path, stack.positions.shape[1], topology, count)
    try:
        if stack is not None:
            universe.load_new(stack.positions, format=MemoryReader, dimensions=stack.boxes)
            return stack
        if suffix in (".xtc", ".trr"):
            # MDAnalysis keeps an index in the folder of the file, which is the user's.
            link = folder / f"{len(list(folder.iterdir()))}{suffix}"
            link.symlink_to(path.resolve())
            universe.load_new(str(link))
        else:
            if suffix in AMBER:
                _check_first(path, topology, count)
            universe.load_new(str(path), format=mdanalysis_name(suffix))
        if suffix in AMBER:
            _check_lines(path, universe.trajectory, count)
    except DataError:
        raise
    except Exception as error:
        if "same number of atoms" in str(error):
            counts = [int(word) for word in str(error).split() if word.isdecimal()]
            raise _other_atoms(path, counts[-1], topology, counts[0]) from error
        raise unreadable(path, "it as a trajectory", error) from error
    return None


def clock_of(
    path: Path, reader: Any, seen: Seen, stack: Stack | None, times: np.ndarray, given: bool
) -> Clock:
    """What the frames of a run say of the time, in ps."""
    if seen.times is not None:
        return clock(path, seen.times, "ps", given)
    if stack is None:
        return clock(path, times, "ps", given) if has_time(reader) else unknown(len(times))
    if stack.times is None:
        return unknown(len(times))
    one = clock(path, stack.times, stack.unit, given)
    return one if stack.unit == "ps" else one._replace(step=None)


def _check_first(path: Path, topology: Path, atoms: int) -> None:
    """Refuses an Amber text trajectory whose first frame is cut, which its reader cannot be asked about."""
    each = -(-3 * atoms // 10)
    with text.opened(path) as file:
        rows, more = [line.rstrip("\n") for line in islice(file, 1, 1 + each)], file.readline()
    for number, row in enumerate(rows, 2):
        count = min(10, 3 * atoms - 10 * (number - 2))
        words = [row[8 * k : 8 * k + 8].strip() for k in range(-(-len(row.rstrip()) // 8))]
        if len(words) != count or not all(map(singles.is_number, words)) or len(row) < 8 * count:
            why = f"line {number} is {row.strip()[-40:]!r}, expected {count} number(s) of 8 letters"
            break
    else:
        if len(rows) == each and not more.strip():
            raise DataError(
                f"{path}: holds one frame and no box, which MDAnalysis takes for none; write it as .rst7"
            )
        if len(rows) == each:
            return
        why = f"{len(rows)} of its {each} lines are there"
    raise text.damaged(path, 0, f"{why} for the {atoms} atoms of {topology.name}")


def _check_lines(path: Path, reader: Any, atoms: int) -> None:
    """Refuses an Amber text trajectory with lines that belong to no frame: readers drop a cut frame."""
    each = -(-3 * atoms // 10) + (reader.ts.dimensions is not None)
    with text.opened(path) as file:
        widths = [len(line.rstrip()) for line in file][1:]  # without the title
    while widths and not widths[-1]:
        widths.pop()
    lines = len(widths)
    frames, left = divmod(lines, each)
    if not left and widths[-1] < widths[each - 1]:
        frames, left = frames - 1, 1
    if left or frames != len(reader):
        raise DataError(
            f"{path}: has {lines} lines of coordinates, frames have {each}: frame {frames} is cut short; "
            f"copy it again, or save its {frames} whole frames to a new file"
        )


def _other_atoms(path: Path, atoms: int, topology: Path, expected: int) -> DataError:
    return DataError(
        f"{path}: has {atoms} atoms, {topology} has {expected}; give the topology that this trajectory "
        f"was written with"
    )


def _xyz_stack(path: Path) -> Stack:
    """The frames of an XYZ file that a topology stands before."""
    positions, cells = [], []
    for k, (atoms, _) in enumerate(read_xyz(path)):
        positions.append(atoms.positions.astype(np.float32))
        cells.append(atoms.cell.array if atoms.cell.rank == 3 else np.zeros((3, 3)))
        if len(positions[k]) != len(positions[0]):
            raise stacks.other_size(path, k, len(positions[k]), len(positions[0]))
    dimensions = np.array([cell_to_cellpar(cell) if cell.any() else np.zeros(6) for cell in cells])
    again = [cellpar_to_cell(d) if d.any() else np.zeros((3, 3)) for d in dimensions]
    if not np.allclose(again, cells, atol=1e-3):
        raise DataError(f"{path}: its box is not along x; read the file without a topology")
    return Stack(np.array(positions), dimensions, None, "ps")


STACKS: dict[str, Callable[[Path], Stack]] = {
    **stacks.READERS,
    ".xyz": _xyz_stack,
    ".extxyz": _xyz_stack,
    ".gsd": packages.read_gsd,
    ".tng": tng.read_tng,
    **dict.fromkeys((".mmcif", ".cif"), packages.read_mmcif),
    **dict.fromkeys((".h5md", *hdf5.SUFFIXES), hdf5.read_h5md),
}
"""What reads the frames of a run here, by suffix; MDAnalysis reads all others."""
