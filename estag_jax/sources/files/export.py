"""Forecasts as files that ASE, OVITO, VMD, MDAnalysis and ``frames.read_frames`` read."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np

from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.system import DataError, System, needed
from estag_jax.data.transform import LENGTHS
from estag_jax.io import write_atomic


def time_key(unit: str) -> str:
    """The name of times in a file: time_fs, time_ps, …"""
    return f"time_{unit.replace(' ', '_')}"


def write_frames(
    path: str | os.PathLike,
    frames: np.ndarray,
    system: System,
    time_step: float,
    time_unit: str,
) -> None:
    """Writes frames in the format of the file's suffix: .pdb, .dcd, or extended XYZ for any other.

    PDB and DCD are in Å; in a DCD the time between frames is kept in ps. Arguments are those of
    :func:`write_extxyz`; samples lie one after the other.

    Raises:
      DataError: the length unit cannot be converted to Å, or MDAnalysis (DCD) is not there.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".pdb", ".dcd"):
        write_extxyz(path, frames, system, time_step, time_unit)
        return
    if system.length_unit not in LENGTHS:
        raise DataError(
            f"{path}: {suffix[1:].upper()} is in Å and the length unit is {system.length_unit!r}, which "
            f"cannot be converted; write .xyz or .npz"
        )
    points = np.asarray(frames, float).reshape(-1, frames.shape[-3] * frames.shape[-2], 3)
    points = points * LENGTHS[system.length_unit]
    if suffix == ".pdb":
        symbols = _symbols(system, frames.shape[-2])
        images = [ase.Atoms(symbols, frame) for frame in points]
        write_atomic(path, lambda to: ase.io.write(to, images, format="proteindatabank"))
        return
    mda = needed("MDAnalysis", f"{path}: DCD", "'estag_jax[md]'")
    seconds = TIME_UNITS.get(time_unit)
    step = time_step if seconds is None else time_step * seconds / TIME_UNITS["ps"]

    def write(partial: Path) -> None:
        count = points.shape[1]
        universe = mda.Universe.empty(count, trajectory=True)
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),  # of no periodic box
            mda.Writer(str(partial), count, format="DCD", dt=step) as writer,
        ):
            for frame in points:
                universe.atoms.positions = frame
                writer.write(universe.atoms)

    write_atomic(path, write)


def write_extxyz(
    path: str | os.PathLike,
    frames: np.ndarray,
    system: System,
    time_step: float,
    time_unit: str,
) -> None:
    """Writes frames as extended XYZ; whole or not at all.

    Nodes that are no atoms get the symbol X; with several channels per node, each is a point. Each
    frame has its number as ``step``, from 1, its time under the key ``time_UNIT``, and ``length_unit``.

    Args:
      path: the file; its folder is made if need be.
      frames: positions [S, N, C, 3]; of K samples [K, S, N, C, 3], which are written one after the other,
        each frame with the number of its ``sample``, from 1.
      system: elements and length unit.
      time_step: time between two frames in ``time_unit``.
      time_unit: "fs", "ps", "s" or "frame".
    """
    symbols = _symbols(system, frames.shape[-2])
    key, images = time_key(time_unit), []
    paths = np.asarray(frames, float).reshape(-1, *frames.shape[-4:])
    for sample, path_frames in enumerate(paths, 1):
        for step, frame in enumerate(path_frames, 1):
            atoms = ase.Atoms(symbols, frame.reshape(-1, 3))
            atoms.info = {"step": step, key: step * time_step, "length_unit": system.length_unit}
            atoms.info |= {"sample": sample} if frames.ndim == 5 else {}
            images.append(atoms)
    write_atomic(path, lambda partial: ase.io.write(partial, images, format="extxyz"))


def _symbols(system: System, channels: int) -> np.ndarray:
    """The atomic number of each point, 0 (X) where nodes are no atoms."""
    numbers = system.atomic_numbers
    return np.repeat(np.zeros(system.num_nodes, int) if numbers is None else numbers, channels)
