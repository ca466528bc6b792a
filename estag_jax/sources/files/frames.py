"""Frames of atoms or of plain points that ASE reads: XYZ, its own trajectories and databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, cause
from estag_jax.sources.files import boxes
from estag_jax.sources.files.timing import Step, checked_step, chosen_step
from estag_jax.sources.options import FileOptions


def read_frames(path: Path, form: str, options: FileOptions, report: Report) -> Trajectory:
    """Reads a file of frames; the atoms are the same and in the same order in all of them.

    The time between frames is what ``export.write_extxyz`` wrote, if it did. Where all atoms are X,
    which is no element, they are plain nodes.

    Args:
      path: the file.
      form: ASE's name of its format.
      options: the time between frames, and whether to unwrap.
      report: receives the number of frames read; their total is not known before.

    Returns:
      The trajectory, without a graph; positions [frames, N, 1, 3] float64.

    Raises:
      DataError: the file is damaged, or its frames are not of one system.
    """
    positions, cells, about, first = [], [], [], None
    for k, atoms in enumerate(_frames(path, form)):
        first = atoms if first is None else first
        _check_same(path, k, atoms, first)
        positions.append(atoms.positions)
        cells.append(atoms.cell.complete().array)
        about.append(atoms.info)
        report(path.name, k + 1, 0)
    if first is None or not len(first):
        what = "frames" if first is None else "atoms"
        raise DataError(f"{path}: holds zero {what}; copy or save it again")
    numbers = _elements(path, first.numbers)
    stated, uneven = _stated(path, about, options.frame_step is not None)
    (step, unit), notes = chosen_step(path.name, stated, options.frame_step, "fs")
    notes = [*notes, *uneven]
    edges = first.cell.lengths()[first.pbc]
    box = bool(first.pbc.any() and (edges >= boxes.DEGENERATE).all())
    if box:
        notes.append(boxes.box_note(False, options.unwrap))
    elif first.pbc.any():
        notes.append(boxes.placeholder_note(edges))
    if box and options.unwrap:
        frames = zip(positions, cells, strict=True)
        positions = list(boxes.unwrapped(frames, None, tuple(first.pbc)))
    trajectory = Trajectory.from_arrays(
        np.stack(positions),
        atomic_numbers=numbers,
        frame_step=step,
        time_unit=unit,
        length_unit=str(first.info.get("length_unit", "unit" if numbers is None else "Å")),
        source=str(path),
        provenance=f"read from {path.name}, a file that does not say how it came to be",
        notes=tuple(notes),
    )
    return trajectory if box else boxes.with_jumps_noted(trajectory)


def _frames(path: Path, form: str) -> Iterator[Atoms]:
    count = 0
    try:
        for atoms in iread(str(path), index=":", format=form, do_not_split_by_at_sign=True):
            yield atoms
            count += 1
    except Exception as error:  # parsers raise errors of any kind
        raise DataError(
            f"{path}: ASE cannot read frame {count} (counted from 0) as {form} "
            f"({cause(error)}); is the file whole, and its suffix that of its format?"
        ) from error


def _elements(path: Path, numbers: np.ndarray) -> np.ndarray | None:
    """Atomic numbers [N], or None for plain nodes."""
    if not numbers.any():
        return None
    unknown = np.flatnonzero((numbers < 1) | (numbers > 118))
    if unknown.size:
        raise DataError(
            f"{path}: the element of atom {unknown[0]} is not known (X); leave dummy atoms out"
        )
    return numbers.astype(np.int64)


def _stated(path: Path, about: list[dict], given: bool) -> tuple[Step | None, tuple[str, ...]]:
    """The time between frames by the keys that ``export.write_extxyz`` writes, and a note on it."""
    key = next((key for key in about[0] if key.startswith("time_")), None)
    if key is None:
        return None, ()
    unit = key.removeprefix("time_").replace("_", " ")
    try:
        times = np.array([info[key] for info in about], np.float64)
        first = float(about[0].get("step", 0))
    except (KeyError, ValueError, TypeError):
        return None, ("the times of the frames were not used: some are missing or no numbers",)
    # Exact where the first frame is numbered; a difference of two times is not.
    step = times[0] / first if first else np.diff(times)[0] if len(times) > 1 else np.nan
    step, notes = checked_step(path, float(step), unit, times, given)
    return None if step is None else (step, unit), notes


def _check_same(path: Path, k: int, atoms: Atoms, first: Atoms) -> None:
    if len(atoms) != len(first):
        raise DataError(
            f"{path}: frame {k} has {len(atoms)} atoms, frame 0 has {len(first)}; all frames must "
            f"be of one system"
        )
    other = np.flatnonzero(atoms.numbers != first.numbers)
    if other.size:
        i = other[0]
        raise DataError(
            f"{path}: atom {i} is {atoms[i].symbol} in frame {k} and {first[i].symbol} in frame 0; the "
            f"atoms of all frames must be in the same order"
        )
    if (atoms.pbc != first.pbc).any():
        raise DataError(
            f"{path}: frame {k} is not periodic along the same axes as frame 0; give frames of one kind"
        )
