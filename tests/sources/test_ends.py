"""A text file that ends within its last number is refused, or a note asks; it is never read as another."""

import gzip
import warnings

import numpy as np
import pytest
from ase.build import molecule
from helpers.files import has_note, read, write_pdb
from helpers.small_files import FORMATS, _chain

from estag_jax.data.system import DataError

CIF = (
    "data_{k}\n_cell_length_a 12\n_cell_length_b 12\n_cell_length_c 12\n_cell_angle_alpha 90\n"
    "_cell_angle_beta 90\n_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n"
    "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
)
DATA = (
    "title\n\n3 atoms\n1 atom types\n\n0 20.0 xlo xhi\n0 20.0 ylo yhi\n0 20.0 zlo zhi\n\nMasses\n\n"
    "1 12.011\n\nAtoms # atomic\n\n"
)


def rows(frame, head="C", digits=4):
    return "".join(f"{head} {x:.{digits}f} {y:.{digits}f} {z:.{digits}f}\n" for x, y, z in frame)


def cif(folder):
    text = "".join(CIF.format(k=k) + rows(x / 12 + 0.3, digits=6) for k, x in enumerate(_chain()))
    (folder / "a.cif").write_text(text)
    return "a.cif", "a.cif"


def data(folder):
    atoms = rows(_chain()[0] + 5, "1").splitlines()
    (folder / "a.data").write_text(DATA + "".join(f"{i} {x}\n" for i, x in enumerate(atoms, 1)))
    return "a.data", "a.data"


def behind_pdb(name, text):
    def make(folder):
        write_pdb(folder / "top.pdb", [(f"C{i}", "LIG", 1, "C") for i in range(3)])
        (folder / name).write_text(text)
        return f"top.pdb,{name}", name

    return make


def packed(folder):
    (folder / "a.xyz.gz").write_bytes(gzip.compress(XYZ.encode()))
    return "a.xyz.gz", "a.xyz.gz"


def atom(folder):
    (folder / "a.xyz").write_text("".join(f"1\nt\n{rows([[k, 1.5, 2.5]])}" for k in range(20)))
    return "a.xyz", "a.xyz"


XYZ = "".join(f"3\nstep\n{rows(x)}" for x in _chain())
MDCRD = "".join("".join(f"{v:8.3f}" for v in x.ravel()) + "\n" for x in _chain())
TEXT = {
    name: FORMATS[name]
    for name in ("xyz", "bvh", "pdb", "dump", "gro", "xsf", "xdatcar", "history")
}
TEXT |= {"amc": FORMATS["amc"], "cif of coordinates": cif, "data": data, "one atom": atom}
TEXT |= {"mdcrd": behind_pdb("a.mdcrd", f"title\n{MDCRD}"), "behind": behind_pdb("a.xyz", XYZ)}
TEXT |= {"gz": packed}


@pytest.mark.parametrize("name", TEXT)
def test_cut_in_its_last_bytes(tmp_path, name):
    spec, target = TEXT[name](tmp_path)
    path, spec = tmp_path / target, ",".join(str(tmp_path / part) for part in spec.split(","))
    text = path.read_bytes()
    text = gzip.decompress(text) if name == "gz" else text
    # The last line is one of numbers: what may stand behind it tells a cut by itself.
    text = text.removesuffix(b"END\n").removesuffix(b"ENDMDL\n")
    path.write_bytes(gzip.compress(text) if name == "gz" else text)
    whole, refused = read(spec, unwrap=spec.endswith(("amc", "bvh"))), 0
    for k in (1, 2, 3, 4, 7, 9):
        path.write_bytes(gzip.compress(text[:-k]) if name == "gz" else text[:-k])
        try:
            found = read(spec, unwrap=spec.endswith(("amc", "bvh")))
        except DataError as error:
            assert target in str(error)
            refused += 1
            continue
        assert np.array_equal(found.positions, whole.positions) or has_note(found, "last number?")
    assert refused


