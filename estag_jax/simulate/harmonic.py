"""Harmonic frequencies of a molecule: from the second derivatives of its energy at the minimum."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ase
import numpy as np
from ase import units
from ase.vibrations import Vibrations

from estag_jax.simulate import molecules


def harmonic_frequencies(atoms: ase.Atoms, step: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and modes of M^{-1/2} H M^{-1/2}, H by central differences of the forces (ASE).

    Args:
      atoms: at a minimum, with a calculator.
      step: of the differences in Å.

    Returns:
      Frequencies [3N] in cm⁻¹, ascending, those of translation and rotation near zero and imaginary
      ones negative; modes [3N, N, 3].
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Vibrations(atoms, name=str(Path(folder) / "steps"), delta=step)
        run.run()
        data = run.get_vibrations()
    energies, modes = data.get_energies_and_modes()
    frequencies = np.where(
        np.abs(energies.imag) > np.abs(energies.real), -energies.imag, energies.real
    )
    order = np.argsort(frequencies)
    return frequencies[order] / units.invcm, modes[order]


def of_molecule(name: str, charge: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """:func:`harmonic_frequencies` of a molecule relaxed by GFN2-xTB.

    Args:
      name: a molecule of MD17 ("aspirin"), a SMILES, or the path of an .xyz geometry.
      charge: of the whole molecule, in elementary charges.

    Raises:
      DataError: see simulate.molecules.relaxed; or tblite is not installed.
    """
    with molecules.one_thread():
        found = molecules.relaxed(name, charge)
        atoms = ase.Atoms(found.atomic_numbers, found.positions)
        atoms.calc = molecules.calculator(charge)
        return harmonic_frequencies(atoms)
