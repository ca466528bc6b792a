"""Any file of the user's: numpy archives, motion capture, what ASE reads, and what MDAnalysis reads."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from ase.io.formats import ioformats

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, did_you_mean, silent
from estag_jax.sources.files import hdf5, keys, motion, netcdf, packages, text
from estag_jax.sources.files.frames import read_frames
from estag_jax.sources.files.npz import read_npz
from estag_jax.sources.files.topology import (
    OWN_NAMES,
    format_suffix,
    guess,
    known_to_mdanalysis,
    unknown_format,
)
from estag_jax.sources.files.universes import read_universe
from estag_jax.sources.options import FileOptions

NUMPY = (".npz", ".npy")
"""Suffixes of what ``npz.read_npz`` reads."""

ASE_FORMATS = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".traj": "traj",
    ".db": "db",
    ".poscar": "vasp",
    ".contcar": "vasp",
    ".xdatcar": "vasp-xdatcar",
    ".outcar": "vasp-out",
    ".vasprun.xml": "vasp-xml",
    ".cif": "cif",
    ".geometry.in": "aims",
    ".fhiaims": "aims",
}
"""ASE's name of a format, by suffix or by the name of the file; others are for MDAnalysis first."""

ASE_NAMES = (
    "vasp",
    "vasp-out",
    "vasp-xdatcar",
    "vasp-xml",
    "siesta-xv",
    "elk",
    "exciting",
    "turbomole",
)
"""Formats of ASE's whose files are called by them, whatever their suffix (run1_vasprun.xml)."""

BINARY = (
    *(".xtc", ".trr", ".dcd", ".gsd", ".tng", ".traj", ".db", ".h5", ".hdf5", ".h5md"),
    *netcdf.SUFFIXES,
    *NUMPY,
)
"""Formats that are not read from compressed files."""

ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")

PICKLES = (".pkl", ".pickle", ".pckl")

FOREIGN = {
    b"version https://git-lfs": "is a pointer to the file in Git LFS; fetch the file (git lfs pull)",
    b"<!doctype html": "is a page of the web, as a download leaves that fails; get the file again",
    b"<html": "is a page of the web, as a download leaves that fails; get the file again",
    b"pathfiletype": "is motion capture in a format that is not read; save positions [frames, N, 3] as .npz",
    b"\xff\xfe": "is text in UTF-16, as PowerShell writes it; save it as UTF-8",
}
"""How files begin, in lower case, that stand where another should, and what to do."""

MOTION: dict[str, Callable] = {
    ".asf": motion.read_acclaim,
    ".amc": motion.read_acclaim,
    ".bvh": motion.read_bvh,
}


def read(spec: str, options: FileOptions, report: Report = silent) -> Trajectory:
    """Reads one file, or a topology and the trajectories of independent runs of that system.

    Args:
      spec: PATH, or TOPOLOGY,TRAJECTORY[,TRAJECTORY…] in formats of MDAnalysis, or a skeleton and its
        motions (.asf,.amc). A comma in the name of a file that is there is no separator.
      options: what to keep, what a node is, and the time between frames.
      report: receives the number of frames read.

    Returns:
      The trajectory, without a graph.

    Raises:
      DataError: a file is missing, damaged or of another kind, or an option has no effect on it.
    """
    paths = paths_of(spec)
    if options.length_unit:
        unit = keys.length_unit(options.length_unit)
        options = dataclasses.replace(options, length_unit=unit)
    trajectory = _read(spec, paths, options, report)
    notes = [text.check_end(path) for path in paths if format_suffix(path) not in BINARY]
    return trajectory.changed(notes=(*trajectory.notes, *filter(None, notes)))


