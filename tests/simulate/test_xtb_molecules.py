"""Simulated trajectories: chemistry of the molecules, and messages on what is none."""

from __future__ import annotations

import sys
from collections import Counter

import ase.io
import numpy as np
import pytest
from ase.build import molecule as ase_molecule
from ase.data import covalent_radii
from helpers.xtb import SHORT, file_of
from hypothesis import given
from hypothesis import strategies as st

from estag_jax.data.graphs import bonds as bonds_by_distance
from estag_jax.data.system import DataError
from estag_jax.simulate import molecules, xtb
from estag_jax.simulate.settings import MOLECULES
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


@pytest.mark.parametrize("name", MOLECULES)
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
    assert Counter(got.system.names) == Counter("CHN") and got.system.graph is None
    np.testing.assert_array_equal(got.system.inputs("number")[0, :, 0], got.system.atomic_numbers)
    assert got.system.bonds.tolist() == [[0, 1], [0, 2]] and got.system.bond_orders.tolist() == [
        3,
        1,
    ]
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
    assert (
        got.system.names == ("O", "H", "H")
        and got.system.bonds is None
        and got.system.bond_orders is None
    )
    assert file_of(tmp_path).name.startswith("water-")
    water.positions[0, 0] += 0.1  # another geometry under the same name is another run
    ase.io.write(tmp_path / "water.xyz", water)
    read(str(tmp_path / "water.xyz"), XtbConfig(2, 0), tmp_path)
    assert len(list(tmp_path.glob("water-*.npz"))) == 2
    assert read("[NH4+]", XtbConfig(2, 0, charge=1), tmp_path).system.num_nodes == 5
    assert (
        read("N#N", XtbConfig(2, 0), tmp_path).system.num_nodes == 2
    )  # no rotation about the bond


# --- what cannot be simulated or read ---


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("aspirn", {}, "neither .*did you mean 'aspirin'"),
        ("Benzene", {}, "did you mean 'benzene'"),
        ("CC1", {}, "neither .*known are aspirin.*uracil$"),
        ("", {}, "neither .*known are"),
        ("C(C)(C)(C)(C)C", {}, "SMILES: .*atom # 0 C, 5"),
        ("CCO.O", {}, "2 molecules"),
        ("[NH4+]", {}, "charge 1 .*set charge to 1"),
        ("[CH3]", {}, "charge 0 .* 9 electrons"),
        ("[He]", {}, "single atom"),
        ("[UH4]", {}, "atom 0 .* U, .* H to Rn"),
        ("C[C@]12CC[C@@](C)(C1)C2", {}, "no geometry .* seed 0"),
        ("O", dict(step=15.0, temperature=5000.0), r"fails at step \d+ .*lower step"),
        ("[H][H]", dict(temperature=1e5, thermostat="none", seed=1), r"at step \d+ .*hold.* lower"),
    ],
)
def test_what_cannot_be_simulated(tmp_path, name, settings, words):
    with pytest.raises(DataError, match=words) as error:
        read(name, XtbConfig(**dict(frames=300, equilibration=0) | settings), tmp_path)
    assert str(error.value).startswith(f"xtb:{name}: ") and "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.npz"))


def changed(change):
    atoms = ase_molecule("CH3CH2OH")
    change(atoms)
    return atoms


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.positions.__setitem__(4, 9.0), r"first geometry .*hold .*\(s\) 4 and"),
        (lambda x: x.positions.__setitem__(2, x.positions[1]), "atoms 1 and 2 are 0 Å"),
        (lambda x: x.positions.__setitem__(2, np.nan), "atom 2 is not finite"),
        (lambda x: x.positions.__imul__(2.2), "relaxed .*SCF not converged"),
        (lambda x: x.set_pbc(True) or x.set_cell([9, 9, 9]), r"periodic"),
    ],
)
def test_bad_geometries(tmp_path, change, words):
    path = tmp_path / "a.xyz"
    ase.io.write(path, changed(change))
    with pytest.raises(DataError, match=rf"a\.xyz: .*{words}"):
        read(str(path), SHORT, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("", "cannot be read as an XYZ file"),
        ("3\nwater\nO 0 0\n", "cannot be read as an XYZ file"),
        ("2\n\nX 0 0 0\nH 0 0 1\n", "atom 0 .* X"),
    ],
)
def test_bad_files(tmp_path, text, words):
    path = tmp_path / "b.xyz"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=rf"b\.xyz: .*{words}"):
        read(str(path), SHORT, tmp_path)


def test_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(DataError, match=r"RDKit.*pip install 'estag_jax\[xtb"):
        read("O", SHORT, tmp_path)

    def missing(package):
        raise xtb.importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(xtb.importlib.metadata, "version", missing)
    with pytest.raises(DataError, match="needs ase.*pip install"):
        read("O", SHORT, tmp_path)


@given(st.integers(-3, 0))
def test_counts_are_checked(value):
    for name in ("frames", "every"):
        with pytest.raises(ValueError, match=f"xtb {name} is {value}"):
            XtbConfig(**{name: value})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(thermostat="Langevin"), "xtb thermostat.*'Langevin'.*nose-hoover"),
        (dict(equilibration=-1), "xtb equilibration is -1"),
        (dict(temperature=0.0), "xtb temperature is 0.0"),
        (dict(damping=np.inf), "xtb damping is inf"),
        (dict(step=np.nan), "xtb step is nan"),
        (dict(seed=2**31), "xtb seed is 2147483648"),
    ],
)
def test_config_is_checked(settings, words):
    with pytest.raises(ValueError, match=words):
        XtbConfig(**settings)
