"""XYZ and extended XYZ: held against the raw text and against ASE."""

from __future__ import annotations

import bz2
import gzip
import lzma

import ase
import ase.io
import numpy as np
import pytest
from ase.geometry import cellpar_to_cell
from helpers.files import has_note, read

from estag_jax.data.system import DataError

WORDS = ("C", "O", "H")
FRAMES = np.random.default_rng(0).normal(0, 0.05, (6, 3, 3)) + [[0, 0, 0], [1.2, 0, 0], [2.1, 0, 0]]
FRAMES = FRAMES.round(6)


def text(
    frames=FRAMES, words=WORDS, comment="frame {}", row="{w} {x:.6f} {y:.6f} {z:.6f}", between=""
):
    parts = []
    for k, frame in enumerate(frames):
        rows = [row.format(w=w, x=x, y=y, z=z) for w, (x, y, z) in zip(words, frame, strict=True)]
        parts.append(
            "\n".join([str(len(words)), comment.replace("{}", str(k)), *rows]) + "\n" + between
        )
    return "".join(parts)


def saved(tmp_path, content, name="a.xyz"):
    (tmp_path / name).write_text(content)
    return tmp_path / name


@pytest.mark.parametrize("between", ["\n", "\n \n\t\n"])
def test_blank_lines_between_frames(tmp_path, between):
    found = read(saved(tmp_path, text(between=between)))
    np.testing.assert_array_equal(found.positions[:, :, 0], FRAMES)
    assert found.system.names == WORDS


@pytest.mark.parametrize(
    ("properties", "row"),
    [
        ("pos:R:3:forces:R:3:species:S:1", "{x:.6f} {y:.6f} {z:.6f} 1 2 3 {w}"),
        ("id:I:1:species:S:1:pos:R:3", "7 {w} {x:.6f} {y:.6f} {z:.6f}"),
        ("forces:R:3:species:S:1:q:R:1:pos:R:3", "9 9 9 {w} 0.5 {x:.6f} {y:.6f} {z:.6f}"),
    ],
)
def test_columns_in_any_order_are_those_that_ase_reads(tmp_path, properties, row):
    path = saved(tmp_path, text(comment=f"Properties={properties} time_fs={{}}", row=row))
    found = read(path)
    images = ase.io.read(path, ":", format="extxyz")
    np.testing.assert_array_equal(found.positions[:, :, 0], [a.positions for a in images])
    assert found.system.names == tuple(images[0].symbols)
    assert (found.frame_step, found.time_unit) == (1.0, "fs")


@pytest.mark.parametrize(
    "cell", [np.diag([8.0, 9, 10]), np.array([[8.0, 0, 0], [2, 9, 0], [1, 1, 9]])]
)
def test_the_lattice_is_that_of_ase(tmp_path, cell):
    shifted = FRAMES + [7.4, 0.1, 0.1]  # torn by the boundary
    images = [ase.Atoms("COH", x, cell=cell, pbc=True) for x in shifted]
    for image in images:
        image.wrap()
    ase.io.write(tmp_path / "a.xyz", images, format="extxyz")
    found = read(tmp_path / "a.xyz").positions[:, :, 0]
    inside = found - found[:, :1]
    np.testing.assert_allclose(inside, shifted - shifted[:, :1], atol=1e-6)
    assert np.abs(images[0].positions - images[0].positions[0]).max() > 5  # it was torn