def _read(spec: str, paths: list[Path], options: FileOptions, report: Report) -> Trajectory:
    """The trajectory, by the reader of its format."""
    first = paths[0]
    form = options.format.lower().lstrip(".")
    form = OWN_NAMES.get(form, form)
    options = dataclasses.replace(options, format=form)
    suffix = f".{form}" if form else format_suffix(first)
    if any(format_suffix(path) in NUMPY for path in paths) and len(paths) > 1:
        raise DataError(
            f"{spec}: a file of numpy's is read by itself; put runs of one system into one file, with a key "
            f"lengths, and name different systems behind --data one by one"
        )
    if suffix in MOTION:
        _refuse(first, options, "format", "axes", "select", "nodes", "unwrap")
        return MOTION[suffix](paths, options)
    if suffix in NUMPY and len(paths) == 1:
        _refuse(first, options, "select", "nodes")
        return read_npz(first, options)
    _refuse(first, options, "axes")
    if suffix in hdf5.SUFFIXES and len(paths) == 1:
        _refuse(first, options, "select", "nodes")
        return hdf5.read_hdf5(first, options)
    ase_format = None if len(paths) > 1 else _ase_format(first, suffix, form)
    if ase_format is None:
        return read_universe(first, paths[1:], options, report)
    _refuse(first, options, "select", "nodes")
    with warnings.catch_warnings(action="ignore"):  # of programs that are missing, of ASE's changes
        return read_frames(first, ase_format, options, report)


def paths_of(spec: str) -> list[Path]:
    """The files that are named; of names with commas the longest that is there is taken.

    Raises:
      DataError: one is not there, or is none that is read.
    """
    parts, paths = spec.split(","), []
    while parts:
        joined = (",".join(parts[:k]) for k in range(len(parts), 1, -1))
        name = next((n for n in joined if n.strip() and Path(n.strip()).is_file()), parts[0])
        name = name if Path(name).is_file() else name.strip()  # blanks beside commas
        if not name:
            raise DataError(f"{spec!r}: there is no such file; a name is missing beside a comma")
        paths.append(Path(name))
        parts = parts[name.count(",") + 1 :]
    for path in paths:
        _check_path(path)
    if twice := next((path for k, path in enumerate(paths[1:], 1) if path in paths[1:k]), None):
        raise DataError(f"{twice}: is named twice; windows of the test would be trained on")
    return paths


def _ase_format(path: Path, suffix: str, form: str) -> str | None:
    """ASE's name of the format, or None where MDAnalysis reads it.

    Raises:
      DataError: neither knows it.
    """
    if suffix == ".cif" and packages.is_mmcif(path):
        return None
    if suffix in ASE_FORMATS:
        return ASE_FORMATS[suffix]
    if form in ioformats:
        return form
    called = any(
        fnmatchcase(path.name, glob) for name in ASE_NAMES for glob in ioformats[name].globs
    )
    if known_to_mdanalysis(suffix) and (form or suffix != ".in" and not called):
        return None
    if form:
        raise DataError(
            f"{path}: read format is {form!r}, which neither ASE nor MDAnalysis has"
            f"{did_you_mean(form, (*ioformats, *ASE_FORMATS, 'xyz', 'pdb'))}"
        )
    guessed = guess(path)
    if guessed is None:
        raise unknown_format(path)
    return guessed


def _refuse(path: Path, options: FileOptions, *names: str) -> None:
    """Refuses options that have no effect on a file."""
    for name in names:
        if getattr(options, name) != getattr(FileOptions(), name):
            about = {
                "select": " (select and nodes are for files of a topology that MDAnalysis reads, such as "
                "TOPOLOGY.psf,TRAJECTORY.dcd)",
                "axes": " (axes is for arrays of .npz and .npy)",
            }
            about["nodes"] = about["select"]
            raise DataError(
                f"read {name} has no effect on {path}; leave it out{about.get(name, '')}"
            )


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file in it")
    if not path.exists():
        raise DataError(
            f"{str(path)!r}: there is no such file; expected is PATH or TOPOLOGY,TRAJECTORY"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; copy or save it again")
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:  # its reader says what is wrong
        head = file.read(64).lower()
    for begin, what in FOREIGN.items():
        if head.lstrip().startswith(begin):
            raise DataError(f"{path}: {what}")
    if format_suffix(path) in BINARY and (refused := text.compressed(path)):
        raise refused
    if format_suffix(path) in ARCHIVES:
        raise DataError(f"{path}: is an archive; unpack it and name the file in it")
    if format_suffix(path) in PICKLES:
        raise DataError(
            f"{path}: pickled files are refused because loading them can run any code; save plain "
            f"arrays of numbers as .npz"
        )
