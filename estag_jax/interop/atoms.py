"""Forecasts from and as ``ase.Atoms``."""

from __future__ import annotations

from collections.abc import Sequence

import ase
import jax
import numpy as np
from ase.data import chemical_symbols

from estag_jax.data.system import DataError
from estag_jax.models.forecaster import Forecaster
from estag_jax.sources.files import external
from estag_jax.sources.files.boxes import unwrapped
from estag_jax.sources.files.export import time_key

_OF_A_MOMENT = ("momenta", "forces", "velocities")
"""Arrays of Atoms that belong to one frame, not to the atoms."""


def extend(
    frames: Sequence[ase.Atoms],
    forecaster: Forecaster,
    steps: int = 100,
    *,
    frame_step: float | None = None,
) -> list[ase.Atoms]:
    """Continues a trajectory from its last frames by a rollout.

    Atoms must be the forecaster's in number, element and order; hydrogens are left out where it was
    fitted without them. In a periodic cell, jumps across the boundary are removed. External vectors that the
    forecast looks at are those of the last frame's info (up, gravity, field, heading), else the system's.

    Args:
      frames: a trajectory, oldest first, ``forecaster.frame_step`` apart.
      forecaster: of this system.
      steps: frames to forecast.
      frame_step: time between the frames in ``forecaster.time_unit``; None takes the time that they
        carry as ``info["time_UNIT"]`` (files of ``estag rollout`` do), or trusts them. Frames that are
        ``forecaster.time_step`` apart, such as forecasts, are taken one by one.

    Returns:
      ``steps`` frames, ``forecaster.time_step`` apart, with cell, pbc and info of the last one.

    Raises:
      DataError: other atoms, too few frames, or another time step or unit of length.
      ValueError: the forecaster does not look one step ahead.
    """
    frames = list(frames)
    every = _stride(frames, forecaster, frame_step)
    need = (forecaster.past - 1) * every + 1
    if len(frames) < need:
        raise DataError(
            f"a history needs {need} frames (T={forecaster.past}, every {every}), there are {len(frames)}"
        )
    used = [
        _matched(atoms, forecaster, len(frames) - need + i)
        for i, atoms in enumerate(frames[-need:])
    ]
    positions = [atoms.get_positions() for atoms in used]
    if used[-1].pbc.any():
        cells = (np.asarray(atoms.cell.complete()) for atoms in used)
        bonds = forecaster.system.bonds
        positions = list(unwrapped(zip(positions, cells, strict=True), bonds, used[-1].pbc))
    system = forecaster.system
    history = np.stack(positions[::every]).reshape(-1, system.num_nodes, system.channels, 3)
    known = external.of_comments([used[-1].info])
    vectors = {name: known[name] for name in forecaster.predictor.vectors if name in known}
    roll = jax.jit(lambda f, h, v: f.rollout(h, steps, vectors=v))
    path = np.asarray(roll(forecaster, np.moveaxis(history, 0, 1), vectors))
    return as_atoms(path, forecaster, like=used[-1])


def as_atoms(
    positions: np.ndarray, forecaster: Forecaster, like: ase.Atoms | None = None
) -> list[ase.Atoms]:
    """Forecast frames as Atoms.

    Each has its time after the first history as ``info["time_UNIT"]``, going on from that of ``like``.

    Args:
      positions: of successive forecasts [S, N, C, 3]; with several channels each is an atom.
      forecaster: what forecast them.
      like: whose cell, pbc, info, constraints and atoms they take over; its momenta and forces are
        left out. None for the elements alone.

    Returns:
      S frames.

    Raises:
      DataError: ``like`` has other atoms.
    """
    like = ase.Atoms(_numbers(forecaster)) if like is None else _matched(like, forecaster)
    key, images = time_key(forecaster.time_unit), []
    begin = float(like.info.get(key, 0.0))
    for step, frame in enumerate(np.asarray(positions, float), 1):
        atoms = like.copy()
        for name in _OF_A_MOMENT:
            atoms.arrays.pop(name, None)
        atoms.positions[:] = frame.reshape(-1, 3)
        atoms.info[key] = begin + step * forecaster.time_step
        atoms.info["length_unit"] = forecaster.system.length_unit
        images.append(atoms)
    return images


def _numbers(forecaster: Forecaster) -> np.ndarray:
    system = forecaster.system
    numbers = system.atomic_numbers
    numbers = np.zeros(system.num_nodes, int) if numbers is None else np.asarray(numbers)
    return np.repeat(numbers, system.channels)


def _matched(atoms: ase.Atoms, forecaster: Forecaster, frame: int = 0) -> ase.Atoms:
    """The atoms that the forecaster knows; ``frame`` is for messages."""
    numbers, given = _numbers(forecaster), atoms.numbers
    if len(given) != len(numbers) and 1 not in numbers:
        atoms = atoms[given != 1]
        given = atoms.numbers
    if len(given) != len(numbers):
        raise DataError(
            f"frame {frame}: has {len(given)} atoms, the forecaster's system has {len(numbers)}"
        )
    wrong = np.flatnonzero(given != numbers)
    if forecaster.system.atomic_numbers is not None and wrong.size:
        i = wrong[0]
        order = sorted(given) == sorted(numbers)
        raise DataError(
            f"frame {frame}: atom {i} is {chemical_symbols[given[i]]}, the forecaster's is "
            f"{chemical_symbols[numbers[i]]}{'; put the atoms into its order' if order else ''}"
        )
    unit = atoms.info.get("length_unit", forecaster.system.length_unit)
    if unit != forecaster.system.length_unit:
        raise DataError(
            f"frame {frame}: is in {unit}, the forecaster in {forecaster.system.length_unit}; convert it"
        )
    return atoms


def _stride(frames: Sequence[ase.Atoms], forecaster: Forecaster, frame_step: float | None) -> int:
    """How many frames to go on from one of a history to the next: Δ, or 1 where they are Δ apart."""
    times = [atoms.info.get(time_key(forecaster.time_unit)) for atoms in frames[-2:]]
    if frame_step is None and len(times) == 2 and None not in times:
        frame_step = float(times[1]) - float(times[0])
    for step, every in (
        (forecaster.frame_step, forecaster.window.delta),
        (forecaster.time_step, 1),
    ):
        if frame_step is None or abs(frame_step - step) <= 1e-3 * step:
            return every
    unit = forecaster.time_unit
    raise DataError(
        f"frames are {frame_step:g} {unit} apart, the forecaster knows {forecaster.frame_step:g} and "
        f"{forecaster.time_step:g} {unit}; take every n-th frame, or say frame_step"
    )