@pytest.mark.parametrize(
    ("words", "numbers", "note"),
    [
        (("C1", "O_2", "H3'"), [6, 8, 1], "elements are taken from the names in a.xyz"),
        (("CL1", "BR2", "Si3"), [17, 35, 14], "taken from the names"),
        (("6", "8", "1"), [6, 8, 1], "taken for atomic numbers"),
        (("c", "CL", "na"), [6, 17, 11], ""),
        (("O", "D", "T"), [8, 1, 1], ""),  # heavy hydrogen
        (("CA", "CA", "CA"), [20, 20, 20], "CA in a.xyz is read as the element Ca; write C if"),
        (("1", "2", "1"), None, "taken for types"),
        (("1", "999999999999", "1"), None, "taken for types"),  # not counted up to
        (("²", "³", "¹"), None, "'²' of node 0 in a.xyz is no element"),  # digits, but no int
        (("A", "B", "B"), None, "'A' of node 0 in a.xyz is no element"),
        (("N", "CA", "CB"), None, "'CB' of node 2 in a.xyz is no element"),
        (("CA1", "C2", "C3"), None, "'CA1' of node 0"),  # calcium or carbon
        (("X", "X", "X"), None, ""),
    ],
)
def test_what_stands_for_elements(tmp_path, words, numbers, note):
    found = read(saved(tmp_path, text(words=words)))
    if numbers is None:
        assert found.system.atomic_numbers is None and found.system.length_unit == "unit"
        assert found.system.names == (("0", "1", "2") if words[0] == "X" else words)
    else:
        assert found.system.atomic_numbers.tolist() == numbers
    assert has_note(found, note) if note else len(found.notes) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (text() + "# end\n", r"frame 6 .*line 31.*'# end'.*number of atoms"),
        (text()[:-30], r"frame 5 .*line 26.*(2 of 3 atoms|expected an element and 3 numbers)"),
        (text() + "9" * 5000, r"frame 6 .*line 31: is '9{40}', expected the number of atoms"),
        (text() + "²", r"frame 6 .*line 31: is '²', expected the number of atoms"),
        (text().replace("frame 0\n", "", 1), r"frame 0 .*line 5 is '3', expected an element and 3"),
        (text()[:-4], r"ends within the number"),
        (text(comment='Lattice="9 0 0 0 9 0"'), r"frame 0 .*Lattice is not understood"),
        (text(comment="Properties=species:S:1:forces:R:3"), r"frame 0 .*expected species and pos"),
        (
            text(comment="Properties=species:S:1:pos:R:1000000000"),
            r"pos 1000000000 columns, expected 3",
        ),
        (text(comment="Properties=species:S:1:pos:R:3:forces:R:3"), r"line 3 .*expected 7 columns"),
        (text().replace("frame 3\nC", "frame 3\nN"), "atom 0 is N in frame 3 and C in frame 0"),
    ],
)
def test_lines_that_are_no_part_of_a_frame(tmp_path, content, words):
    path = saved(tmp_path, content)
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_mark_of_byte_order_and_other_encodings(tmp_path):
    (tmp_path / "a.xyz").write_bytes(
        b"\xef\xbb\xbf" + text(comment="Gr\u00f6\u00dfe").encode("latin1")
    )
    np.testing.assert_array_equal(read(tmp_path / "a.xyz").positions[:, :, 0], FRAMES)


def test_a_last_line_without_an_end_may_be_whole(tmp_path):
    assert read(saved(tmp_path, text().rstrip("\n"))).num_frames == 6


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)],
)
def test_compressed_files(tmp_path, suffix, compress):
    path = tmp_path / f"a.xyz.{suffix}"
    path.write_bytes(compress(text().encode()))
    np.testing.assert_array_equal(read(path).positions[:, :, 0], FRAMES)
    path.write_bytes(compress(text().encode())[:-20])
    with pytest.raises(DataError, match=rf"a\.xyz\.{suffix}: cannot be read .*copy it again"):
        read(path)


def test_times_in_comments(tmp_path):
    cp2k = read(saved(tmp_path, text(comment=" i = {}, time =  {}.500, E = -17.1")))
    assert (cp2k.frame_step, cp2k.time_unit) == (1.0, "fs")
    orca = "# ORCA AIMD Position Step {}, t={}.50 fs, E_Pot=-154.0 Hartree, Unit is Angstrom"
    for comment, unit in [
        (orca, "fs"),
        ('Lattice="9 0 0 0 9 0 0 0 9" time: {} PS', "ps"),
        ("t= {} ns step= 3", "ns"),
    ]:
        named = read(saved(tmp_path, text(comment=comment)))
        assert (named.frame_step, named.time_unit) == (1.0, unit)
    bare = read(saved(tmp_path, text(comment="time={}")))
    assert bare.time_unit == "frame" and has_note(bare, "time= in a.xyz has no unit")
    gap = (
        text(comment="time_ps={}")
        .replace("time_ps=4", "time_ps=14")
        .replace("time_ps=5", "time_ps=15")
    )
    found = read(saved(tmp_path, gap))
    assert found.lengths == (4, 2) and found.run_names == ("a.xyz", "a.xyz-2")
    twice = read(saved(tmp_path, text(comment="time_ps={}").replace("time_ps=3", "time_ps=2")))
    assert has_note(twice, "same time as the frame before") and has_note(twice, "1 gap(s)")
    assert twice.lengths == (3, 2)


