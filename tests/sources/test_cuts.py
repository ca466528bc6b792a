"""Files cut behind each of their lines: refused, or read up to a frame that ends there."""

import re
import warnings

import ase
import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.files import has_note, mol2, read, write_pdb
from helpers.small_files import _chain, psf

from estag_jax.data.system import DataError

ETHANOL = molecule("CH3CH2OH")
FRAMES = (ETHANOL.positions + _chain(3, 9).cumsum(1) * 0.01 + 3).round(6)
ROWS_OF_THREE = FRAMES[0, :3]
ROWS = [list(zip(ETHANOL.symbols, frame.tolist(), strict=True)) for frame in FRAMES]


def images(count):
    """With what CASTEP writes beside positions."""
    frames = [ase.Atoms(ETHANOL.symbols, x, cell=[12.0, 12, 13], pbc=True) for x in FRAMES[:count]]
    for frame in frames:
        zeros = {"forces": np.zeros((9, 3)), "stress": np.zeros(6)}
        frame.calc = SinglePointCalculator(frame, energy=-1.0, **zeros)
        frame.set_velocities(np.zeros((9, 3)))
    return frames


def by_ase(name, form):
    def make(folder, count):
        with warnings.catch_warnings(action="ignore"):
            ase.io.write(folder / name, images(count), format=form)
        return (folder / name).read_text()

    return make


def tinker(box):
    def make(folder, count):
        head = "9  ethanol\n" + " 30.0 30.0 30.0 90.0 90.0 90.0\n" * box
        rows = (
            "".join(f"{i} {s} {x:f} {y:f} {z:f} 1 2\n" for i, (s, (x, y, z)) in enumerate(frame, 1))
            for frame in ROWS[:count]
        )
        return "".join(head + text for text in rows)

    return make


def behind(make):
    def both(folder, count):
        write_pdb(folder / "top.pdb", [(f"{s}{i}", "LIG", 1, s) for i, s in enumerate("CCOHHHHHH")])
        return make(folder, count)

    return both


def gromos(folder, count):
    block = "TIMESTEP\n{k} {k}.0\nEND\nPOSITIONRED\n{rows}END\nGENBOX\n0\n0 0 0\n0 0 0\n0 0 0\n0 0 0\nEND\n"
    rows = (
        "".join(f"{x:15.9f}{y:15.9f}{z:15.9f}\n" for _, (x, y, z) in frame)
        for frame in ROWS[:count]
    )
    return "TITLE\nt\nEND\n" + "".join(block.format(k=k, rows=r) for k, r in enumerate(rows))


def models(head, foot):
    def make(folder, count):
        row = "ATOM  {i:5d} {s:<3s}  LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {s:>2s}\n"
        rows = (
            "".join(row.format(i=i, s=s, x=x, y=y, z=z) for i, (s, (x, y, z)) in enumerate(f, 1))
            for f in ROWS[:count]
        )
        return "".join(f"{head}{text}{foot}" for text in rows)

    return make


def dump(folder, count):
    head = "ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n9\nITEM: BOX BOUNDS pp pp pp\n0 50\n0 50\n0 50\n"
    rows = (
        "".join(f"{i} {s} {x} {y} {z}\n" for i, (s, (x, y, z)) in enumerate(f, 1))
        for f in ROWS[:count]
    )
    return "".join(
        f"{head.format(k=k)}ITEM: ATOMS id element x y z\n{r}" for k, r in enumerate(rows)
    )


CUT = {
    "arc": ("a.arc", "", tinker(0)),
    "arc with a box": ("a.arc", "", tinker(1)),
    "txyz": ("a.txyz", "", tinker(0)),
    "arc behind": ("top.pdb,a.arc", "", behind(tinker(0))),
    "trc": ("top.pdb,a.trc", "", behind(gromos)),
    "pdb": ("a.pdb", "", models("MODEL\n", "ENDMDL\n")),
    "pdb by ASE's name": ("a.ent", "proteindatabank", models("MODEL\n", "ENDMDL\n")),
    "xpdb": ("a.xpdb", "", models("MODEL\n", "ENDMDL\n")),
    "mol2": ("a.mol2", "", lambda folder, count: mol2(3, "1 1 2 1\n2 2 3 1\n") * count),
    "dump": ("a.dump", "", dump),
    "dump by ASE's name": ("a.out", "lammps-dump-text", dump),
    "castep md": ("a.md", "", by_ase("a.md", "castep-md")),
    "castep geom": ("a.geom", "", by_ase("a.geom", "castep-geom")),
    "dmol arc": ("b.arc", "dmol-arc", by_ase("b.arc", "dmol-arc")),
    "eon": ("a.con", "", by_ase("a.con", "eon")),
    "runner": ("a.data", "runnerdata", by_ase("a.data", "runnerdata")),
}


