"""Energies of frames by GFN2-xTB, and how far they drift."""

from __future__ import annotations

import importlib.util

import ase
import numpy as np
from ase.calculators.calculator import CalculatorError

from estag_jax.data.system import DataError, System
from estag_jax.data.transform import LENGTHS
from estag_jax.simulate import molecules

TENTH = 10
"""The share of the frames at both ends, one over this, that a drift is measured between."""


def potential_energies(frames: np.ndarray, system: System, charge: int = 0) -> np.ndarray:
    """Potential energies by single points [F] in eV; NaN where the calculation does not converge.

    Args:
      frames: positions [F, N, 1, 3] in the system's unit.
      system: all atoms of a molecule.
      charge: of the molecule, in elementary charges.

    Raises:
      DataError: nodes are no atoms, or not all of them; the unit is no length that is known; or tblite is
        not installed.
    """
    refuse(system)
    scale = LENGTHS[system.length_unit]
    found = np.full(len(frames), np.nan)
    with molecules.one_thread():
        for i, frame in enumerate(np.asarray(frames, float)):
            atoms = ase.Atoms(system.atomic_numbers, frame[:, 0] * scale)
            atoms.calc = molecules.calculator(charge)
            try:
                found[i] = atoms.get_potential_energy()
            except CalculatorError:
                continue
    return found


def refuse(system: System) -> None:
    """Raises if a system has no energies.

    Raises:
      DataError: see :func:`potential_energies`.
    """
    if system.atomic_numbers is None or system.channels > 1:
        why = "need atoms, and the nodes are none"
    elif system.hydrogens is not None and np.any(system.hydrogens):
        why = "need all atoms, and hydrogens are left out; train with --read.hydrogens"
    elif system.length_unit not in LENGTHS:
        why = f"need a known unit of length, and it is {system.length_unit!r}"
    elif importlib.util.find_spec("tblite") is None:
        why = "need tblite, which is not installed; pip install 'estag_jax[xtb]'"
    else:
        return
    raise DataError(f"energies by GFN2-xTB {why}")


def drift(energies: np.ndarray) -> float:
    """The mean of the last tenth of the energies [F] less that of the first, without those that are NaN."""
    count = max(1, len(energies) // TENTH)
    ends = [end[np.isfinite(end)] for end in (energies[:count], energies[-count:])]
    return float(ends[1].mean() - ends[0].mean()) if all(map(len, ends)) else np.nan
