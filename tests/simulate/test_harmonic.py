"""Harmonic frequencies against closed forms and, for water, against what is known of GFN2-xTB."""

import ase
import numpy as np
import pytest
from ase import units
from ase.calculators.morse import MorsePotential

from estag_jax.simulate.harmonic import harmonic_frequencies, of_molecule


def test_a_morse_bond_swings_at_the_root_of_its_stiffness():
    """k = 2 ε ρ0² / r0² (ASE's ρ0 = a r0), ω = sqrt(k / μ)."""
    epsilon, rho, length = 4.0, 3.0, 1.2
    atoms = ase.Atoms("CO", [[0, 0, 0], [0.6 * length, 0, 0.8 * length]])
    atoms.calc = MorsePotential(epsilon=epsilon, r0=length, rho0=rho, rcut1=8, rcut2=9)
    one, other = atoms.get_masses()
    omega = np.sqrt(2 * epsilon * rho**2 / length**2 / (one * other / (one + other)))
    frequencies, modes = harmonic_frequencies(atoms, step=2e-3)
    assert frequencies[-1] == pytest.approx(wavenumber(omega), rel=1e-3)
    assert np.abs(frequencies[:5]).max() < 1e-2 * frequencies[-1]
    along = modes[-1] / np.linalg.norm(modes[-1])
    assert abs(abs(along[0] @ [0.6, 0, 0.8]) - np.linalg.norm(along[0])) < 1e-6


def wavenumber(omega):
    """From sqrt(eV / (u Å²)) to cm⁻¹, by SI units."""
    per_second = omega * np.sqrt(units._e / (units._amu * 1e-20))
    return per_second / (2 * np.pi * units._c * 100)


def test_water_by_xtb():
    pytest.importorskip("tblite")
    frequencies, modes = of_molecule("O")
    assert modes.shape == (9, 3, 3)
    bend, *stretches = frequencies[-3:]
    assert 1400 < bend < 1700 and all(3300 < s < 4000 for s in stretches)
