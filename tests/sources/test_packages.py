"""Formats whose packages no extra installs: files that these packages write, read again.

``pip install gsd pytng gemmi mmtf-python`` runs all of them.
"""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from ase.geometry import cellpar_to_cell
from helpers.files import datafiles, has_note, random_walk, read, write_frames

from estag_jax.data.system import DataError
from estag_jax.sources.files import packages, tng

FRAMES = (random_walk() * 0.1 + np.arange(3)[:, None] * [1.35, 0.3, 0]).astype(np.float32)


def package(suffix):
    module, install = packages.PACKAGES[suffix]
    return pytest.importorskip(module, reason=f"needs {install}", exc_type=ImportError)


def gsd(path, positions, box=(20, 21, 22, 0, 0, 0), types=("C", "O"), steps=range(0, 120, 10)):
    hoomd = package(".gsd")
    with hoomd.open(str(path), "w") as file:
        for step, x in zip(steps, positions, strict=True):
            frame = hoomd.Frame()
            frame.particles.N, frame.particles.position = len(x), x
            frame.particles.types, frame.particles.typeid = list(types), [0] * (len(x) - 1) + [1]
            frame.configuration.box, frame.configuration.step = list(box), step
            file.append(frame)
    return path


def test_frames_of_a_gsd(tmp_path):
    path = gsd(tmp_path / "a.gsd", FRAMES - 3)
    found = read(path)
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES - 3, atol=1e-5)
    assert found.system.atomic_numbers.tolist() == [6, 6, 8]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="a.gsd: gsd cannot read it .*copy it again"):
        read(path)


def test_a_tilted_box_of_a_gsd(tmp_path):
    """Wrapped by hand into the cell of HOOMD's tilts, of which MDAnalysis takes the arc cosine."""
    x, y, z, xy, xz, yz = box = (9.0, 10.0, 11.0, 0.4, -0.3, 0.2)
    cell = np.array([(x, 0, 0), (xy * y, y, 0), (xz * z, yz * z, z)])
    drift = FRAMES + np.linspace(0, 9, 12)[:, None, None] * [1.0, 0.8, 0.6]
    scaled = drift @ np.linalg.inv(cell)
    wrapped = (scaled - np.floor(scaled + 0.5)) @ cell
    assert np.abs(wrapped - drift).max() > 5
    found = read(gsd(tmp_path / "a.gsd", wrapped, box)).positions[:, :, 0]
    np.testing.assert_allclose(found - found[:1, :1], drift - drift[:1, :1], atol=1e-4)


def test_beads_steps_and_systems_of_a_gsd(tmp_path):
    path = tmp_path / "a.gsd"
    found = read(gsd(path, FRAMES, types=("A", "B"), steps=[*range(6), *range(20, 26)]))
    assert found.system.atomic_numbers is None and has_note(found, "names no elements")
    assert found.lengths == (6, 6) and found.time_unit == "frame"
    path = gsd(tmp_path / "b.gsd", [*FRAMES[:11], np.zeros((4, 3))])
    with pytest.raises(DataError, match="b.gsd: frame 11 has 4 atoms, frame 0 has 3"):
        read(path)


def mmcif(path, models):
    gemmi = package(".mmcif")
    structure = gemmi.Structure()
    for k, x in enumerate(models):
        model, chain, residue = gemmi.Model(k + 1), gemmi.Chain("A"), gemmi.Residue()
        residue.name, residue.seqid = "LIG", gemmi.SeqId("1")
        for i, place in enumerate(x):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = f"C{i}", gemmi.Element("C"), gemmi.Position(*place)
            residue.add_atom(atom)
        chain.add_residue(residue)
        model.add_chain(chain)
        structure.add_model(model)
    text = structure.make_mmcif_document().as_string()
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return text


