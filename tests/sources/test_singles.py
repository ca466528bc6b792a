"""Files of one frame whose rows nobody counts: cut behind each line and each word, or with a row less."""

import re
import warnings

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.files import CARBONS, has_note, random_walk, read, write_pdb

from estag_jax.data.system import DataError

ETHANOL = molecule("CH3CH2OH", vacuum=4.0, pbc=True)
PLACES = list(zip(ETHANOL.symbols, ETHANOL.positions, strict=True))
ROWS = [f"{s:<8s}{i:10d}\n {x:.6f} {y:.6f} {z:.6f}\n" for i, (s, (x, y, z)) in enumerate(PLACES, 1)]
PQR = [
    f"ATOM  {i:5d}  {s:<3s} LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f} -0.3000 1.7000\n"
    for i, (s, (x, y, z)) in enumerate(PLACES, 1)
]
PDB = [re.sub(r"-0.3000 1.7000", f" 1.00  0.00          {row[13]:>2s}", row) for row in PQR]


def written(folder, name, form):
    """Ethanol as ASE writes it, and its lines."""
    image, zeros = ETHANOL.copy(), {"forces": np.zeros((9, 3)), "stress": np.zeros(6)}
    image.calc = SinglePointCalculator(image, energy=-1.0, **zeros)
    image.set_velocities(np.zeros((9, 3)))
    with warnings.catch_warnings(action="ignore"):  # of ASE's changes
        image.write(folder / name, format=form)
    return (folder / name).read_text().rstrip().splitlines(keepends=True)


def config(count="", level=0, named=True):
    rows = ROWS if named else [re.sub(r" +\d+\n", "\n", row, count=1) for row in ROWS]
    behind = " 0.0 0.0 0.0\n" * level
    return f"title\n {level} 0 {count}\n" + "".join(row + behind for row in rows)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("count, named", [("9", False), ("9 20 0.001", True), ("", True)])
def test_config(tmp_path, level, count, named):
    """A count, or numbers of atoms; without the former a file that ends between atoms is read with a note."""
    path = tmp_path / "a.config"
    text = config(count or "0", level, named)
    path.write_text(text)
    found = read(path)
    np.testing.assert_allclose(found.positions[0, :, 0], ETHANOL.positions, atol=1e-5)
    assert has_note(found, "neither") != bool(count)
    lines = text.splitlines(keepends=True)
    for k in range(3, len(lines)):
        path.write_text("".join(lines[:k]))
        if not count and not (k - 2) % (2 + level):
            assert has_note(read(path), "neither")
            continue
        with pytest.raises(DataError, match="a.config: (line|its second line promises 9)"):
            read(path)
    without = "".join(lines[: 4 + level] + lines[6 + 2 * level :])
    path.write_text(without)
    if count:
        with pytest.raises(DataError, match="promises 9 atoms, 8 are there"):
            read(path)
    else:
        assert has_note(read(path), "go up to 9, 8 are there")


def test_the_third_number_of_four_is_that_of_a_step(tmp_path):
    path = tmp_path / "a.config"
    path.write_text(config("2000  0.5E-02"))
    assert read(path).positions.shape == (1, 9, 1, 3)


def test_lines_of_a_config_that_are_none(tmp_path):
    path = tmp_path / "a.config"
    for text, line in ((config("0").replace("\n 0 0 0", "\n x 0 0"), 2), ("title\n", 2)):
        path.write_text(text)
        with pytest.raises(DataError, match=f"a.config: line {line} is .*levcfg"):
            read(path)
    lines = config("0").splitlines(keepends=True)
    path.write_text("".join([*lines[:4], "\n", *lines[4:]]))  # MDAnalysis would stop here
    with pytest.raises(DataError, match="a.config: line 5 is '', expected the name of an atom"):
        read(path)


def test_pqr(tmp_path):
    path = tmp_path / "a.pqr"
    path.write_text("".join(PQR))
    found = read(path)
    np.testing.assert_allclose(found.positions[0, :, 0], ETHANOL.positions, atol=1e-3)
    assert has_note(found, "neither")
    path.write_text("".join([*PQR, "TER\nEND\n"]))
    assert not has_note(read(path), "neither") and not has_note(read(path), "jump")
    path.write_text("".join([*PQR[:4], *PQR[5:], "END\n"]))
    assert has_note(read(path), "jump from 4 to 6 in line 5")
    # MDAnalysis takes the last words for the charge and the radius, whatever they are.
    last = PQR[-1].split()
    for count in range(2, len(last)):
        path.write_text("".join(PQR[:-1]) + " ".join(last[:count]) + "\n")
        with pytest.raises(DataError, match="a.pqr: line 9 is 'ATOM"):
            read(path)
    path.write_text(
        "".join(f"{row[:20]}  {row[22:-1]} {row[13]}\n" for row in PQR)
    )  # as GROMACS does
    np.testing.assert_allclose(read(path).positions[0, :, 0], ETHANOL.positions, atol=1e-3)


@pytest.mark.parametrize("suffix", ["pdb", "ent", "pdbqt"])
def test_numbers_that_jump(tmp_path, suffix):
    path, end = tmp_path / f"a.{suffix}", "" if suffix == "pdbqt" else "END\n"
    rows = [f"{row[:66]}    -0.062 C\n" for row in PDB] if suffix == "pdbqt" else PDB
    chain = [row[:6] + f"{i:5d}" + row[11:] for i, row in enumerate(rows, 11)]
    for text, jump in (
        ([*rows], ""),
        ([*rows[:3], *rows[4:]], "jump from 3 to 5 in line 4"),
        ([*rows, "TER\n", *chain], ""),  # TER has number 10
        ([*rows, *chain], "jump from 9 to 11"),
        ([*rows, *rows], ""),  # the numbers begin again
        ([*rows[::2]], ""),  # atoms were taken out
    ):
        path.write_text("".join([*text, end]))
        assert has_note(read(path), jump or "jump") == bool(jump)