IPI = "# CELL(abcH): 9.0 10.0 11.0 80.0 90.0 95.0  Step: {}  Bead: 0 "


@pytest.mark.parametrize("unit, size", [("angstrom", 1.0), ("atomic_unit", 0.529177210903)])
@pytest.mark.parametrize("cell, edge", [("angstrom", 1.0), ("atomic_unit", 0.529177210903)])
def test_box_and_units_of_ipi(tmp_path, unit, size, cell, edge):
    """A molecule that a box in its own unit tears: whole again, in the unit of the positions."""
    box = cellpar_to_cell([9, 10, 11, 80, 90, 95]) * edge
    scaled = (FRAMES + np.linspace(0, 6, 6)[:, None, None]) @ np.linalg.inv(box)
    torn = (scaled - np.floor(scaled)) @ box / size
    comment = f"{IPI}positions{{{{{unit}}}}}  cell{{{{{cell}}}}}".replace("{{", "{").replace(
        "}}", "}"
    )
    found = read(saved(tmp_path, text(torn, comment=comment)))
    assert found.system.length_unit == ("Å" if size == 1 else "bohr") and has_note(found, "whole")
    apart = FRAMES - FRAMES[:, :1]
    shown = found.positions[:, :, 0] * size
    np.testing.assert_allclose(shown - shown[:, :1], apart, atol=1e-5)


def test_what_ipi_writes_beside_positions(tmp_path):
    for what, why in (
        ("velocities{atomic_unit}", "holds velocities"),
        ("positions{ell}", "ell is"),
    ):
        path = saved(tmp_path, text(comment=f"{IPI}{what}  cell{{angstrom}}"))
        with pytest.raises(DataError, match=f"a.xyz: frame 0.*{why}"):
            read(path)


@pytest.mark.parametrize("unit, size", [("nm", 10.0), ("bohr", 0.529177210903)])
def test_a_torn_molecule_in_another_unit(tmp_path, unit, size):
    """Extended XYZ and a dump, each in its own unit: bonds are sought in Å."""
    box = 12.0
    torn = (FRAMES + 11) % box / size
    rows = " ".join(f"{x / size:.8f}" for x in np.diag([box] * 3).ravel())
    path = saved(tmp_path, text(torn, comment=f'Lattice="{rows}" length_unit={unit}'))
    dump = "".join(
        f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n"
        + 3 * f"0 {box / size:.8f}\n"
        + "ITEM: ATOMS id element x y z\n"
        + "".join(
            f"{i} {w} {x} {y} {z}\n" for i, (w, (x, y, z)) in enumerate(zip(WORDS, f, strict=True))
        )
        for k, f in enumerate(torn)
    )
    for found in (
        read(path),
        read(saved(tmp_path, dump, "a.lammpstrj"), length_unit=unit, frame_step="1 fs"),
    ):
        assert found.system.length_unit == unit
        whole = found.positions[:, :, 0] * size
        np.testing.assert_allclose(whole - whole[:, :1], FRAMES - FRAMES[:, :1], atol=1e-4)


@pytest.mark.parametrize("name", ["xtb.trj", "a.ANI", "a.xmol", "a.txt"])
def test_text_of_an_xyz_under_another_suffix(tmp_path, name):
    path = saved(tmp_path, text(), name)
    with pytest.raises(DataError, match=f"{name}: its text is that of an XYZ.*--read.format xyz"):
        read(path)
    assert read(path, format="xyz").num_frames == 6
