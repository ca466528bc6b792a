"""Files of the user's own: what is read is held against what was written, or against the raw text."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.db
import ase.io
import numpy as np
import pytest
from helpers.files import (
    CARBONS,
    datafiles,
    has_note,
    line,
    mol2,
    random_walk,
    read,
    residue,
    write_frames,
    write_pdb,
)

from estag_jax.data.system import DataError
from estag_jax.sources.files import reader
from estag_jax.sources.options import FileOptions

# --- trajectories ---


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr"])
def test_topology_and_trajectory(tmp_path, suffix, capsys):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    frames = random_walk()
    run = write_frames(tmp_path / f"a.{suffix}", frames)
    found = read(f"{top},{run}")
    np.testing.assert_allclose(found.positions[:, :, 0], frames, atol=6e-3)  # xtc keeps 0.01 Å
    assert found.positions.dtype == np.float32 and found.system.names == ("C0", "C1", "C2")
    assert (
        found.system.atomic_numbers.tolist() == [6, 6, 6]
        and found.system.inputs("number")[0].tolist() == [[6]] * 3
    )
    assert (found.frame_step, found.time_unit, found.system.length_unit) == (2.5, "ps", "Å")
    assert (
        found.lengths == (12,)
        and found.run_names == (f"a.{suffix}",)
        and found.system.bonds is None
    )
    assert found.source == f"{top},{run}" and found.system.graph is None
    assert "a.pdb" in found.provenance
    assert all("ends after 12 whole frames" in note for note in found.notes)
    assert capsys.readouterr() == ("", "")


def test_progress_is_told_and_nothing_printed(tmp_path, capsys):
    top, told = write_pdb(tmp_path / "a.pdb", CARBONS), []
    run = write_frames(tmp_path / "a.dcd", random_walk())
    reader.read(f"{top},{run}", FileOptions(), lambda *facts: told.append(facts))
    assert told == [("a.dcd", k, 12) for k in range(1, 13)]
    told.clear()
    ase.io.write(tmp_path / "a.xyz", [ase.Atoms("C")] * 2)
    reader.read(str(tmp_path / "a.xyz"), FileOptions(), lambda *facts: told.append(facts))
    assert told == [("a.xyz", 1, 0), ("a.xyz", 2, 0)] and capsys.readouterr() == ("", "")


def test_several_runs_and_a_selection(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", [*CARBONS, ("O1", "LIG", 1, "O")])
    parts = [random_walk(n, 4, seed=n) for n in (5, 9)]
    runs = [write_frames(tmp_path / f"{i}.dcd", part) for i, part in enumerate(parts)]
    found = read(f"{top},{runs[0]},{runs[1]}", select="name C1 or element O")
    assert found.lengths == (5, 9) and found.run_names == ("0.dcd", "1.dcd")
    np.testing.assert_allclose(found.positions[:, :, 0], np.concatenate(parts)[:, [1, 3]])
    assert found.system.names == ("C1", "O1") and found.system.atomic_numbers.tolist() == [6, 8]


# --- what the topology says ---


def psf_section(path, title):
    """The integers of one section of a PSF, by hand."""
    lines = iter(Path(path).read_text().splitlines())
    count = next(int(line.split()[0]) for line in lines if title in line)
    numbers = []
    for text in lines:
        if not text.strip():
            break
        numbers += map(int, text.split())
    return count, numbers


def test_bonds_and_elements_of_a_psf():
    spec = f"{datafiles.PSF},{datafiles.DCD}"
    found = read(spec)
    count, numbers = psf_section(datafiles.PSF, "!NBOND")
    expected = {tuple(sorted(pair)) for pair in np.reshape(numbers, (-1, 2)) - 1}
    assert len(found.system.bonds) == count
    assert {tuple(sorted(pair)) for pair in found.system.bonds.tolist()} == expected
    lines = (
        Path(datafiles.PSF).read_text().split("!NATOM\n")[1].splitlines()[: found.system.num_nodes]
    )
    masses = np.array([float(row.split()[7]) for row in lines])
    np.testing.assert_allclose(
        ase.data.atomic_masses[found.system.atomic_numbers], masses, atol=0.02
    )
    assert has_note(found, "guessed by MDAnalysis")
    # A selection keeps the bonds between its atoms, under their new numbers.
    part = read(spec, select="resid 1:20 and not name H*")
    rows = [row.split() for row in lines]
    kept = [i for i, row in enumerate(rows) if int(row[2]) <= 20 and row[4][0] != "H"]
    inside = {(i, j) for i, j in expected if i in kept and j in kept}
    back = {tuple(sorted((kept[i], kept[j]))) for i, j in part.system.bonds.tolist()}
    assert back == inside and len(part.system.bonds) == len(inside) > 100
    assert part.system.names[:2] == ("MET1-N", "MET1-CA")
    np.testing.assert_array_equal(part.positions, found.positions[:, kept])


def test_bond_orders_of_a_mol2(tmp_path):
    path = tmp_path / "a.mol2"
    path.write_text(mol2(4, "1 1 2 2\n2 2 3 ar\n3 4 3 am\n"))
    found = read(str(path))
    orders = {
        tuple(b): o
        for b, o in zip(found.system.bonds.tolist(), found.system.bond_orders, strict=True)
    }
    assert {tuple(sorted(k)): v for k, v in orders.items()} == {(0, 1): 2, (1, 2): 1.5, (2, 3): 1}
    assert read(str(path), select="name C0 C1 C3").system.bond_orders.tolist() == [2.0]
    path.write_text(mol2(3, "1 1 2 1\n2 2 3 un\n"))
    assert len(read(str(path)).system.bonds) == 2 and read(str(path)).system.bond_orders is None


def test_conect_records_are_not_all_bonds(tmp_path):
    found = read(str(write_pdb(tmp_path / "a.pdb", CARBONS, "CONECT    1    2")))
    assert found.system.bonds is None and has_note(found, "the 1 bonds of a.pdb were not used")


def test_residues(tmp_path):
    shuffled = ("O", "C", "N", "CB", "CA")
    rows = residue("ALA", 1, shuffled) + residue("GLY", 2, ("N", "CA", "C")) + residue("SEP", 3)
    top = write_pdb(tmp_path / "a.pdb", rows + [("CA", "CAL", 4, "CA"), ("O", "HOH", 5, "O")])
    found = read(str(top), nodes="residues")
    assert (
        found.system.names == ("ALA1", "SEP3")
        and found.system.atomic_numbers is None
        and found.system.bonds is None
    )
    x = found.positions[0, :, :, 0] / 1.5
    np.testing.assert_allclose(x, [[2, 4, 1, 0], [8, 9, 10, 11]])  # places of N, CA, C, O above
    assert has_note(found, "1 residue(s) left out") and has_note(found, "features are ones")
    with pytest.raises(DataError, match=r"none of the 1 residue\(s\) has .* N, CA, C, O"):
        read(str(top), nodes="residues", select="resname GLY")
    top = write_pdb(tmp_path / "b.pdb", residue("ALA", 1) + residue("GLY", 4))
    assert has_note(read(str(top), nodes="residues"), "residues 2 to 3 are not there")


# --- ASE ---


@pytest.mark.parametrize("suffix", ["traj", "extxyz", "xyz", "db"])
def test_ase_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    straight = line()
    frames = [ase.Atoms("COH", positions=x % 20.0, cell=[20, 20, 20], pbc=True) for x in straight]
    if suffix == "db":
        with ase.db.connect(path) as database:
            for frame in frames:
                database.write(frame)
    else:
        ase.io.write(path, frames, format="traj" if suffix == "traj" else "extxyz")
    found = read(str(path))
    np.testing.assert_allclose(found.positions[:, :, 0], straight, atol=1e-6)
    assert found.system.names == ("C", "O", "H") and found.system.atomic_numbers.tolist() == [
        6,
        8,
        1,
    ]
    assert (found.frame_step, found.time_unit) == (1.0, "frame") and has_note(found, "unwrapped")
    left = read(str(path), unwrap=False)
    np.testing.assert_allclose(left.positions[:, :, 0], straight % 20.0, atol=1e-6)


def test_ase_slab_is_unwrapped_along_its_periodic_axes_alone(tmp_path):
    straight = line(20)
    frames = [
        ase.Atoms("C3", np.c_[x[:, :2] % 20.0, x[:, 2]], cell=[20, 20, 0], pbc=(1, 1, 0))
        for x in straight
    ]
    ase.io.write(tmp_path / "a.traj", frames)
    found = read(str(tmp_path / "a.traj"))
    np.testing.assert_allclose(found.positions[:, :, 0], straight, atol=1e-9)


def test_plain_xyz_and_npz(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("2\n\nC 0 0 0\nO 1.2 0 0\n2\n\nC 0 0 0.1\nO 1.25 0 0\n")
    found = read(str(path))
    assert found.positions[:, :, 0].tolist() == [
        [[0, 0, 0], [1.2, 0, 0]],
        [[0, 0, 0.1], [1.25, 0, 0]],
    ]
    np.savez(tmp_path / "a,b.npz", R=found.positions[:, :, 0], z=[6, 8])  # a comma in the name
    again = read(str(tmp_path / "a,b.npz"))
    np.testing.assert_array_equal(again.positions, found.positions)