@pytest.mark.parametrize("name", ["a.mmcif", "a.cif", "a.cif.gz"])
def test_models_of_an_mmcif(tmp_path, name):
    path, models = tmp_path / name, FRAMES.astype(np.float64).tolist()
    text = mmcif(path, models)
    rows = [line.split() for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    tags = [line for line in text.splitlines() if line.startswith("_atom_site.")]
    places = [tags.index(f"_atom_site.Cartn_{axis}") for axis in "xyz"]
    by_hand = np.array([[row[k] for k in places] for row in rows], float).reshape(12, 3, 3)
    np.testing.assert_allclose(read(path).positions[:, :, 0], by_hand, atol=1e-5)
    np.testing.assert_allclose(by_hand, FRAMES, atol=2e-3)
    mmcif(path, [*models[:5], models[5][:2]])
    with pytest.raises(DataError, match=f"{name}: frame 5 has 2 atoms, frame 0 has 3"):
        read(path)


def test_blocks_and_cuts_of_an_mmcif(tmp_path):
    path = tmp_path / "a.cif"
    text = mmcif(path, FRAMES)
    path.write_text(text + text.replace("data_", "data_other"))
    with pytest.raises(DataError, match="a.cif: holds atoms in its block other"):
        read(path)
    path.write_text(text[: text.rindex("C2")])
    with pytest.raises(DataError, match="a.cif: gemmi cannot read it .*copy it again"):
        read(path)


def test_an_mmcif_as_the_topology(tmp_path):
    mmcif(tmp_path / "top.cif", FRAMES[:1])
    write_frames(tmp_path / "a.dcd", FRAMES)
    found = read(f"{tmp_path}/top.cif,{tmp_path}/a.dcd")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert found.system.names == ("C0", "C1", "C2")


def test_frames_of_a_tng():
    """A run of GROMACS' against its first frame as a .gro, and what its package reads, nm."""
    pytng = package(".tng")
    found = read(f"{datafiles.TNG_traj_gro},{datafiles.TNG_traj}", unwrap=False)
    assert found.positions.shape == (101, 1000, 1, 3) and (found.frame_step, found.time_unit) == (
        pytest.approx(10.0),
        "ps",
    )
    rows = gzip.open(datafiles.TNG_traj_gro, "rt").read().splitlines()[2:-1]
    first = 10 * np.array([[row[k : k + 8] for k in (20, 28, 36)] for row in rows], float)
    np.testing.assert_allclose(found.positions[0, :, 0], first, atol=1e-5)
    with pytng.TNGFileIterator(datafiles.TNG_traj, "r") as frames:
        place = np.empty((1000, 3), np.float32)
        frames[57 * 5000].get_positions(place)
    np.testing.assert_allclose(found.positions[57, :, 0], 10 * place, atol=1e-5)
    assert set(found.system.atomic_numbers) == {18}


def test_cut_behind_each_block_of_a_tng(tmp_path):
    """Without the package: at each block, within it, and with a bit of its contents turned."""
    path, data, begin = tmp_path / "a.tng", Path(datafiles.TNG_traj).read_bytes(), 0
    path.write_bytes(data)
    tng.examine(path)
    while begin < len(data):
        end = begin + sum(struct.unpack("<qq", data[begin : begin + 16]))
        turned = bytearray(data)
        turned[end - 1] ^= 1
        cuts = [data[: begin + 20], data[: end - 1], data[:begin] or b"x"]
        for text in (*cuts, *[bytes(turned)] * any(data[begin + 24 : begin + 40])):
            path.write_bytes(text)
            with pytest.raises(DataError, match="a.tng: is (cut short|damaged).* byte"):
                tng.examine(path)
        begin = end


@pytest.mark.parametrize("name", ["173D.mmtf", "5KIH.mmtf.gz"])
def test_mmtf(name):
    mmtf = package(".mmtf")
    path = f"{datafiles.TNG_traj.rpartition('/')[0]}/{name}"
    found = read(path, unwrap=False)
    data = mmtf.parse_gzip(path) if name.endswith("gz") else mmtf.parse(path)
    expected = np.transpose([data.x_coord_list, data.y_coord_list, data.z_coord_list])
    np.testing.assert_allclose(found.positions[0, :, 0], expected, atol=1e-5)


def test_a_tilt_is_no_cosine():
    lengths_and_angles = packages._gsd_box(9.0, 10.0, 11.0, 0.4, -0.3, 0.2)
    cell = np.array([(9.0, 0, 0), (4.0, 10.0, 0), (-3.3, 2.2, 11.0)])
    np.testing.assert_allclose(cellpar_to_cell(lengths_and_angles), cell, atol=1e-9)
