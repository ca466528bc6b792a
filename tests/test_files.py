"""Files of the user's own: what is read is held against what was written, or against the raw text."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import ase
import ase.db
import ase.io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data.files.boxes import unwrapped
from estag_jax.data.files.reader import read
from estag_jax.data.trajectory import DataError

mda = pytest.importorskip("MDAnalysis")
datafiles = pytest.importorskip("MDAnalysisTests.datafiles")

BACKBONE = ("N", "CA", "C", "O")


def write_pdb(path, rows, more=""):
    """Rows of (atom name, residue name, residue number, element), atoms in a line 1.5 Å apart."""
    lines = [
        f"ATOM  {i + 1:5d} {name:<4s} {residue:3s} A{number:4d}    "
        f"{1.5 * i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00          {element:>2s}"
        for i, (name, residue, number, element) in enumerate(rows)
    ]
    path.write_text("\n".join([*lines, more, "END", ""]))
    return path


CARBONS = [(f"C{i}", "LIG", 1, "C") for i in range(3)]


def write_frames(path, positions, box=None, step=2.5):
    """A trajectory [frames, n, 3] in the format of the suffix; the box is [6] or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe.empty(positions.shape[1])
        boxes = None if box is None else np.tile(np.float32(box), (len(positions), 1))
        universe.load_new(np.float32(positions), order="fac", dt=step, dimensions=boxes)
        with mda.Writer(str(path), positions.shape[1], dt=step) as writer:
            for _ in universe.trajectory:
                writer.write(universe.atoms)
    return path


def random_walk(frames=12, atoms=3, seed=0):
    rng = np.random.default_rng(seed)
    start = np.arange(atoms)[:, None] * [1.5, 0.0, 0.0]
    return (start + rng.normal(0, 0.1, (frames, atoms, 3)).cumsum(0)).astype(np.float32)


def line(frames=40, atoms=3, speed=(1.7, -0.9, 0.4)):
    """A rigid molecule that moves straight on, through several boxes of 20 Å."""
    start = 5.0 + np.arange(atoms)[:, None] * [1.5, 0.0, 0.0]
    return start + np.arange(frames)[:, None, None] * np.array(speed)


def has_note(trajectory, words):
    return any(words in note for note in trajectory.notes)


# --- trajectories ---


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr"])
def test_topology_and_trajectory(tmp_path, suffix, capsys):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    frames = random_walk()
    run = write_frames(tmp_path / f"a.{suffix}", frames)
    found = read(f"{top},{run}")
    np.testing.assert_allclose(found.positions[:, :, 0], frames, atol=6e-3)  # xtc keeps 0.01 Å
    assert found.positions.dtype == np.float32 and found.names == ("C0", "C1", "C2")
    assert found.atomic_numbers.tolist() == [6, 6, 6] and found.node_features.tolist() == [[6]] * 3
    assert (found.frame_step, found.time_unit, found.length_unit) == (2.5, "ps", "Å")
    assert found.lengths == (12,) and found.run_names == (f"a.{suffix}",) and found.bonds is None
    assert found.source == f"{top},{run}" and found.topology is None
    assert "a.pdb" in found.provenance and not found.notes
    assert capsys.readouterr() == ("", "")


