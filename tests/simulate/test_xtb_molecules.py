"""Simulated trajectories: chemistry of the molecules."""

from __future__ import annotations

from collections import Counter

import ase.io
import numpy as np
import pytest
from ase.build import molecule as ase_molecule
from ase.data import covalent_radii
from helpers.xtb import file_of

from estag_jax.data.graphs import bonds as bonds_by_distance
from estag_jax.simulate import molecules
from estag_jax.simulate.xtb import XtbConfig, read
from estag_jax.sources.files.npz import read_npz

KNOWN = {  # the formula, and the bonds between atoms that are not hydrogen by their order
    "aspirin": ("C9H8O4", {1.5: 6, 2: 2, 1: 5}),
    "benzene": ("C6H6", {1.5: 6}),
    "ethanol": ("C2H6O", {1: 2}),
    "malonaldehyde": ("C3H4O2", {1: 2, 2: 2}),
    "naphthalene": ("C10H8", {1.5: 11}),
    "salicylic": ("C7H6O3", {1.5: 6, 2: 1, 1: 3}),
    "toluene": ("C7H8", {1.5: 6, 1: 1}),
    "uracil": ("C4H4N2O2", {1.5: 6, 2: 2}),
}


@pytest.mark.parametrize("name", molecules.SMILES)
def test_molecules_of_md17(name):
    found = molecules.molecule(name)
    formula, heavy_bonds = KNOWN[name]
    numbers = found.atomic_numbers[found.bonds]
    heavy = (numbers > 1).all(axis=1)
    assert ase.Atoms(found.atomic_numbers).symbols.formula == ase.formula.Formula(formula)
    assert Counter(found.bond_orders[heavy].tolist()) == heavy_bonds
    # The other bonds are one for each hydrogen.
    assert (found.bond_orders[~heavy] == 1).all() and found.bond_orders.dtype == np.float32
    ends = found.bonds[~heavy][numbers[~heavy] == 1]
    assert sorted(ends) == np.flatnonzero(found.atomic_numbers == 1).tolist()


@pytest.mark.parametrize("name", ["ethanol", "uracil"])
def test_relaxed_bonds_are_as_long_as_their_radii(name):
    found = molecules.relaxed(name)
    ends = found.bonds
    lengths = np.linalg.norm(found.positions[ends[:, 0]] - found.positions[ends[:, 1]], axis=1)
    radii = covalent_radii[found.atomic_numbers][ends].sum(axis=1)
    # The radii are those of single bonds; Pauling: a bond of order n is 0.71 Å · log10(n) shorter.
    np.testing.assert_allclose(lengths, radii - 0.71 * np.log10(found.bond_orders), rtol=0.1)
    by_distance = bonds_by_distance(found.positions[None], found.atomic_numbers)
    assert sorted(map(sorted, ends.tolist())) == by_distance.tolist()


def test_trajectory_of_a_smiles(tmp_path):
    config = XtbConfig(3, 2, step=0.4, every=2)
    got = read("C#N", config, tmp_path)
    assert got.positions.shape == (3, 3, 1, 3) and got.positions.dtype == np.float32
    assert Counter(got.names) == Counter("CHN") and got.graph is None
    np.testing.assert_array_equal(got.node_features[:, 0], got.atomic_numbers)
    assert got.bonds.tolist() == [[0, 1], [0, 2]] and got.bond_orders.tolist() == [3, 1]
    assert got.frame_step == pytest.approx(0.8) and got.source == "xtb:C#N"
    assert "simulated, not MD17" in got.provenance and "not MD17" in got.notes[0]
    assert "step 0.4" in got.provenance and "tblite " in got.provenance
    plain = read_npz(file_of(tmp_path))
    np.testing.assert_array_equal(plain.positions, got.positions)
    with np.load(file_of(tmp_path)) as file:
        assert file["E"].shape == (3,) and (-160 < file["E"]).all() and (file["E"] < -100).all()


def test_trajectory_of_a_geometry_and_of_ions(tmp_path):
    water = ase_molecule("H2O")
    ase.io.write(tmp_path / "water.xyz", water)
    got = read(str(tmp_path / "water.xyz"), XtbConfig(2, 0), tmp_path)
    assert got.names == ("O", "H", "H") and got.bonds is None and got.bond_orders is None
    assert file_of(tmp_path).name.startswith("water-")
    water.positions[0, 0] += 0.1  # another geometry under the same name is another run
    ase.io.write(tmp_path / "water.xyz", water)
    read(str(tmp_path / "water.xyz"), XtbConfig(2, 0), tmp_path)
    assert len(list(tmp_path.glob("water-*.npz"))) == 2
    assert read("[NH4+]", XtbConfig(2, 0, charge=1), tmp_path).num_nodes == 5
    assert read("N#N", XtbConfig(2, 0), tmp_path).num_nodes == 2  # no rotation about the bond
