"""Forecasts as files that ASE, OVITO and ``frames.read_frames`` read."""

from __future__ import annotations

import os

import ase
import ase.io
import numpy as np

from estag_jax.data.system import System
from estag_jax.io import write_atomic


def time_key(unit: str) -> str:
    """The name of times in a file: time_fs, time_ps, …"""
    return f"time_{unit.replace(' ', '_')}"


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
    numbers, (nodes, channels) = system.atomic_numbers, frames.shape[-3:-1]
    symbols = np.repeat(np.zeros(nodes, int) if numbers is None else numbers, channels)
    key, images = time_key(time_unit), []
    paths = np.asarray(frames, float).reshape(-1, *frames.shape[-4:])
    for sample, path_frames in enumerate(paths, 1):
        for step, frame in enumerate(path_frames, 1):
            atoms = ase.Atoms(symbols, frame.reshape(-1, 3))
            atoms.info = {"step": step, key: step * time_step, "length_unit": system.length_unit}
            atoms.info |= {"sample": sample} if frames.ndim == 5 else {}
            images.append(atoms)
    write_atomic(path, lambda partial: ase.io.write(partial, images, format="extxyz"))