def test_several_runs_and_a_selection(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", [*CARBONS, ("O1", "LIG", 1, "O")])
    parts = [random_walk(n, 4, seed=n) for n in (5, 9)]
    runs = [write_frames(tmp_path / f"{i}.dcd", part) for i, part in enumerate(parts)]
    found = read(f"{top},{runs[0]},{runs[1]}", select="name C1 or element O")
    assert found.lengths == (5, 9) and found.run_names == ("0.dcd", "1.dcd")
    np.testing.assert_allclose(found.positions[:, :, 0], np.concatenate(parts)[:, [1, 3]])
    assert found.names == ("C1", "O1") and found.atomic_numbers.tolist() == [6, 8]


def test_time_step(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    a = write_frames(tmp_path / "a.dcd", random_walk(), step=2.5)
    b = write_frames(tmp_path / "b.dcd", random_walk(), step=4.0)
    with pytest.raises(DataError, match=r"b\.dcd: has 4 ps .*a\.dcd has 2\.5 ps; .*frame-step"):
        read(f"{top},{a},{b}")
    found = read(f"{top},{a},{b}", frame_step=3.0)
    assert (found.frame_step, found.time_unit) == (3.0, "ps")
    assert has_note(found, "3 ps as the user says, the file has 2.5 ps")
    for step in (0.0, -1.0, np.nan):
        c = write_frames(tmp_path / "c.trr", random_walk(), step=step)
        with pytest.raises(DataError, match=r"c\.trr: the time between frames is"):
            read(f"{top},{c}")


def test_time_that_is_not_known_or_uneven(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    akma = 0.0488882129  # ps; a step of one such unit is what writers put that do not know it
    found = read(f"{top},{write_frames(tmp_path / 'a.dcd', random_walk(), step=akma)}")
    assert (found.frame_step, found.time_unit) == (1.0, "frame") and has_note(found, "time between")
    found = read(datafiles.PDB_multiframe, frame_step=7.0)
    assert (found.frame_step, found.time_unit, found.num_frames) == (7.0, "frame", 24)
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    with XTCFile(str(tmp_path / "b.xtc"), "w") as file:
        for k, time in enumerate((0.0, 2.0, 4.0, 9.0, 11.0)):
            file.write(random_walk()[k] / 10, np.zeros((3, 3), np.float32), k, time)
    assert has_note(read(f"{top},{tmp_path / 'b.xtc'}"), "5 ps from frame 2 to 3, 2 ps at first")


# --- boxes ---


@pytest.mark.parametrize("bonded", [True, False])
@pytest.mark.parametrize("angles", [(90, 90, 90), (70.53, 109.47, 70.53)])
def test_straight_line_through_the_box_comes_back_straight(tmp_path, bonded, angles):
    from MDAnalysis.lib.mdamath import triclinic_vectors

    box = [20.0, 21.0, 22.0, *angles]
    cell = triclinic_vectors(box, dtype=np.float64)
    straight = line()
    if bonded:  # with bonds the molecule may be torn in the first frame
        straight += np.array([13.0, 0.0, 0.0])
        top = tmp_path / "a.mol2"
        top.write_text(mol2(3, "1 1 2 1\n2 2 3 2\n"))
    else:
        top = write_pdb(tmp_path / "a.pdb", CARBONS)
    fractional = straight @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    assert (np.abs(np.diff(wrapped, axis=0)) > 10).any()
    run = write_frames(tmp_path / "a.dcd", wrapped.astype(np.float32), box)
    found = read(f"{top},{run}")
    assert has_note(found, "unwrapped: ") and has_note(found, "molecules made whole") == bonded
    offset = (found.positions[:1, :1, 0] - straight[:1, :1]) @ np.linalg.inv(cell)
    np.testing.assert_allclose(offset, offset.round(), atol=1e-5)  # some image of it
    shift = offset.round() @ cell
    np.testing.assert_allclose(found.positions[:, :, 0], straight + shift, atol=1e-4)
    left = read(f"{top},{run}", unwrap=False)
    np.testing.assert_allclose(left.positions[:, :, 0], wrapped, atol=1e-5)
    assert has_note(left, "left as it is")
    if bonded:  # what is not selected still holds the molecule together
        ends = read(f"{top},{run}", select="name C0 C2").positions[:, :, 0]
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], [[3.0, 0, 0]] * 40, atol=1e-4)


def mol2(atoms, bonds):
    rows = "".join(f"{i + 1} C{i} {1.5 * i} 0.0 0.0 C.3 1 LIG 0.0\n" for i in range(atoms))
    count = bonds.count("\n")
    return (
        f"@<TRIPOS>MOLECULE\nx\n{atoms} {count} 1 0 0\nSMALL\nUSER_CHARGES\n\n"
        f"@<TRIPOS>ATOM\n{rows}@<TRIPOS>BOND\n{bonds}"
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_box_that_fluctuates_adds_no_motion(seed):
    rng = np.random.default_rng(seed)
    size = 20 + rng.normal(0, 0.2, (60, 3))
    rigid = np.array([[0.0, 0, 0], [1.5, 0, 0], [1.5, 1.5, 0], [0, 1.5, 0.5]])
    bonds = np.array([[3, 2], [1, 0], [1, 2]])
    steps = np.array([2.0, 1.5, -2.5]) + rng.normal(0, 1.0, (60, 3))
    centre, torn = np.full(3, 3.0), []
    for step, edge in zip(steps, size, strict=True):
        centre = (centre + step) % edge
        torn.append((centre + rigid) % edge)
    frames = [(x, np.diag(edge)) for x, edge in zip(torn, size, strict=True)]
    found = np.array(list(unwrapped(frames, bonds)))
    np.testing.assert_allclose(found - found[:, :1], np.tile(rigid, (60, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.diff(found[:, 0], axis=0), steps[1:], atol=1e-9)


def test_molecules_are_unwrapped_each_by_its_own_bonds():
    # Two molecules pass through the box in opposite directions, an ion stands still.
    edge, n = 15.0, 30
    start = np.array([[1.0, 1, 1], [2.5, 1, 1], [9.0, 9, 9], [9.0, 10.5, 9], [5.0, 5, 5]])
    speed = np.array([[2.0, 0, 1]] * 2 + [[-3.0, 1, 0]] * 2 + [[0.0, 0, 0]])
    truth = start + np.arange(n)[:, None, None] * speed
    frames = [(x % edge, np.eye(3) * edge) for x in truth]
    found = np.array(list(unwrapped(frames, np.array([[0, 1], [3, 2]]))))
    np.testing.assert_allclose(found, truth, atol=1e-9)


@pytest.mark.parametrize("bonds", [None, np.array([[0, 1], [1, 2]])])
def test_coordinates_that_are_not_numbers_pass_through(bonds):
    truth = line(30)
    torn = truth % 20.0
    torn[7, 1] = np.nan
    found = np.array(list(unwrapped([(x, np.eye(3) * 20) for x in torn], bonds)))
    assert np.isnan(found[7, 1]).all()
    known = np.isfinite(torn)
    known[7] &= bonds is None  # beyond the gap the molecule cannot be followed in that frame
    np.testing.assert_allclose(found[known], truth[known], atol=1e-9)


def test_nan_reaches_the_caller(tmp_path):
    frames = random_walk()
    frames[4, 2, 1] = np.nan
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    for box in (None, [20, 20, 20, 90, 90, 90]):
        found = read(f"{top},{write_frames(tmp_path / 'a.dcd', frames, box)}")
        assert np.argwhere(np.isnan(found.positions)).tolist() == [[4, 2, 0, 1]]


def test_jumps_without_a_box_are_reported(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    frames = random_walk()
    frames[8:] += 30.0
    for box in (None, [1, 1, 1, 90, 90, 90]):
        found = read(f"{top},{write_frames(tmp_path / 'a.dcd', frames, box)}")
        assert has_note(found, "1 step(s) look like jumps, the first from frame 7 to 8 of a.dcd")
        assert has_note(found, "1 × 1 × 1 Å is a placeholder") == (box is not None)
        np.testing.assert_array_equal(found.positions[:, :, 0], frames)


def test_protein_torn_by_the_box_is_made_whole(tmp_path):
    run = tmp_path / "a.xtc"  # MDAnalysis keeps an index beside it
    shutil.copyfile(datafiles.XTC, run)
    spec = f"{datafiles.TPR},{run}"

    def longest_bond(trajectory):
        ends = trajectory.positions[:, trajectory.bonds]
        return np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1).max()

    assert longest_bond(read(spec, select="protein", unwrap=False)) > 50
    found = read(spec, select="protein")
    assert longest_bond(found) < 2.5 and (found.frame_step, found.time_unit) == (100.0, "ps")


@pytest.mark.data
@pytest.mark.parametrize("nodes", ["atoms", "residues"])
def test_trp_cage_of_the_shared_data(shared_data, nodes):
    spec = ",".join(str(shared_data / "trp_cage" / f"trp_cage.{s}") for s in ("pdb", "dcd"))
    found = read(spec, nodes=nodes)
    assert found.num_frames == 4999 and found.time_unit == "frame"
    if nodes == "residues":
        assert found.num_nodes == 20 and found.anchor == 1 and found.contact_distance == 6.0
        assert found.names[0] == "ASN1" and (found.node_features == 1).all()
        alpha = found.positions[:, :, 1]
    else:
        assert found.num_nodes == 304
        alpha = found.positions[:, [name.endswith("-CA") for name in found.names], 0]
    gaps = np.linalg.norm(np.diff(alpha, axis=1), axis=-1)
    assert alpha.shape[1] == 20 and 3.4 < gaps.min() and gaps.max() < 4.5
    centroid = alpha.mean(axis=1)
    assert np.linalg.norm(np.diff(centroid, axis=0), axis=-1).max() < 6  # the box is 36 Å
    torn = read(spec, nodes=nodes, unwrap=False).positions
    assert np.linalg.norm(np.diff(torn.mean((1, 2)), axis=0), axis=-1).max() > 30


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
    assert len(found.bonds) == count
    assert {tuple(sorted(pair)) for pair in found.bonds.tolist()} == expected
    lines = Path(datafiles.PSF).read_text().split("!NATOM\n")[1].splitlines()[: found.num_nodes]
    masses = np.array([float(row.split()[7]) for row in lines])
    np.testing.assert_allclose(ase.data.atomic_masses[found.atomic_numbers], masses, atol=0.02)
    assert has_note(found, "guessed by MDAnalysis")
    # A selection keeps the bonds between its atoms, under their new numbers.
    part = read(spec, select="resid 1:20 and not name H*")
    rows = [row.split() for row in lines]
    kept = [i for i, row in enumerate(rows) if int(row[2]) <= 20 and row[4][0] != "H"]
    inside = {(i, j) for i, j in expected if i in kept and j in kept}
    back = {tuple(sorted((kept[i], kept[j]))) for i, j in part.bonds.tolist()}
    assert back == inside and len(part.bonds) == len(inside) > 100
    assert part.names[:2] == ("MET1-N", "MET1-CA")
    np.testing.assert_array_equal(part.positions, found.positions[:, kept])


def test_bond_orders_of_a_mol2(tmp_path):
    path = tmp_path / "a.mol2"
    path.write_text(mol2(4, "1 1 2 2\n2 2 3 ar\n3 4 3 am\n"))
    found = read(str(path))
    orders = {tuple(b): o for b, o in zip(found.bonds.tolist(), found.bond_orders, strict=True)}
    assert {tuple(sorted(k)): v for k, v in orders.items()} == {(0, 1): 2, (1, 2): 1.5, (2, 3): 1}
    assert read(str(path), select="name C0 C1 C3").bond_orders.tolist() == [2.0]
    path.write_text(mol2(3, "1 1 2 1\n2 2 3 un\n"))
    assert len(read(str(path)).bonds) == 2 and read(str(path)).bond_orders is None


def test_conect_records_are_not_all_bonds(tmp_path):
    found = read(str(write_pdb(tmp_path / "a.pdb", CARBONS, "CONECT    1    2")))
    assert found.bonds is None and has_note(found, "the 1 bonds of a.pdb were not used")


def residue(name, number, atoms=BACKBONE):
    return [(atom, name, number, atom[0]) for atom in atoms]


def test_residues(tmp_path):
    shuffled = ("O", "C", "N", "CB", "CA")
    rows = residue("ALA", 1, shuffled) + residue("GLY", 2, ("N", "CA", "C")) + residue("SEP", 3)
    top = write_pdb(tmp_path / "a.pdb", rows + [("CA", "CAL", 4, "CA"), ("O", "HOH", 5, "O")])
    found = read(str(top), nodes="residues")
    assert found.names == ("ALA1", "SEP3") and found.atomic_numbers is None and found.bonds is None
    x = found.positions[0, :, :, 0] / 1.5
    np.testing.assert_allclose(x, [[2, 4, 1, 0], [8, 9, 10, 11]])  # places of N, CA, C, O above
    assert has_note(found, "1 residue(s) left out") and has_note(found, "features are ones")
    with pytest.raises(DataError, match=r"none of the 1 residue\(s\) has .* N, CA, C, O"):
        read(str(top), nodes="residues", select="resname GLY")


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
    found = read(str(path), frame_step=0.5)
    np.testing.assert_allclose(found.positions[:, :, 0], straight, atol=1e-6)
    assert found.names == ("C", "O", "H") and found.atomic_numbers.tolist() == [6, 8, 1]
    assert (found.frame_step, found.time_unit) == (0.5, "frame") and has_note(found, "unwrapped")
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
    again = read(str(tmp_path / "a,b.npz"), frame_step=0.25)
    np.testing.assert_array_equal(again.positions, found.positions)
    assert (again.frame_step, again.time_unit) == (0.25, "fs")


# --- bad input ---

XYZ = "3\n\nC 0 0 0\nO 1.2 0 0\nH 2 0 0\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", XYZ + XYZ.replace("C", "N"), r"atom 0 is N in frame 1 and C in frame 0; .*order"),
        ("a.xyz", XYZ + XYZ[:-8].replace("3", "2"), r"frame 1 has 2 atoms, frame 0 has 3"),
        ("a.xyz", XYZ + XYZ[:-8], r"ASE cannot read frame \d .*counted from 0\) as extxyz"),
        ("a.xyz", XYZ.replace("C", "X"), r"element of atom 0 is not known"),
        ("a.xyz", "", "the file is empty"),
        ("a.traj", XYZ, r"ASE cannot read frame 0 .* as traj"),
        ("a.pkl", XYZ, r"pickled files are refused"),
        ("a.foo", XYZ, r"'\.foo' is no format that is known here; tried are .*ASE .*MDAnalysis"),
        ("a.gro", XYZ, r"MDAnalysis cannot read it \("),
        ("a.mol2", mol2(2, "1 1 2 1\n").replace(" C", " Q"), r"element of atom 0 \(Q0\) is 'Q?'"),
    ],
)
def test_bad_files(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=words) as error:
        read(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def cut(path, source, count):
    path.write_bytes(Path(source).read_bytes()[:count])
    return path


DCD_FRAME = 3 * (8 + 4 * 3341)
DCD_HEAD = 3931724 - 98 * DCD_FRAME


@pytest.mark.parametrize(
    ("bytes_left", "words"),
    [
        (50, r"50 bytes, too few for a DCD header"),
        (100, r"ends within the DCD header"),
        (DCD_HEAD + 5, r"holds no whole frame, 5 bytes are left"),
        (DCD_HEAD + 40 * DCD_FRAME + 7, r"cut short, frame 40 .* has 7 of its 40116 bytes"),
        (3931724 - 1, r"cut short, frame 97 .*; copy it again, or save its 97 whole frames"),
    ],
)
def test_dcd_that_is_cut_short(tmp_path, bytes_left, words):
    path = cut(tmp_path / "a.dcd", datafiles.DCD, bytes_left)
    with pytest.raises(DataError, match=words) as error:
        read(f"{datafiles.PSF},{path}")
    assert str(error.value).startswith(str(path))


def test_dcd_with_fewer_frames_than_announced(tmp_path):
    path = cut(tmp_path / "a.dcd", datafiles.DCD2, 4097820 - 40172 * 2)
    found = read(f"{datafiles.PSF},{path}", select="name CA")
    assert found.num_frames == 100
    assert has_note(found, "promises 102 frames, the file ends after 100 whole ones")
    assert found.bonds is None  # none lies between CA atoms


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
def test_xdr_files_that_are_cut_short(tmp_path, suffix):
    top = write_pdb(tmp_path / "a.pdb", [(f"C{i % 10}", "LIG", 1, "C") for i in range(50)])
    whole = write_frames(tmp_path / f"a.{suffix}", random_walk(10, 50))
    path = cut(tmp_path / f"b.{suffix}", whole, whole.stat().st_size - 30)
    with pytest.raises(DataError, match=rf"b\.{suffix}: frame 9 of 10 .* save its 9 whole frames"):
        read(f"{top},{path}")


def test_files_that_do_not_belong_together(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    good = write_frames(tmp_path / "a.dcd", random_walk())
    other = write_frames(tmp_path / "b.dcd", random_walk(atoms=4))
    for spec, words in [
        (f"{top},{good},{other}", rf"{other}: has 4 atoms, {top} has 3; give the topology"),
        (f"{top},{tmp_path / 'none.dcd'}", r"none\.dcd'?: there is no such file; expected is PATH"),
        (f"{top},", r"there is no such file"),
        (f"{top},{tmp_path}", "this is a folder"),
        (datafiles.PSF, r"adk\.psf: holds no coordinates; write .*psf,TRAJECTORY"),
        (f"{top},{top.with_suffix('.foo')}", r"MDAnalysis cannot read it as a trajectory \("),
    ]:
        (tmp_path / "a.foo").write_text("x")
        with pytest.raises(DataError, match=words) as error:
            read(spec)
        assert "\n" not in str(error.value)


def test_selections(tmp_path):
    top = str(write_pdb(tmp_path / "a.pdb", residue("ALA", 1)))
    for select, words in [
        ("name CB", r"'name CB' holds none of the 4 atoms; .*resnames ALA; names C CA N O"),
        ("nome CB", r"selection 'nome CB' is not understood \(SelectionError"),
        ("name CB and", r"not understood \(SelectionError"),
    ]:
        with pytest.raises(DataError, match=words) as error:
            read(top, select=select)
        assert "\n" not in str(error.value)
    (tmp_path / "a.xyz").write_text(XYZ)
    for options in ({"select": "name C"}, {"nodes": "residues"}):
        with pytest.raises(DataError, match=r"is for files of a topology that MDAnalysis reads"):
            read(str(tmp_path / "a.xyz"), **options)


def test_without_mdanalysis(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(DataError, match=r"needs MDAnalysis; pip install 'estag_jax\[md\]'"):
        read(str(write_pdb(tmp_path / "a.pdb", CARBONS)))
