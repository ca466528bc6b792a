"""Frames of atoms or of plain points that ASE reads: XYZ, its own trajectories and databases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, compress
from pathlib import Path

import ase.units
import numpy as np
from ase.io import iread
from ase.io.formats import ioformats

from estag_jax import memory
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, cause
from estag_jax.sources.files import boxes, ends, external
from estag_jax.sources.files.blocks import COUNTED, EXAMINE
from estag_jax.sources.files.singles import told_by_formula
from estag_jax.sources.files.stacks import check_names
from estag_jax.sources.files.text import compressed, damaged
from estag_jax.sources.files.timing import (
    Clock,
    chosen_step,
    clock,
    names_of_stretches,
    unknown,
)
from estag_jax.sources.files.xyz import Frame, elements, read_xyz
from estag_jax.sources.options import FileOptions

_NO_CELL = np.zeros((3, 3))


def read_frames(path: Path, form: str, options: FileOptions, report: Report) -> Trajectory:
    """Reads a file of frames; the atoms are the same and in the same order in all of them.

    The time between frames is what the comments say (time_fs, time_ps, …: what ``export.write_extxyz``
    writes), and so are external vectors (up, gravity, field, heading). Where the elements are none, the
    nodes are plain.

    Args:
      path: the file.
      form: ASE's name of its format; extxyz is read here, for any columns and names.
      options: the time between frames, the unit of lengths, and whether to unwrap.
      report: receives the number of frames read; their total is not known before.

    Returns:
      The trajectory, without a graph; positions [frames, N, 1, 3] float64.

    Raises:
      DataError: the file is damaged, or its frames are not of one system.
    """
    cells, about = [], []
    looked = EXAMINE[form](path) if form in EXAMINE else None
    end = ends.examine(path, form)
    frames = read_xyz(path) if form == "extxyz" else _frames(path, form)
    first = next(frames, None)
    if first is None or not len(first.words):
        what = "frames" if first is None else "atoms"
        raise DataError(
            f"{path}: holds zero {what} as {form}; copy or save it again, or name its format (--read.format)"
        )

    # Grows in its place: a list of frames and then their array would take twice the room.
    data = bytearray()
    for k, frame in enumerate(chain([first], frames)):
        _check_same(path, k, frame, first)
        memory.afford(24 * len(first.words) * (k + 1), f"{path}: {k + 1} frames")
        cell = frame.atoms.cell
        known = first.atoms.pbc.any() and cell.array[first.atoms.pbc].any(axis=1).all()
        cells.append(cell.complete().array if known else _NO_CELL)
        about.append(frame.atoms.info)
        report(path.name, k + 1, 0)
        data += frame.atoms.positions.astype(np.float64, copy=False).tobytes()
    positions = np.frombuffer(data, np.float64).reshape(-1, len(first.words), 3)
    if ioformats[form].single:
        ends.refuse_repeated(path, len(first.words))
    if end.frames not in (None, len(positions)):
        raise ends.other_count(path, end.frames, len(positions))
    numbers, notes = elements(path, first.words)
    plain = numbers is None and first.words[0].upper() == "X"
    dates, unit, said = _dates(path, about, options.frame_step is not None)
    stated = (dates.step, unit) if dates.step else end.step or looked
    (step, unit), chosen = chosen_step(path.name, stated, options.frame_step, "fs")
    notes = [*notes, *chosen, *said, *dates.notes, *end.notes]
    sure, said = end.sure or form in EXAMINE or form in COUNTED, ()
    if form == "cif" and len(positions) == 1:
        sure, said = told_by_formula(path, first.words)
        notes += said
    if not sure:
        notes.append(ends.unsure(path, len(positions), len(first.words)))
    atoms, bonds = first.atoms, None
    edges = atoms.cell.lengths()[atoms.pbc]
    spans = boxes.spans(np.stack(cells))
    box = bool(atoms.pbc.any()) and boxes.is_box(edges) and bool(spans[0])
    if box and not spans.all():
        raise damaged(path, int(np.argmin(spans)), "its periodic box spans no volume")
    if box and options.unwrap:
        whole, bonds, said = boxes.without_jumps(
            positions, np.stack(cells), numbers, tuple(atoms.pbc)
        )
        for k, frame in enumerate(whole):
            positions[k] = frame
        notes += said
    if box:
        notes.append(boxes.box_note(bonds is not None, options.unwrap))
    elif atoms.pbc.any():
        notes.append(boxes.placeholder_note(edges))
    trajectory = Trajectory.from_arrays(
        positions if dates.keep.all() else positions[dates.keep],
        vectors=external.of_comments(list(compress(about, dates.keep))),
        atomic_numbers=numbers,
        names=None if plain or numbers is not None else first.words,
        bonds=bonds,
        frame_step=step,
        time_unit=unit,
        length_unit=options.length_unit
        or str(atoms.info.get("length_unit", "unit" if numbers is None else "Å")),
        lengths=dates.lengths,
        run_names=names_of_stretches(path.name, dates.lengths) if len(dates.lengths) > 1 else (),
        source=str(path),
        provenance=f"read from {path.name}, a file that does not say how it came to be",
        notes=tuple(notes),
    )
    return trajectory if box else boxes.with_jumps_noted(trajectory)


def _frames(path: Path, form: str) -> Iterator[Frame]:
    """The frames that ASE reads."""
    count = 0
    try:
        for atoms in iread(str(path), index=":", format=form, do_not_split_by_at_sign=True):
            if form == "castep-md" and "time" in atoms.info:
                atoms.info["time_fs"] = atoms.info.pop("time") / ase.units.fs
            yield Frame(atoms, tuple(atoms.get_chemical_symbols()))
            count += 1
    except Exception as error:  # parsers raise errors of any kind
        if isinstance(error, UnicodeError) and (refused := compressed(path)):
            raise refused from error
        what = f"frame {count} (counted from 0)" if count else "it"
        raise DataError(
            f"{path}: ASE cannot read {what} as {form} ({cause(error)}); is the file whole, and its suffix "
            f"that of its format (--read.format)?"
        ) from error


def _dates(path: Path, about: list[dict], given: bool) -> tuple[Clock, str, tuple[str, ...]]:
    """What the comments say of the time, its unit, and a note."""
    key = next((key for key in about[0] if key.startswith("time_")), None)
    nothing = unknown(len(about))
    if key is None:
        other = next((key for key in about[0] if key.lower() in ("time", "t")), None)
        if other is None or given:
            return nothing, "fs", ()
        note = f"{other}= in {path.name} has no unit and was not used; call it time_fs or time_ps"
        return nothing, "fs", (note,)
    unit = key.removeprefix("time_").replace("_", " ")
    try:
        times = np.array([info[key] for info in about], np.float64)
        first = float(about[0].get("step", 0))
    except (KeyError, ValueError, TypeError):
        note = "the times of the frames were not used: some are missing or no numbers"
        return nothing, unit, (note,)
    # Exact where the first frame is numbered; a difference of two times is not.
    return clock(path, times, unit, given, times[0] / first if first else None), unit, ()


def _check_same(path: Path, k: int, frame: Frame, first: Frame) -> None:
    check_names(path, k, frame.words, first.words)
    if (frame.atoms.pbc != first.atoms.pbc).any():
        raise DataError(
            f"{path}: frame {k} is not periodic along the same axes as frame 0; give frames of one kind"
        )
