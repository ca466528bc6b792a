"""Frames of .gro files and LAMMPS dumps: held against what was written, against MDAnalysis and ASE."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from helpers.files import has_note, mda, read

from estag_jax.data.system import DataError
from estag_jax.sources.files.stacks import read_dump, read_gro

RNG = np.random.default_rng(0)
START = np.array([[0.0, 0, 0], [1.5, 0, 0], [2.0, 1.3, 0], [-0.5, -0.9, 0.1]])
FRAMES = (START + RNG.normal(0, 0.02, (6, 4, 3)).cumsum(axis=0)).round(5)
TYPES = [1, 1, 2, 3]
DATA = """LAMMPS data

4 atoms
3 atom types

-10 10 xlo xhi
-10 10 ylo yhi
-10 10 zlo zhi

Masses

1 12.011
2 15.999
3 1.00794

Atoms # full

""" + "".join(
    f"{i + 1} 1 {t} 0.0 {x} {y} {z}\n"
    for i, (t, (x, y, z)) in enumerate(zip(TYPES, START, strict=True))
)
BOXES = {
    "orthogonal": (np.diag([20.0, 21, 22]), [-10.0, -9, -8]),
    "tilted back": (np.array([[20.0, 0, 0], [-4, 21, 0], [3, -5, 22]]), [-10.0, -9, -8]),
    "triclinic": (np.array([[20.0, 0, 0], [4, 21, 0], [-3, 5, 22]]), [-10.0, -9, -8]),
}


def bounds(cell, corner):
    """LAMMPS' Howto_triclinic."""
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    low, high = np.array(corner), np.array(corner) + np.diag(cell)
    low[0] += min(0, xy, xz, xy + xz)
    high[0] += max(0, xy, xz, xy + xz)
    low[1] += min(0, yz)
    high[1] += max(0, yz)
    if not (xy or xz or yz):
        return "pp pp pp\n" + "".join(f"{a} {b}\n" for a, b in zip(low, high, strict=True))
    tilt = (xy, xz, yz)
    rows = "".join(f"{a} {b} {t}\n" for a, b, t in zip(low, high, tilt, strict=True))
    return "xy xz yz pp pp pp\n" + rows