@pytest.mark.parametrize("name", CUT)
def test_cut_behind_each_line(tmp_path, name):
    spec, form, make = CUT[name]
    texts = [make(tmp_path, count) for count in (1, 2, 3)]
    path = tmp_path / spec.rpartition(",")[2]
    path.write_text(texts[-1])
    spec = ",".join(str(tmp_path / part) for part in spec.split(","))
    whole = read(spec, format=form, unwrap=False)
    assert len(whole.positions) == 3 and not has_note(whole, "neither")
    if name != "mol2":  # whose atoms are others
        apart = np.linalg.norm(FRAMES[:, 1:] - FRAMES[:, :1], axis=-1) * (
            10 if "trc" in name else 1
        )
        found = whole.positions[:, 1:, 0] - whole.positions[:, :1, 0]
        by_distance = np.sort(np.linalg.norm(found, axis=-1), axis=1)
        np.testing.assert_allclose(by_distance, np.sort(apart, axis=1), atol=2e-3)
    lines, ends = texts[-1].splitlines(keepends=True), [len(text.splitlines()) for text in texts]
    refused = 0
    for k in range(1, len(lines)):
        path.write_text("".join(lines[:k]))
        try:
            found = read(spec, format=form, unwrap=False)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            refused += k > ends[0]
            continue
        count = len(found.positions)
        np.testing.assert_array_equal(
            found.positions, whole.positions[:count, : found.positions.shape[1]]
        )
        # Of what closes a frame behind its last atom some may be missing.
        whole_frame = any(end >= k and not re.search(r"\d", "".join(lines[k:end])) for end in ends)
        assert whole_frame or has_note(found, "neither") or has_note(found, "has no END"), k
    assert refused >= ends[2] - ends[0] - 9


def test_what_is_wrong_is_said_by_frame_and_line(tmp_path):
    path = tmp_path / "a.arc"
    whole = tinker(0)(tmp_path, 3)
    path.write_text(whole.rpartition("\n")[0].rpartition("\n")[0] + "\n")
    with pytest.raises(DataError, match="a.arc: frame 2 .*9 of its 10 lines .* its 2 whole frames"):
        read(path)
    for text, words in ((whole[:-5], 5), (whole.rpartition("9 H")[0] + "9 H", 2)):
        path.write_text(text)
        why = f"a.arc: frame 2 .*line 30 has {words} words and no end, 7 in the"
        with pytest.raises(DataError, match=why):
            read(path)
    path.write_text(whole.removesuffix(" 2\n") + "\n")  # another bond
    assert len(read(path).positions) == 3
    path = tmp_path / "a.car"
    path.write_text("!BIOSYM archive 3\nPBC=OFF\n\n!DATE\nC1 0.0 0.0 0.0 MOLE 1 xx C 0.000\n")
    with pytest.raises(
        DataError, match="a.car: is cut short, its last line, 5, is 'C1 .*expected end"
    ):
        read(path)
    path = tmp_path / "a.md"
    path.write_text(by_ase("a.md", "castep-md")(tmp_path, 2).rstrip() + "\n")
    with pytest.raises(DataError, match="a.md: 2 frames begin in it, 1 could be read"):
        read(path)


def test_output_of_a_program_that_did_not_end(tmp_path):
    block = "Standard orientation:\n-\nx\nx\n-\n{}-\nSCF Done:  E(RHF) =  -154.0  A.U.\n"
    rows = ("".join(f"{i} 6 0 {x} {y} {z}\n" for i, (_, (x, y, z)) in enumerate(f)) for f in ROWS)
    text = "".join(map(block.format, rows))
    path = tmp_path / "a.out"
    path.write_text(text)
    found = read(path, format="gaussian-out")
    assert has_note(found, "a.out does not end with 'Normal termination'")
    path.write_text(f"{text} Normal termination of Gaussian 16.\n")
    found = read(path, format="gaussian-out")
    assert len(found.positions) == 3
    assert not has_note(found, "does not end") and not has_note(found, "neither")


def test_fewer_rows_than_promised(tmp_path):
    spec, target = psf(tmp_path)
    path = tmp_path / target
    path.write_text(path.read_text().replace("       2       3\n", "\n"))
    with pytest.raises(DataError, match="top.psf: its header promises 2 bonds, 1 are there"):
        read(",".join(str(tmp_path / part) for part in spec.split(",")))
    (tmp_path / "a.mol2").write_text(2 * mol2(3, "1 1 2 1\n2 2 3 1\n").replace("3 2 1", "4 2 1"))
    with pytest.raises(DataError, match="a.mol2: the molecule in line 1 promises 4 atoms, 3 are"):
        read(tmp_path / "a.mol2")