def test_torsions_of_a_pdbqt(tmp_path):
    path = tmp_path / "a.pdbqt"
    rows = [f"{row[:66]}    -0.062 C\n" for row in PDB]
    text = ["ROOT\n", *rows[:5], "ENDROOT\n", "BRANCH 5 6\n", *rows[5:], "ENDBRANCH 5 6\n"]
    path.write_text("".join([*text, "TORSDOF 1\n"]))
    found = read(path)
    np.testing.assert_allclose(found.positions[0, :, 0], ETHANOL.positions, atol=1e-3)
    assert not has_note(found, "no END")
    for k in range(2, len(text)):
        path.write_text("".join(text[:k]))
        if k in (7, 16):
            continue
        with pytest.raises(DataError, match="a.pdbqt: frame 0 .* (ROOT|BRANCH) and 0 END"):
            read(path)


@pytest.mark.parametrize(
    "name, form", [("geometry.in", "aims"), ("a.fhiaims", ""), ("a.ascii", "v-sim")]
)
def test_rows_of_four_columns(tmp_path, name, form):
    lines = written(tmp_path, name, form or "aims")
    path, last = tmp_path / name, lines[-1].split()
    path.write_text("".join(lines) + "\n")
    assert has_note(read(path, format=form), "neither") and not has_note(read(path), "last word")
    path.write_text("".join(lines))
    assert has_note(read(path, format=form), "is 'H' its whole last word")
    for count in range(2, len(last)):
        path.write_text("".join(lines[:-1]) + " ".join(last[:count]) + "\n")
        with pytest.raises(DataError, match=f"{name}: line {len(lines)} is .*expected .*x y z"):
            read(path, format=form)


def test_formula_of_a_cif(tmp_path):
    lines = written(tmp_path, "a.cif", "cif")
    path = tmp_path / "a.cif"
    whole = "".join(lines) + "\n"
    path.write_text(whole)
    assert not has_note(read(path), "neither") and not has_note(read(path), "formula")
    for text in ("".join(lines[:-1]), "".join([*lines[:-3], *lines[-2:]]) + "\n"):
        path.write_text(text)
        assert has_note(read(path), "states the formula C2 O1 H6, read were C2 H5 O1")
    for units, said in (("2", True), ("1", False)):
        path.write_text(f"{lines[0]}_cell_formula_units_Z {units}\n" + "".join(lines[1:]) + "\n")
        assert has_note(read(path), "formula C2 O1 H6 2 times") == said
    path.write_text(whole.replace("_chemical_formula_sum", "_other"))
    assert has_note(read(path), "neither")


@pytest.mark.parametrize("suffix, form", [("md", "castep-md"), ("geom", "castep-geom")])
def test_one_frame_of_castep(tmp_path, suffix, form):
    """As many rows of forces as of positions."""
    path, lines = tmp_path / f"a.{suffix}", written(tmp_path, f"a.{suffix}", form)
    path.write_text("".join(lines) + "\n\n")
    assert not has_note(read(path, format=form), "neither")
    rows = [k for k, line in enumerate(lines) if re.search(r"<--\s*[RVF]$", line)]
    for k in rows[2:]:
        path.write_text("".join(lines[:k] + lines[k + 1 :]) + "\n\n")
        with pytest.raises(DataError, match=f"a.{suffix}: frame 0 .*its rows are .*8 of"):
            read(path, format=form)


def test_one_frame_of_eon(tmp_path):
    path, lines = tmp_path / "a.con", written(tmp_path, "a.con", "eon")
    path.write_text("".join(lines) + "\n")
    assert not has_note(read(path, format="eon"), "neither")
    for k in range(9, len(lines)):
        path.write_text("".join(lines[:k]))
        with pytest.raises(DataError, match="a.con: "):
            read(path, format="eon")


def test_the_first_frame_of_amber_text(tmp_path):
    top = write_pdb(tmp_path / "top.pdb", CARBONS)
    path, frames = tmp_path / "a.mdcrd", random_walk(2, 3)
    rows = ["".join(f"{x:8.3f}" for x in frame.ravel()) for frame in frames]
    path.write_text("\n".join(["title", *rows]) + "\n")
    np.testing.assert_allclose(read(f"{top},{path}").positions[:, :, 0], frames, atol=1e-3)
    for text, why in (
        (rows[0][:40], "line 2 is .* expected 9 number.s. of 8 letters for the 3 atoms of top.pdb"),
        (rows[0][:70], "line 2 is"),
        ("", "0 of its 1 lines"),
        (rows[0].replace(".", "x", 1), "line 2 is"),
    ):
        path.write_text(f"title\n{text}\n" if text else "title\n")
        with pytest.raises(DataError, match=f"a.mdcrd: frame 0 .*{why}.*; copy it again"):
            read(f"{top},{path}")
    path.write_text(f"title\n{rows[0]}\n")
    with pytest.raises(DataError, match="a.mdcrd: holds one frame and no box.*write it as .rst7"):
        read(f"{top},{path}")