@pytest.mark.parametrize("lost", ["atoms", "bonds"])
def test_data_of_lammps_that_are_fewer_than_promised(tmp_path, lost):
    name, _ = data(tmp_path)
    text = (tmp_path / name).read_text()
    if lost == "bonds":
        text = text.replace("3 atoms", "3 atoms\n2 bonds") + "\nBonds\n\n1 1 1 2\n"
    else:
        text = text[: text.rindex("3 1")]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"a.data: its header promises [23] {lost}, [12] are there"):
        read(tmp_path / name)


INPCRD = ["title\n", "    3\n"] + [
    "".join(f"{v:12.7f}" for v in part) + "\n" for part in np.split(_chain()[0].ravel(), [6])
]
CARD = ["* title\n", "*\n", "    3\n"] + [
    f"{i:5d}    1 LIG  C{i:<3d}{x:10.5f}{y:10.5f}{z:10.5f} LIG  1      0.00000\n"
    for i, (x, y, z) in enumerate(_chain()[0], 1)
]


@pytest.mark.parametrize(
    "name, lines", [("a.inpcrd", INPCRD), ("a.rst7", INPCRD), ("a.crd", CARD), ("a.cor", CARD)]
)
def test_coordinates_that_are_fewer_than_promised(tmp_path, name, lines):
    spec, target = behind_pdb(name, "".join(lines))(tmp_path)
    spec = ",".join(str(tmp_path / part) for part in spec.split(","))
    np.testing.assert_allclose(read(spec).positions[0, :, 0], _chain()[0], atol=1e-5)
    for rest in ("", lines[-1][:30]):
        (tmp_path / target).write_text("".join([*lines[:-1], rest]))
        with pytest.raises(DataError, match=f"{target}: .* promises 3 atoms, [12] are there"):
            read(spec)


def written(folder, suffix, form):
    """Ethanol in a format of ASE's, and its lines."""
    ethanol = molecule("CH3CH2OH", vacuum=4.0, pbc=True)
    path = folder / f"a.{suffix}"
    with warnings.catch_warnings(action="ignore"):  # of ASE's changes
        ethanol.write(path, format=form)
    return path, ethanol, path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    "suffix, form", [("res", "res"), ("g96", "gromos"), ("mol", "mol"), ("car", "dmol-car")]
)
def test_a_format_whose_end_is_a_line(tmp_path, suffix, form):
    path, ethanol, lines = written(tmp_path, suffix, form)
    if form == "mol":
        path.write_text("".join([*lines, "M  END\n"]))
    found = read(path, format=form).positions[0, :, 0]
    whole = np.linalg.norm(ethanol.positions[0] - ethanol.positions, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found[0] - found, axis=-1), whole, atol=1e-3)
    path.write_text("".join(lines[: -3 if form == "mol" else -4]))
    with pytest.raises(DataError, match=f"a.{suffix}: .*its last line, "):
        read(path, format=form)


@pytest.mark.parametrize("suffix, form", [("ascii", "v-sim"), ("in", "aims")])
def test_a_format_without_an_end(tmp_path, suffix, form):
    path, _, lines = written(tmp_path, suffix, form)
    assert has_note(read(path, format=form), "neither a count nor an end")
    while lines[-1].isspace():
        lines.pop()
    path.write_text("".join(lines[:-2]))
    assert has_note(read(path, format=form), "1 frame(s) of 7 atoms")


@pytest.mark.parametrize(
    "suffix, form",
    [
        ("POSCAR", "vasp"),
        ("gen", "gen"),
        ("cell", "castep-cell"),
        ("cube", "cube"),
        ("cfg", "cfg"),
        ("json", "json"),
    ],
)
def test_a_format_whose_rows_are_counted(tmp_path, suffix, form):
    path, _, lines = written(tmp_path, suffix, form)
    assert not has_note(read(path, format=form), "neither")
    for k in range(1, len(lines)):
        path.write_text("".join(lines[:k]))
        try:
            assert read(path, format=form).positions.shape[1] == 9
        except DataError as error:
            assert str(path) in str(error)
