"""Any file of the user's: numpy archives, what ASE reads, and what MDAnalysis reads."""

from __future__ import annotations

from pathlib import Path

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, silent
from estag_jax.sources.files.frames import read_frames
from estag_jax.sources.files.npz import read_npz
from estag_jax.sources.files.universes import format_suffix, read_universe
from estag_jax.sources.options import FileOptions

NUMPY = (".npz", ".npy")
"""Suffixes of what ``npz.read_npz`` reads."""

ASE_FORMATS = {".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj", ".db": "db"}
"""ASE's name of a format, by suffix; a single file with any other suffix is for MDAnalysis."""

PICKLES = (".pkl", ".pickle", ".pckl")


def read(spec: str, options: FileOptions, report: Report = silent) -> Trajectory:
    """Reads one file, or a topology and the trajectories of independent runs of that system.

    Args:
      spec: PATH, or TOPOLOGY,TRAJECTORY[,TRAJECTORY…] in formats of MDAnalysis.
      options: what to keep, what a node is, and the time between frames.
      report: receives the number of frames read.

    Returns:
      The trajectory, without a graph.

    Raises:
      DataError: a file is missing, damaged or of another kind, or an option has no effect on it.
    """
    paths = [Path(part.strip()) for part in ([spec] if Path(spec).exists() else spec.split(","))]
    for path in paths:
        _check_path(path)
    first = paths[0]
    suffix = format_suffix(first)
    if len(paths) > 1 or suffix not in (*NUMPY, *ASE_FORMATS):
        return read_universe(first, paths[1:], options, report)
    for name in ("select", "nodes", *(("unwrap",) if suffix in NUMPY else ())):
        if getattr(options, name) != getattr(FileOptions(), name):
            raise DataError(
                f"read {name} has no effect on {first}; leave it out (select and nodes are for files of "
                f"a topology that MDAnalysis reads, such as TOPOLOGY.psf,TRAJECTORY.dcd)"
            )
    if suffix in NUMPY:
        return read_npz(first, options.frame_step)
    return read_frames(first, ASE_FORMATS[suffix], options, report)


def _check_path(path: Path) -> None:
    if path.name == "" or not path.exists():
        raise DataError(
            f"{str(path)!r}: there is no such file; expected is PATH or TOPOLOGY,TRAJECTORY"
        )
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; copy or save it again")
    if format_suffix(path) in PICKLES:
        raise DataError(
            f"{path}: pickled files are refused because loading them can run any code; save plain "
            f"arrays of numbers as .npz"
        )
