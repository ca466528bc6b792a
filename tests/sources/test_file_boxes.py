"""Files of the user's own: molecules that cross the periodic box."""

from __future__ import annotations

import shutil

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
    write_frames,
    write_pdb,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data import edges
from estag_jax.sources.files.boxes import _near_images, bonds_through, unwrapped


@pytest.mark.parametrize("bonded", [True, False])
@pytest.mark.parametrize("angles", [(90, 90, 90), (70.53, 109.47, 70.53)])
def test_straight_line_through_the_box_comes_back_straight(tmp_path, bonded, angles):
    from MDAnalysis.lib.mdamath import triclinic_vectors

    box = [20.0, 21.0, 22.0, *angles]
    cell = triclinic_vectors(box, dtype=np.float64)
    straight = line()
    straight += np.array([13.0, 0.0, 0.0])  # the molecule is torn in the first frame
    if bonded:
        top = tmp_path / "a.mol2"
        top.write_text(mol2(3, "1 1 2 1\n2 2 3 2\n"))
    else:
        top = write_pdb(tmp_path / "a.pdb", CARBONS)
    fractional = straight @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    assert (np.abs(np.diff(wrapped, axis=0)) > 10).any()
    run = write_frames(tmp_path / "a.dcd", wrapped.astype(np.float32), box)
    found = read(f"{top},{run}")
    assert has_note(found, "unwrapped: ") and has_note(found, "molecules made whole")
    offset = (found.positions[:1, :1, 0] - straight[:1, :1]) @ np.linalg.inv(cell)
    np.testing.assert_allclose(offset, offset.round(), atol=1e-5)  # some image of it
    shift = offset.round() @ cell
    np.testing.assert_allclose(found.positions[:, :, 0], straight + shift, atol=1e-4)
    left = read(f"{top},{run}", unwrap=False)
    np.testing.assert_allclose(left.positions[:, :, 0], wrapped, atol=1e-5)
    assert has_note(left, "left as it is")
    # What is not selected still holds the molecule together.
    ends = read(f"{top},{run}", select="name C0 C2").positions[:, :, 0]
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], [[3.0, 0, 0]] * 40, atol=1e-4)


@pytest.mark.parametrize("each", [False, True])
def test_the_box_of_a_pdb_stands_before_its_models(tmp_path, each):
    """Once for all of them, as the archive has it, or before each, as simulation programs write it."""
    whole = line()[:12] + [13.0, 0, 0]
    edges = 20.0 + each * 0.1 * np.arange(12)
    text = ""
    for k, frame in enumerate(whole % edges[:, None, None]):
        box = "CRYST1" + 3 * f"{edges[k]:9.3f}" + 3 * "  90.00" + " P 1           1\n"
        text += box * (each or k == 0) + f"MODEL     {k + 1:4d}\n"
        for i, (x, y, z) in enumerate(frame):
            text += f"ATOM  {i + 1:5d}  C{i}  LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C\n"
        text += "ENDMDL\n"
    (tmp_path / "a.pdb").write_text(text)
    found = read(tmp_path / "a.pdb")
    assert has_note(found, "unwrapped: molecules made whole")
    bonds = np.diff(found.positions[:, :, 0], axis=1)
    np.testing.assert_allclose(bonds, np.diff(whole, axis=1), atol=2e-3)


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


def test_bonds_are_those_of_the_whole_molecule():
    from ase.build import molecule

    whole, cell = molecule("CH3CH2OH"), np.array([[9.0, 0, 0], [3, 9, 0], [-2, 4, 9]])
    rng = np.random.default_rng(0)
    frames = [whole.positions + rng.normal(0, 0.05, (9, 3)) for _ in range(7)]
    expected = edges.bonds(np.array(frames), whole.numbers)
    shifted = np.array(frames) + rng.uniform(0, 9, 3)
    torn = [(x - np.floor(x @ np.linalg.inv(cell)) @ cell, cell) for x in shifted]
    cells = [cell] * len(torn)
    found, notes = bonds_through([x for x, _ in torn], cells, whole.numbers)
    np.testing.assert_array_equal(found, expected)
    assert notes == () and len(edges.bonds(np.array([x for x, _ in torn]), whole.numbers)) < len(
        expected
    )
    made = np.array(list(unwrapped(torn, found)))
    np.testing.assert_allclose(made - made[:, :1], shifted - shifted[:, :1], atol=1e-9)
    outside, _ = bonds_through([x for x, _ in torn], cells, whole.numbers, (False, False, False))
    assert len(outside) < len(expected)  # without the box


def test_a_crystal_is_not_made_whole():
    from ase.build import bulk

    copper = bulk("Cu", cubic=True) * (3, 3, 3)
    bonds, (note,) = bonds_through([copper.positions] * 3, [copper.cell.array] * 3, copper.numbers)
    assert bonds is None and "bonds go round the periodic box" in note
    assert bonds_through([np.eye(3) * 4], [np.eye(3) * 9], np.array([18, 18, 18])) == (None, ())


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
        ends = trajectory.positions[:, trajectory.system.bonds]
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
        assert (
            found.system.num_nodes == 20
            and found.system.anchor == 1
            and found.system.contact_distance == 6.0
        )
        assert found.system.names[0] == "ASN1" and (found.system.node_features == 1).all()
        alpha = found.positions[:, :, 1]
    else:
        assert found.system.num_nodes == 304
        alpha = found.positions[:, [name.endswith("-CA") for name in found.system.names], 0]
    gaps = np.linalg.norm(np.diff(alpha, axis=1), axis=-1)
    assert alpha.shape[1] == 20 and 3.4 < gaps.min() and gaps.max() < 4.5
    centroid = alpha.mean(axis=1)
    assert np.linalg.norm(np.diff(centroid, axis=0), axis=-1).max() < 6  # the box is 36 Å
    torn = read(spec, nodes=nodes, unwrap=False).positions
    assert np.linalg.norm(np.diff(torn.mean((1, 2)), axis=0), axis=-1).max() > 30


@pytest.mark.parametrize("periodic", [(True, True, True), (True, False, True)])
def test_pairs_of_images_are_those_of_ase(periodic):
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    cell = np.array([[9.0, 0, 0], [3, 8, 0], [-2, 4, 7]])
    positions = np.random.default_rng(0).uniform(-5, 12, (60, 3))
    i, j = neighbor_list("ij", Atoms("C60", positions, cell=cell, pbc=periodic), 2.5)
    expected = sorted(set(zip(i[i < j].tolist(), j[i < j].tolist(), strict=True)))
    i, j = _near_images(positions, cell, periodic, 2.5)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected and len(expected) > 50