@pytest.mark.parametrize(
    "name, form",
    [
        ("POSCAR", "vasp"),
        ("a.res", "res"),
        ("a.g96", "gromos"),
        ("a.gen", "gen"),
        ("coord", "turbomole"),
    ],
)
def test_frames_one_after_another_of_which_one_would_be_read(tmp_path, name, form):
    path = tmp_path / name
    texts = []
    for image in images(3):
        ase.io.write(path, image, format=form)
        texts.append(path.read_text())
    assert read(path, format=form).positions.shape[:2] == (1, 9)
    path.write_text("".join(texts))
    with pytest.raises(DataError, match=f"{name}: its lines repeat 3 times and one frame"):
        read(path, format=form)


def test_rows_of_one_frame_repeat_without_being_frames(tmp_path):
    rows = "".join(f"{s}\n{x} {y} {z}\n" for s, (x, y, z) in ROWS[0])
    (tmp_path / "a.config").write_text(f"title\n0 0 9\n{rows}")
    assert read(tmp_path / "a.config").positions.shape == (1, 9, 1, 3)
    rows = "".join(f"atom {x} {y} {z} {s}\n" for s, (x, y, z) in ROWS[0])
    (tmp_path / "a.fhiaims").write_text(rows)
    assert read(tmp_path / "a.fhiaims").positions.shape == (1, 9, 1, 3)
    rows = rows.replace("\n", "\n    initial_moment 2.0\n")
    (tmp_path / "geometry.in").write_text(rows)
    assert read(tmp_path / "geometry.in").positions.shape == (1, 9, 1, 3)


def test_models_that_would_be_one_frame(tmp_path):
    path = tmp_path / "a.pdbqt"
    path.write_text(models("MODEL\n", "ENDMDL\n")(tmp_path, 3))
    with pytest.raises(DataError, match="a.pdbqt: its 3 models would be read as one"):
        read(path)


def test_gromos_without_a_box_would_be_its_last_frame(tmp_path):
    text = behind(gromos)(tmp_path, 3)
    (tmp_path / "a.trc").write_text(
        text.replace("GENBOX\n0\n0 0 0\n0 0 0\n0 0 0\n0 0 0\nEND\n", "")
    )
    with pytest.raises(DataError, match="a.trc: frame 2 .*it has no GENBOX"):
        read(f"{tmp_path}/top.pdb,{tmp_path}/a.trc")


def test_time_of_castep(tmp_path):
    """In atomic units of time, 0.02418884 fs each."""
    path = tmp_path / "a.md"
    text = re.sub(
        r"^ +(\d\.0{16}E[+]\d+)$", r"  T\1", by_ase("a.md", "castep-md")(tmp_path, 3), flags=re.M
    )
    for k in range(3):
        text = re.sub(r"  T\S+", f" {41.341374 * k:.8E}", text, count=1)
    path.write_text(text)
    found = read(path)
    assert found.time_unit == "fs" and found.frame_step == pytest.approx(1.0, rel=1e-6)
    assert read(path, frame_step="2 fs").frame_step == 2.0


def test_what_stands_behind_a_whole_file(tmp_path):
    path = tmp_path / "a.traj"
    ase.io.write(path, images(3))
    assert len(read(path).positions) == 3
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(DataError, match="a.traj: holds another trajectory from byte"):
        read(path)
    top = write_pdb(tmp_path / "top.pdb", [(f"{s}{i}", "LIG", 1, s) for i, s in enumerate("CCO")])
    path = tmp_path / "a.coor"
    data = np.array([3], "<i4").tobytes() + np.array(ROWS_OF_THREE, "<f8").tobytes()
    for more, right in [(data, True), (data[:-1], False), (2 * data, False), (b"\3", False)]:
        path.write_bytes(more)
        if right:
            found = read(f"{top},{path}").positions[0, :, 0]
            np.testing.assert_allclose(found, ROWS_OF_THREE, atol=1e-5)
            continue
        with pytest.raises(DataError, match=f"a.coor: has {len(more)} bytes, 3 atoms take 76"):
            read(f"{top},{path}")


def test_a_dump_that_begins_with_its_units_and_its_time(tmp_path):
    """As LAMMPS writes it (dump_modify units yes time yes); MDAnalysis reads the types, and knows neither."""
    frames = dump(tmp_path, 3).split("ITEM: TIMESTEP\n")[1:]
    timed = [f"ITEM: TIME\n{50.0 * k}\nITEM: TIMESTEP\n{text}" for k, text in enumerate(frames)]
    (tmp_path / "a.dump").write_text("ITEM: UNITS\nreal\n" + "".join(timed))
    found = read(tmp_path / "a.dump", unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert (found.frame_step, found.time_unit) == (0.05, "ps")


def test_tinker_files_that_are_called_xyz(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(tinker(0)(tmp_path, 3))
    with pytest.raises(DataError, match="a.xyz: frame 0.*Tinker's is --read.format txyz"):
        read(path)
    np.testing.assert_allclose(read(path, format="txyz").positions[:, :, 0], FRAMES, atol=1e-5)
