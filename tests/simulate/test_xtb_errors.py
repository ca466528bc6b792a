"""Simulated trajectories: messages on what cannot be simulated or read."""

from __future__ import annotations

import sys

import ase.io
import numpy as np
import pytest
from ase.build import molecule as ase_molecule
from helpers.xtb import SHORT
from hypothesis import given
from hypothesis import strategies as st

from estag_jax.data.trajectory import DataError
from estag_jax.simulate import xtb
from estag_jax.simulate.xtb import XtbConfig, read


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        (
            "aspirn",
            {},
            r"neither .* name nor a SMILES nor an .xyz file; did you mean xtb:aspirin\?",
        ),
        ("Benzene", {}, r"did you mean xtb:benzene\?"),
        ("CC1", {}, r"neither .*; known are aspirin, benzene"),
        ("", {}, r"neither .*; known are"),
        ("C(C)(C)(C)(C)C", {}, r"no molecule has this SMILES: .*atom # 0 C, 5"),
        ("CCO.O", {}, r"these are 2 molecules"),
        ("[NH4+]", {}, r"have charge 1 in all, but charge is 0; set charge to 1"),
        ("[CH3]", {}, r"with charge 0 there are 9 electrons, .*even number"),
        ("[He]", {}, r"a single atom"),
        ("[UH4]", {}, r"atom 0 \(counted from 0\) is U, but GFN2-xTB covers H to Rn"),
        ("C[C@]12CC[C@@](C)(C1)C2", {}, r"RDKit finds no geometry .* with seed 0; try"),
        ("O", dict(step=15.0, temperature=5000.0), r"GFN2-xTB fails at step \d+ \(.*lower step"),
        (
            "[H][H]",
            dict(temperature=1e5, thermostat="none", seed=1),
            r"at step \d+ the atoms do not hold .* lower",
        ),
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
        (
            lambda x: x.positions.__setitem__(4, 9.0),
            r"first geometry .* hold together: .*\(s\) 4 and",
        ),
        (lambda x: x.positions.__setitem__(2, x.positions[1]), r"atoms 1 and 2 are 0 Å from"),
        (lambda x: x.positions.__setitem__(2, np.nan), r"position of atom 2 is not finite"),
        (lambda x: x.positions.__imul__(2.2), r"fails while .* relaxed \(.*SCF not converged"),
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
        (None, "there is no such file"),
        ("", "cannot be read as an XYZ file"),
        ("3\nwater\nO 0 0\n", "cannot be read as an XYZ file"),
        ("2\n\nX 0 0 0\nH 0 0 1\n", "atom 0 .* is X, but"),
    ],
)
def test_bad_files(tmp_path, text, words):
    path = tmp_path / "b.xyz"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=rf"b\.xyz: {words}"):
        read(str(path), SHORT, tmp_path)


def test_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(DataError, match=r"RDKit, which is not installed; pip install 'estag_jax\["):
        read("O", SHORT, tmp_path)

    def missing(package):
        raise xtb.importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(xtb.importlib.metadata, "version", missing)
    with pytest.raises(DataError, match=r"needs ase, which is not installed; pip install"):
        read("O", SHORT, tmp_path)


@given(st.integers(-3, 0))
def test_counts_are_checked(value):
    for name in ("frames", "every"):
        with pytest.raises(ValueError, match=f"xtb {name} is {value}, it must be 1 or more"):
            XtbConfig(**{name: value})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(thermostat="Langevin"), "xtb thermostat is 'Langevin', expected one of nose-hoover"),
        (dict(equilibration=-1), "xtb equilibration is -1"),
        (dict(temperature=0.0), "xtb temperature is 0.0, it must be positive and finite"),
        (dict(damping=np.inf), "xtb damping is inf"),
        (dict(step=np.nan), "xtb step is nan"),
        (dict(seed=2**31), "xtb seed is 2147483648"),
    ],
)
def test_config_is_checked(settings, words):
    with pytest.raises(ValueError, match=words):
        XtbConfig(**settings)
