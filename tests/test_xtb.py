"""Simulated trajectories: physics, chemistry of the molecules, resumed runs and messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import molecule as ase_molecule
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from hypothesis import given
from hypothesis import strategies as st

from estag_jax.data.files.npz import read_npz
from estag_jax.data.graphs import bonds as bonds_by_distance
from estag_jax.data.sources import molecules, xtb
from estag_jax.data.sources.xtb import XtbConfig, read
from estag_jax.data.trajectory import DataError

for package in ("tblite", "rdkit"):
    pytest.importorskip(package, reason="needs the extra xtb (pip install 'estag_jax[xtb]')")

SHORT = XtbConfig(frames=40, equilibration=10)


@pytest.fixture
def chunks_of_8(monkeypatch):
    monkeypatch.setattr(xtb, "CHUNK", 8)


def file_of(cache):
    (path,) = cache.glob("*.npz")
    return path


def mechanics(trajectory, step):
    """Kinetic energy [frames - 2] eV, momentum and angular momentum [frames - 2, 3] by differences.

    Central differences are the very velocities of velocity Verlet.
    """
    positions = trajectory.positions[:, :, 0].astype(np.float64)
    velocities = (positions[2:] - positions[:-2]) / (2 * step * units.fs)
    masses = ase.Atoms(trajectory.atomic_numbers).get_masses()[:, None]
    momenta = masses * velocities
    energy = (momenta * velocities).sum((1, 2)) / 2
    return energy, momenta.sum(1), np.cross(positions[1:-1], momenta).sum(1)


# --- physics ---


def test_energy_is_conserved_to_second_order_in_the_step(tmp_path):
    spread = []
    for step in (0.25, 0.5, 1.0):
        config = XtbConfig(int(60 / step), int(10 / step), thermostat="none", step=step)
        cache = tmp_path / str(step)
        kinetic, momentum, spin = mechanics(read("ethanol", config, cache), step)
        total = kinetic + np.load(file_of(cache))["E"][1:-1]
        spread.append(total.std())
        assert np.ptp(kinetic) > 0.1 and total.std() < 0.05 * kinetic.std()
        # Limits are the rounding of float32 positions; thermal momenta are of the order 1.
        assert np.abs(momentum).max() < 1e-3 and np.abs(spin).max() < 1e-3
    assert 3 < spread[1] / spread[0] < 5 and 3 < spread[2] / spread[1] < 5


@pytest.mark.parametrize(
    ("thermostat", "name", "free"), [("nose-hoover", "O", 3), ("langevin", "O", 6)]
)
def test_temperature(tmp_path, thermostat, name, free):
    # Water shows whether only free degrees of freedom are heated: 3 of 9, a factor of three.
    config = XtbConfig(1200, 300, temperature=400, thermostat=thermostat, damping=15, seed=1)
    kinetic, momentum, _ = mechanics(read(name, config, tmp_path), 0.5)
    assert 2 * kinetic.mean() / (free * units.kB) == pytest.approx(400, rel=0.3)
    assert np.abs(momentum).max() < 1e-3


@pytest.mark.parametrize("thermostat", ["nose-hoover", "langevin", "none"])
def test_chunks_leave_the_dynamics_as_they_are(tmp_path, chunks_of_8, thermostat):
    """Against ASE in one go: a thermostat that forgets its state at a chunk's end would differ."""
    config = XtbConfig(64, 0, thermostat=thermostat, damping=5)
    got = read("O", config, tmp_path).positions[:, :, 0]
    state = xtb._start("O", config)
    atoms = ase.Atoms(state["z"], state["positions"], momenta=state["momenta"])
    atoms.calc = molecules.calculator(0)
    dynamics, _ = xtb._dynamics(atoms, config, 0)
    kind = {"nose-hoover": NoseHooverChainNVT, "langevin": Langevin}.get(thermostat, object)
    assert isinstance(dynamics, kind)
    if thermostat == "langevin":  # whose noise comes anew with each chunk
        first = [dynamics.run(1) and atoms.positions.copy() for _ in range(8)]
        np.testing.assert_allclose(got[:8], first, atol=1e-6)
        return
    expected = [dynamics.run(1) and atoms.positions.copy() for _ in range(64)]
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_langevin_noise_differs_between_chunks(monkeypatch):
    config = XtbConfig(thermostat="langevin")
    atoms = ase_molecule("H2O")
    draws = [xtb._dynamics(atoms, config, i)[0].rng.normal() for i in range(3)]
    assert len({*draws, np.random.default_rng(0).normal()}) == 4


def test_seed_and_every(tmp_path):
    one = read("O", SHORT, tmp_path / "a")
    again = read("O", SHORT, tmp_path / "b")
    np.testing.assert_array_equal(one.positions, again.positions)
    other = read("O", XtbConfig(40, 10, seed=1), tmp_path / "a")
    assert np.abs(one.positions - other.positions).max() > 1e-3
    thinned = read("O", XtbConfig(8, 10, every=5), tmp_path / "a")
    np.testing.assert_array_equal(thinned.positions, one.positions[4::5])
    assert thinned.frame_step == 2.5 and thinned.time_unit == "fs"


# --- interrupted runs and the cache ---