def dump(
    path,
    box="orthogonal",
    columns="id type x y z",
    steps=range(0, 600, 100),
    names=TYPES,
    frames=FRAMES,
):
    cell, corner = BOXES[box]
    lines = []
    for step, frame in zip(steps, frames, strict=False):
        scaled = (frame - corner) @ np.linalg.inv(cell)
        lines.append(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n4\nITEM: BOX BOUNDS ")
        lines.append(f"{bounds(cell, corner)}ITEM: ATOMS {columns}\n")
        values = dict(zip(("x", "y", "z"), frame.T, strict=True))
        values |= {f"{a}u": v for a, v in values.items()}
        values |= {f"{a}s{u}": v for a, v in zip("xyz", scaled.T, strict=True) for u in ("", "u")}
        values |= {"id": [1, 2, 3, 4], "type": names, "element": names}
        rows = [" ".join(str(values[c][i]) for c in columns.split()) for i in RNG.permutation(4)]
        lines.append("\n".join(rows) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(
    "columns", ["id type x y z", "xs ys zs type id", "id type xu yu zu", "id xsu ysu zsu"]
)
def test_dumps_of_every_kind_of_coordinate(tmp_path, box, columns):
    stack = read_dump(dump(tmp_path / "a.dump", box, columns))
    np.testing.assert_allclose(stack.positions, FRAMES, atol=1e-5)
    np.testing.assert_array_equal(stack.times, np.arange(6) * 100)
    from MDAnalysis.lib.mdamath import triclinic_vectors

    np.testing.assert_allclose(triclinic_vectors(stack.boxes[0]), BOXES[box][0], atol=1e-4)
    if "s" not in columns and "type" in columns:  # ASE puts the corner elsewhere
        images = ase.io.read(tmp_path / "a.dump", ":", format="lammps-dump-text")
        np.testing.assert_allclose(stack.positions, [a.positions for a in images], atol=1e-5)


@pytest.mark.parametrize("suffix", ["lammpstrj", "dump", "lammpsdump"])
def test_elements_are_taken_from_the_masses(tmp_path, suffix):
    (tmp_path / "system.data").write_text(DATA)
    run = dump(tmp_path / f"a.{suffix}")
    found = read(f"{tmp_path / 'system.data'},{run}", frame_step="50 fs")
    assert found.system.atomic_numbers.tolist() == [6, 6, 8, 1]
    assert (found.frame_step, found.time_unit) == (50.0, "fs")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert has_note(found, "elements taken from the masses")
    for old, new in (("15.999", "31.0"), ("12.011", "1.0"), ("1.00794", "3.3")):
        (tmp_path / "b.data").write_text(DATA.replace(old, new))  # no element, beads
    beads = read(f"{tmp_path / 'b.data'},{run}")
    assert beads.system.atomic_numbers is None and has_note(beads, "names no elements")


@pytest.mark.parametrize(
    ("units", "scale", "step"),
    [("real", 1.0, 0.002), ("metal", 1.0, 2.0), ("nano", 0.1, 2000.0), ("electron", 1.8897, 0.002)],
)
def test_units_and_times_of_a_dump(tmp_path, units, scale, step):
    (tmp_path / "system.data").write_text(DATA)
    text = dump(tmp_path / "a.dump", frames=FRAMES * scale).read_text()
    blocks = text.split("ITEM: TIMESTEP")[1:]
    told = [f"ITEM: TIME\n{2.0 * k}\nITEM: TIMESTEP{block}" for k, block in enumerate(blocks)]
    (tmp_path / "a.dump").write_text(f"ITEM: UNITS\n{units}\n" + "".join(told))
    found = read(f"{tmp_path / 'system.data'},{tmp_path / 'a.dump'}")
    assert (found.frame_step, found.time_unit) == pytest.approx((step, "ps"))
    inside = found.positions[:, :, 0] - found.positions[:, :1, 0]
    np.testing.assert_allclose(inside, FRAMES - FRAMES[:, :1], atol=1e-4)
    (tmp_path / "a.dump").write_text("".join(told))  # of no unit that is known
    assert read(f"{tmp_path / 'system.data'},{tmp_path / 'a.dump'}").time_unit == "frame"


@pytest.mark.parametrize("style", ["atomic", "charge", "molecular", "full", ""])
@pytest.mark.parametrize("name", ["system.data", "data.system", "system.lmp"])
def test_the_style_of_atoms(tmp_path, style, name):
    columns = {"charge": "0.5", "molecular": "", "full": "0.0"}.get(style, "")
    first = "1" if style in ("molecular", "full") else ""
    rows = [
        " ".join([str(i + 1), first, str(t), columns, *map(str, x)])
        for i, (t, x) in enumerate(zip(TYPES, START, strict=True))
    ]
    head = DATA.partition("Atoms")[0]
    (tmp_path / name).write_text(
        f"{head}Atoms {f'# {style}' if style else ''}\n\n" + "\n".join(rows)
    )
    run = dump(tmp_path / "dump.run.7")
    found = read(f"{tmp_path / name},{run}")
    assert found.system.atomic_numbers.tolist() == [6, 6, 8, 1]
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    with pytest.raises(DataError, match=rf"the topology goes first; write .*{name},{run}"):
        read(f"{run},{tmp_path / name}")


def test_a_dump_alone(tmp_path):
    plain = read(dump(tmp_path / "a.dump"))
    assert plain.system.atomic_numbers is None and plain.system.names == ("1", "1", "2", "3")
    assert plain.system.length_unit == "unit" and has_note(plain, "write a TOPOLOGY")
    named = read(dump(tmp_path / "b.dump", columns="id element x y z", names=list("CCOH")))
    assert named.system.atomic_numbers.tolist() == [6, 6, 8, 1]


@pytest.mark.parametrize("columns", ["type x y z", "element x y z"])
def test_a_dump_without_ids(tmp_path, columns):
    path = dump(tmp_path / "a.dump", columns=columns, names=list("CCOH"))
    (tmp_path / "system.data").write_text(DATA)
    for spec in (path, f"{tmp_path / 'system.data'},{path}"):
        with pytest.raises(DataError, match="a.dump: .*without id the order of atoms is not known"):
            read(spec)


def test_steps_tell_gaps(tmp_path):
    found = read(dump(tmp_path / "a.dump", steps=[0, 100, 200, 900, 1000, 1000]))
    assert found.lengths == (3, 2) and found.time_unit == "frame"
    assert has_note(found, "200 to 900 steps") and has_note(found, "frame 5: written twice")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s[:-40], r"frame 5 .*cut short.*save its 5 whole frames"),
        (lambda s: s.replace("ATOMS\n4", "ATOMS\n3", 1), "frame 1 .*is cut short or damaged"),
        (
            lambda s: s.replace("id type x y z", "id type mux muy muz"),
            "columns .*expected id x y z",
        ),
        (
            lambda s: s.replace("ATOMS id", "ATOMS mol"),
            "columns mol type x y z, expected id .*without id the order of atoms is not known",
        ),
        (
            lambda s: s + s.replace("4\nITEM: BOX", "3\nITEM: BOX")[: s.index("z\n") + 70],
            "frame 6 .*",
        ),
    ],
)
def test_bad_dumps(tmp_path, change, words):
    path = dump(tmp_path / "a.dump")
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=words) as error:
        read_dump(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def gro(path, digits=3, frames=FRAMES, title="ligand t= {:.5f} step= 3"):
    width = digits + 5
    text = ""
    for k, frame in enumerate(frames):
        text += f"{title.format(2.0 * k)}\n    4\n"
        for i, point in enumerate(frame / 10 + 1):
            text += f"    1LIG  {('C1', 'C2', 'O1', 'H1')[i]:>5s}{i + 1:5d}"
            text += "".join(f"{x:{width}.{digits}f}" for x in point) + "\n"
        text += "   3.0 3.0 3.0\n"
    path.write_text(text)
    return path


@pytest.mark.parametrize("digits", [3, 5])
def test_every_frame_of_a_gro_file(tmp_path, digits):
    path = gro(tmp_path / "a.gro", digits)
    found = read(path)
    assert found.num_frames == 6 and (found.frame_step, found.time_unit) == (2.0, "ps")
    np.testing.assert_allclose(
        found.positions[:, :, 0], FRAMES + 10, atol=0.6 * 10.0 ** (1 - digits)
    )
    first = mda.Universe(str(path)).atoms.positions  # MDAnalysis reads the first frame
    np.testing.assert_allclose(found.positions[0, :, 0], first, atol=1e-5)
    top = gro(tmp_path / "top.gro", frames=FRAMES[:1])
    np.testing.assert_array_equal(read(f"{top},{path}").positions, found.positions)
    assert read(path, select="name O1").system.num_nodes == 1


def test_gro_without_times_and_blank_lines(tmp_path):
    path = gro(tmp_path / "a.gro", title="no time")
    path.write_text(path.read_text() + "\n\n")
    stack = read_gro(path)
    assert stack.times is None and len(stack.positions) == 6
    assert read(path).time_unit == "frame"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s[:-70], r"frame 5 .*line 36, is not whole"),
        (
            lambda s: s + "left behind\nthe end\n",
            r"line 44 is 'the end', expected the number of atoms",
        ),
        (lambda s: s.replace("\n    4\n", "\n    3\n", 1), "line"),
    ],
)
def test_bad_gro(tmp_path, change, words):
    path = gro(tmp_path / "a.gro")
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
