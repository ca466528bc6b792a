"""Any file of the user's: numpy archives, what ASE reads, and what MDAnalysis reads."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from estag_jax.data.trajectory import DataError, Trajectory
from estag_jax.sources.files.boxes import DEGENERATE, jump_note, unwrapped
from estag_jax.sources.files.npz import read_npz
from estag_jax.sources.files.universes import read_universe

NUMPY = (".npz", ".npy")
"""Suffixes of what ``npz.read_npz`` reads."""

ASE_FORMATS = {".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj", ".db": "db"}
"""ASE's name of a format, by suffix; a single file with any other suffix is for MDAnalysis."""

PICKLES = (".pkl", ".pickle", ".pckl")


def read(
    spec: str,
    *,
    select: str = "",
    nodes: Literal["atoms", "residues"] = "atoms",
    frame_step: float | None = None,
    unwrap: bool = True,
    progress: bool = True,
) -> Trajectory:
    """Reads one file, or a topology and the trajectories of independent runs of that system.

    Args:
      spec: PATH, or TOPOLOGY,TRAJECTORY[,TRAJECTORY…] in formats of MDAnalysis.
      select: atoms to keep, in MDAnalysis' selection language; "" keeps all.
      nodes: "atoms", or "residues" with four channels N, CA, C, O.
      frame_step: time between frames, in the unit of the file (ps for MDAnalysis, fs for npz); it
        goes before what the file says, but not before the dt_fs of an npz file.
      unwrap: make molecules whole and take jumps across the periodic box out.
      progress: show a progress bar on stderr, if that is a terminal.

    Returns:
      The trajectory, without a graph.

    Raises:
      DataError: a file is missing, damaged or of another kind, or an option has no effect on it.
    """
    paths = [Path(part.strip()) for part in ([spec] if Path(spec).exists() else spec.split(","))]
    for path in paths:
        _check_path(path)
    first = paths[0]
    suffix = _suffix(first)
    if len(paths) == 1 and suffix in (*NUMPY, *ASE_FORMATS):
        for option, value in (("select", select), ("nodes", nodes if nodes != "atoms" else "")):
            if value:
                raise DataError(
                    f"{first}: {option} {value!r} is for files of a topology that MDAnalysis reads, "
                    f"such as TOPOLOGY.psf,TRAJECTORY.dcd; leave it out"
                )
        if suffix in NUMPY:
            return read_npz(first, frame_step=frame_step)
        return _read_ase(first, ASE_FORMATS[suffix], frame_step, unwrap, _bar(progress))
    return read_universe(
        first,
        paths[1:],
        select=select,
        nodes=nodes,
        frame_step=frame_step,
        unwrap=unwrap,
        bar=_bar(progress),
    )


def _check_path(path: Path) -> None:
    if path.name == "" or not path.exists():
        raise DataError(
            f"{str(path)!r}: there is no such file; expected is PATH or TOPOLOGY,TRAJECTORY"
        )
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; copy or save it again")
    if _suffix(path) in PICKLES:
        raise DataError(
            f"{path}: pickled files are refused because loading them can run any code; save plain "
            f"arrays of numbers as .npz"
        )


def _suffix(path: Path) -> str:
    """That of the format, in lower case, without one of compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] in ([".gz"], [".bz2"]):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_ase(
    path: Path, form: str, frame_step: float | None, unwrap: bool, bar: Callable
) -> Trajectory:
    """Frames of a file that ASE reads; the atoms are the same and in the same order in all of them."""
    positions, cells = [], []
    first = None
    with bar(path.name, None) as advance:
        for k, atoms in enumerate(_ase_frames(path, form)):
            if first is None:
                first = atoms
                _check_elements(path, atoms.numbers)
            _check_same(path, k, atoms, first)
            positions.append(atoms.positions)
            cells.append(atoms.cell.complete().array)
            advance()
    if first is None:
        raise DataError(f"{path}: holds zero frames; copy or save it again")
    symbols, notes = tuple(first.get_chemical_symbols()), []
    lengths = first.cell.lengths()[first.pbc]
    if not first.pbc.any():
        box = False
    elif not (lengths >= DEGENERATE).all():
        shown = " × ".join(f"{edge:g}" for edge in lengths)
        notes.append(f"the periodic box of {shown} Å is a placeholder and was not used")
        box = False
    else:
        box = True
    if box and unwrap:
        frames = list(unwrapped(zip(positions, cells, strict=True), None, tuple(first.pbc)))
        notes.append(
            "unwrapped: jumps across the periodic box removed; the file has no bonds to make molecules "
            "whole by, they are taken to be whole in frame 0"
        )
    else:
        frames = positions
        if box:
            notes.append("the periodic box was left as it is: atoms may jump across it")
    stacked = np.stack(frames)[:, :, None]
    if not box and (note := jump_note(stacked, [len(stacked)], symbols, [path.name])):
        notes.append(note)
    return Trajectory(
        positions=stacked,
        node_features=first.numbers[:, None].astype(np.float32),
        names=symbols,
        atomic_numbers=first.numbers.astype(np.int64),
        frame_step=1.0 if frame_step is None else frame_step,
        time_unit="frame",
        source=str(path),
        provenance=f"read from {path.name}, a file that does not say how it came to be",
        notes=(f"{path.name} does not give the time between frames", *notes),
    )


def _ase_frames(path: Path, form: str) -> Iterator:
    """ASE's Atoms of every frame."""
    from ase.io import iread

    count = 0
    try:
        for atoms in iread(str(path), index=":", format=form, do_not_split_by_at_sign=True):
            yield atoms
            count += 1
    except Exception as error:  # parsers raise whatever they meet
        cause = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: ASE cannot read frame {count} (counted from 0) as {form} "
            f"({type(error).__name__}: {cause}); is the file whole, and its suffix that of its format?"
        ) from error


def _check_elements(path: Path, numbers: np.ndarray) -> None:
    unknown = np.flatnonzero((numbers < 1) | (numbers > 118))
    if unknown.size:
        raise DataError(
            f"{path}: the element of atom {unknown[0]} is not known (X); leave dummy atoms out"
        )


def _check_same(path: Path, k: int, atoms, first) -> None:
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


def _bar(progress: bool) -> Callable:
    """Shows frames on a terminal as they are read."""

    @contextlib.contextmanager
    def bar(name: str, total: int | None) -> Iterator[Callable[[], None]]:
        from rich.console import Console
        from rich.progress import Progress

        shown = progress and sys.stderr.isatty()
        with Progress(console=Console(stderr=True), disable=not shown, transient=True) as display:
            task = display.add_task(name, total=total)
            yield lambda: display.advance(task)

    return bar