@pytest.mark.parametrize("thermostat", ["nose-hoover", "langevin", "none"])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, chunks_of_8, monkeypatch, thermostat):
    config = XtbConfig(40, 10, thermostat=thermostat)
    whole = read("O", config, tmp_path / "whole")
    save, count = xtb._save, []

    def killed(*arguments):
        count.append(1)
        if len(count) > 4:
            raise KeyboardInterrupt
        save(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(xtb, "_save", killed)
        read("O", config, tmp_path / "cut")
    (parts,) = (tmp_path / "cut").glob("*.parts")
    assert len(list(parts.iterdir())) == 4
    (parts / "000004.npz.1.partial").write_bytes(b"half of a file")
    with monkeypatch.context() as patch:
        patch.setattr(xtb, "_start", None)  # is not called again
        cut = read("O", config, tmp_path / "cut")
    np.testing.assert_array_equal(cut.positions, whole.positions)
    energies = [np.load(file_of(tmp_path / run))["E"] for run in ("cut", "whole")]
    np.testing.assert_array_equal(*energies)
    assert not parts.exists()


def test_a_process_killed_by_the_system_goes_on_bit_for_bit(tmp_path, chunks_of_8):
    code = (
        "import sys; from pathlib import Path; from estag_jax.data.sources import xtb; xtb.CHUNK = 8; "
        "xtb.read('ethanol', xtb.XtbConfig(152, 0), Path(sys.argv[1]))"
    )
    # Other numbers of threads are offered than here, and must not be taken.
    environment = {**os.environ, "OMP_NUM_THREADS": "5", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "cut"], env=environment)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("cut/*.parts/*.npz"))) < 4 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 4 <= len(list(tmp_path.glob("cut/*.parts/*.npz"))) < 20
    cut, whole = (read("ethanol", XtbConfig(152, 0), tmp_path / x) for x in ("cut", "whole"))
    np.testing.assert_array_equal(cut.positions, whole.positions)


def test_a_finished_run_is_read(tmp_path, monkeypatch):
    first = read("ethanol", SHORT, tmp_path)
    monkeypatch.setattr(xtb, "_simulate", None)
    again = read("ethanol", SHORT, tmp_path)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert file_of(tmp_path).name.startswith("ethanol-")
    for other in (XtbConfig(41, 10), XtbConfig(40, 10, seed=1), XtbConfig(40, 10, damping=9.0)):
        with pytest.raises(TypeError, match="not callable"):
            read("ethanol", other, tmp_path)


def test_another_process_that_was_faster(tmp_path, chunks_of_8, monkeypatch):
    advance, nested = xtb._advance, []

    def meanwhile(*arguments):
        if not nested:
            nested.append(1)
            nested.append(read("O", SHORT, tmp_path))
        return advance(*arguments)

    monkeypatch.setattr(xtb, "_advance", meanwhile)
    got = read("O", SHORT, tmp_path)
    np.testing.assert_array_equal(got.positions, nested[1].positions)
    assert list(tmp_path.iterdir()) == [file_of(tmp_path)]


def test_one_thread_and_only_meanwhile(tmp_path, monkeypatch):
    import ctypes

    import tblite._libtblite

    openmp = ctypes.CDLL(tblite._libtblite.__file__)
    before, seen = openmp.omp_get_max_threads(), []
    openmp.omp_set_num_threads(3)
    monkeypatch.setattr(
        xtb, "_start", lambda *_: seen.append(openmp.omp_get_max_threads()) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        read("O", SHORT, tmp_path)
    assert seen == [1] and openmp.omp_get_max_threads() == 3
    openmp.omp_set_num_threads(before)


def test_progress_bar_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    read("O", XtbConfig(2, 0), tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    read("O", XtbConfig(3, 0), tmp_path, progress=False)
    assert capsys.readouterr() == ("", "")
    read("O", XtbConfig(4, 0), tmp_path)
    output = capsys.readouterr()
    assert output.out == "" and "simulating O" in output.err and "100%" in output.err


# --- molecules ---

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
    assert Counter(got.names) == Counter("CHN") and got.topology is None
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


# --- messages ---


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


def test_no_relaxation_and_no_cache(tmp_path, monkeypatch, chunks_of_8):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written .*; choose another cache"):
        read("O", SHORT, tmp_path / "file")
    monkeypatch.setattr("ase.optimize.BFGS.run", lambda *_, **__: False)
    with pytest.raises(DataError, match=r"after 1000 steps of relaxation .* eV/Å; give"):
        read("O", SHORT, tmp_path)


def test_damaged_part_and_changed_ase(tmp_path, monkeypatch, chunks_of_8):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(xtb, "_advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        read("O", SHORT, tmp_path)
    (start,) = tmp_path.glob("*.parts/000000.npz")
    intact = start.read_bytes()
    start.write_bytes(intact[:500])
    with pytest.raises(DataError, match=r"000000.npz: part of a simulation, .* delete this folder"):
        read("O", SHORT, tmp_path)
    start.write_bytes(intact)
    with monkeypatch.context() as patch, pytest.raises(DataError, match="ASE keeps .* elsewhere"):
        patch.setattr(NoseHooverChainNVT, "__init__", lambda *_: None)
        read("O", SHORT, tmp_path)
    assert read("O", SHORT, tmp_path).num_frames == 40


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
