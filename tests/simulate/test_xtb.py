"""Simulated trajectories: physics, resumed runs and the cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import molecule as ase_molecule
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from helpers.xtb import SHORT, file_of

from estag_jax.data.system import DataError
from estag_jax.simulate import molecules, xtb
from estag_jax.simulate.xtb import XtbConfig, read

pytestmark = pytest.mark.optimised


@pytest.fixture
def chunks_of_8(monkeypatch):
    monkeypatch.setattr(xtb, "CHUNK", 8)


def mechanics(trajectory, step):
    """Kinetic energy [frames - 2] eV, momentum and angular momentum [frames - 2, 3] by differences.

    Central differences are the very velocities of velocity Verlet.
    """
    positions = trajectory.positions[:, :, 0].astype(np.float64)
    velocities = (positions[2:] - positions[:-2]) / (2 * step * units.fs)
    masses = ase.Atoms(trajectory.system.atomic_numbers).get_masses()[:, None]
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
    if thermostat == "langevin":  # whose noise is drawn for each chunk
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
    save, count = xtb.write_npz, []

    def killed(*arguments, **options):
        count.append(1)
        if len(count) > 4:
            raise KeyboardInterrupt
        save(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(xtb, "write_npz", killed)
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
        "import sys; from pathlib import Path; from estag_jax.simulate import xtb; xtb.CHUNK = 8; "
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


def test_progress_is_told_and_nothing_printed(tmp_path, capsys):
    told = []
    read("O", XtbConfig(3, 2), tmp_path, lambda *facts: told.append(facts))
    assert [facts[1:] for facts in told] == [(step, 5) for step in range(1, 6)]
    assert all("xtb:O" in what for what, _, _ in told)
    assert capsys.readouterr() == ("", "")


def test_no_relaxation_and_no_cache(tmp_path, monkeypatch, chunks_of_8):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written.*another cache"):
        read("O", SHORT, tmp_path / "file")
    monkeypatch.setattr("ase.optimize.BFGS.run", lambda *_, **__: False)
    with pytest.raises(DataError, match="1000 steps.*eV/Å; give"):
        read("O", SHORT, tmp_path)


def test_damaged_part_and_changed_ase(tmp_path, monkeypatch, chunks_of_8):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(xtb, "_advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        read("O", SHORT, tmp_path)
    (start,) = tmp_path.glob("*.parts/000000.npz")
    intact = start.read_bytes()
    start.write_bytes(intact[:500])
    with pytest.raises(DataError, match="000000.npz.*cut short.*delete"):
        read("O", SHORT, tmp_path)
    start.write_bytes(intact)
    with monkeypatch.context() as patch, pytest.raises(DataError, match="ASE keeps .* elsewhere"):
        patch.setattr(NoseHooverChainNVT, "__init__", lambda *_: None)
        read("O", SHORT, tmp_path)
    assert read("O", SHORT, tmp_path).num_frames == 40
