"""Formats that need a package of their own: files that it writes, or this test does, read again."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from ase.geometry import cellpar_to_cell
from helpers.files import CARBONS, datafiles, has_note, random_walk, read, write_frames, write_pdb

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


def block(kind, name, contents):
    head = struct.pack("<qqq", 41 + len(name) + 8, len(contents), kind)
    head += hashlib.md5(contents).digest() + name.encode() + b"\0" + struct.pack("<q", 8)
    return head + contents


def tng_file(path, sets, atoms, exponent=-9, double=False, chains=1):
    """Uncompressed; sets of (first step, steps, {kind: (first step, stride, values)})."""
    names = {0x10000000: "BOX SHAPE", 0x10000001: "POSITIONS", 0x10000002: "VELOCITIES"}
    form, parts = "d" if double else "f", []
    molecule = struct.pack("<qq2s5q", 1, 1, b"X", 1, 1, chains, chains, atoms)
    molecule += struct.pack("<q2sqq2sq", 1, b"A", 1, 1, b"R", atoms) * chains  # each of one residue
    molecule += b"".join(struct.pack("<q4s", k, b"C\0C\0") for k in range(atoms))
    molecules = block(1, "MOLECULES", molecule + struct.pack("<q", 0))
    for first, count, contents in sets:
        about = struct.pack("<qq6qdd", first, count, *[-1] * 6, first * 2e-15, 2e-15)
        parts.append(block(2, "TRAJECTORY FRAME SET", about))
        for kind, (begin, stride, values) in contents.items():
            per_atom = kind != 0x10000000
            head = struct.pack("<BBBqq", 2 + double, 1 + 2 * per_atom, 1, 3 if per_atom else 9, 0)
            head += struct.pack("<qq", begin, stride) + struct.pack("<qq", 0, atoms) * per_atom
            parts[-1] += block(kind, names[kind], head + np.asarray(values, form).tobytes())

    def general(first, last):
        rest = struct.pack("<qcqqqqqq", 0, b"\0", 100, first, last, 100, 10000, exponent)
        return block(0, "GENERAL INFO", b"\0" * 9 + rest)

    first = len(general(0, 0) + molecules)
    last = first + sum(map(len, parts[:-1]))
    path.write_bytes(general(first, last) + molecules + b"".join(parts))
    return path


@pytest.mark.parametrize(("exponent", "double"), [(-9, False), (-10, True)])
def test_strides_of_a_tng(tmp_path, exponent, double):
    """Positions every 10 steps, boxes every 100, velocities every 50, as nstxout and nstvout make them."""
    package(".tng")
    unit, atoms = 10.0 ** (exponent + 10), 3
    x = random_walk(30, atoms) + np.float32([4.0, 5, 6])
    edges = np.array([20.0, 22.5, 25])
    boxes = np.eye(3) * edges[:, None, None] + np.tri(3, 3, -1)
    sets = [
        (
            first,
            count,
            {
                0x10000000: (first, 100, boxes[first // 100 : (first + count + 99) // 100] / unit),
                0x10000001: (first, 10, x[first // 10 : (first + count) // 10] / unit),
                0x10000002: (first, 50, np.ones((-(-count // 50), atoms, 3))),
            },
        )
        for first, count in [(0, 200), (200, 100)]
    ]
    path = tng_file(tmp_path / "a.tng", sets, atoms, exponent, double)
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    found = read(f"{top},{path}")
    np.testing.assert_allclose(found.positions[:, :, 0], x, atol=1e-5)
    assert (found.frame_step, found.time_unit) == (pytest.approx(0.02), "ps")
    assert has_note(found, "27 frame(s) of a.tng have no box of their own")
    held = tng.read_tng(path).boxes
    np.testing.assert_allclose(held[:, 0], np.repeat(edges, 10), rtol=1e-6)
    np.testing.assert_allclose([cellpar_to_cell(box) for box in held[::10]], boxes, atol=1e-4)


def test_positions_at_other_steps_of_a_tng(tmp_path):
    """A gap ends a run; steps that the package cannot read, and what ends it, are refused by their place."""
    package(".tng")
    x = random_walk(8, 3)
    top = write_pdb(tmp_path / "a.pdb", CARBONS)

    def file(name, second):
        sets = [(0, 40, {0x10000001: (0, 10, x[:4] / 10)})]
        sets += [(second, 40, {0x10000001: (second, 10, x[4:] / 10)})]
        return tng_file(tmp_path / name, sets, 3)

    found = read(f"{top},{file('a.tng', 80)}")
    assert found.lengths == (4, 4)
    np.testing.assert_allclose(found.positions[:, :, 0], x, atol=1e-5)
    file("b.tng", 43)
    with pytest.raises(DataError, match=r"b.tng: .*positions of step 43 \(frame 4\).*trjconv"):
        read(f"{top},{tmp_path / 'b.tng'}")
    tng_file(tmp_path / "d.tng", [(0, 40, {0x10000001: (0, 10, x[:4])})], 3, chains=0)
    with pytest.raises(DataError, match="d.tng: .* ends by SIG.*trjconv"):
        read(f"{top},{tmp_path / 'd.tng'}")
    tng_file(tmp_path / "c.tng", [(0, 40, {0x10000002: (0, 10, x[:4])})], 3)
    with pytest.raises(DataError, match="c.tng: holds no positions.*nstxout"):
        read(f"{top},{tmp_path / 'c.tng'}")


@pytest.mark.parametrize("count, stride", [(2**62, 1), (40, 0), (40, -1)])
def test_a_tng_that_promises_what_it_cannot_hold(tmp_path, count, stride):
    """Without the package."""
    path = tng_file(
        tmp_path / "a.tng", [(0, count, {0x10000001: (0, stride, np.ones((4, 3, 3)))})], 3
    )
    with pytest.raises(
        DataError, match="a.tng: the block that begins at byte [0-9]+.*copy it again"
    ):
        tng.examine(path)


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
