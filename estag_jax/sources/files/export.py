"""Forecasts as files that ASE and OVITO read."""

from __future__ import annotations

import os
from pathlib import Path

import ase
import ase.io
import numpy as np

from estag_jax.data.trajectory import Trajectory


def write_extxyz(
    path: str | os.PathLike,
    frames: np.ndarray,
    system: Trajectory,
    time_step: float,
    first_step: int = 1,
) -> None:
    """Writes frames as extended XYZ; whole or not at all.

    Nodes that are no atoms get the symbol X; with several channels per node, each is a point.

    Args:
      path: the file; its folder is made if need be.
      frames: positions [S, N, C, 3].
      system: names and units.
      time_step: time between two frames in the system's unit.
      first_step: number of the first frame, counted from the last known one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = frames.shape[2]
    numbers = system.atomic_numbers
    symbols = np.zeros(system.num_nodes, int) if numbers is None else numbers
    images = []
    for i, frame in enumerate(np.asarray(frames, float)):
        atoms = ase.Atoms(np.repeat(symbols, channels), frame.reshape(-1, 3))
        step = first_step + i
        atoms.info = {"step": step, f"time_{system.time_unit}": round(step * time_step, 9)}
        images.append(atoms)
    partial = path.with_name(path.name + ".partial")
    ase.io.write(partial, images, format="extxyz")
    os.replace(partial, path)
