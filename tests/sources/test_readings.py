"""Positions of each format against a reading by hand of the same bytes, to 1e-5 Å.

Others have theirs where the format is tested: archives against numpy, extended XYZ and XDATCAR against ASE,
dumps, HISTORY, .xsf and what ASE reads by its name against the numbers that were written, HDF5 against h5py,
motion capture against another forward kinematics.
"""

from __future__ import annotations

import ase
import ase.io
import numpy as np
import pytest
from helpers.files import CARBONS, has_note, mda, mol2, random_walk, read, write_frames, write_pdb
from scipy.io import netcdf_file

from estag_jax.data.system import DataError
from estag_jax.sources.files import text
from estag_jax.sources.files.netcdf import records as netcdf_records

FRAMES = (random_walk() * 0.1 + np.arange(3)[:, None] * [1.35, 0, 0]).astype(np.float32)
MANY = np.concatenate([FRAMES + [0, 1.4 * k, 0] for k in range(4)], axis=1).astype(np.float32)
CELL = [12.0, 13.0, 14.0]


def tails(path, size, frames=12):
    """The last bytes of each frame, where frames are of one size and nothing stands before them."""
    return np.fromfile(path, np.uint8).reshape(frames, -1)[:, -size:].copy()


def xdr(path):
    """Coordinates end a frame in single precision, big-endian, nm: TRR, and XTC of at most nine atoms."""
    return tails(path, 36).view(">f4").reshape(12, 3, 3) * 10.0


def dcd(path):
    """Three records of single precision end a frame, each between two sizes, behind one of the cell."""
    size = 3 * (4 * 3 + 8)
    raw = np.fromfile(path, np.uint8)[-12 * (56 + size) :].reshape(12, -1)[:, 56:].copy()
    return raw.view("<f4").reshape(12, 3, 5)[:, :, 1:-1].transpose(0, 2, 1)


def netcdf(path):
    with netcdf_file(str(path), mmap=False) as file:
        return file.variables["coordinates"][:].copy()


def columns(path, begin, width, starts):
    """Numbers of a fixed width in the lines that begin with a word."""
    lines = [line for line in path.read_text().splitlines() if line.startswith(starts)]
    ends = range(begin, begin + 3 * width, width)
    return np.array([[line[i : i + width] for i in ends] for line in lines], float)


@pytest.mark.parametrize(
    ("suffix", "by_hand"),
    [("trr", xdr), ("xtc", xdr), ("dcd", dcd), ("nc", netcdf), ("ncdf", netcdf)],
)
def test_binary_trajectories(tmp_path, suffix, by_hand):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    path = write_frames(tmp_path / f"a.{suffix}", FRAMES, box=[*CELL, 90, 90, 90])
    found = read(f"{top},{path}", unwrap=False).positions[:, :, 0]
    np.testing.assert_allclose(found, by_hand(path), atol=1e-5)
    np.testing.assert_allclose(found, FRAMES, atol=1e-5 if suffix != "xtc" else 6e-3)


def test_records_of_a_netcdf_file(tmp_path):
    """Size and number of records by scipy; a part of one behind them, and whole ones that are not counted."""
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    path = write_frames(tmp_path / "a.nc", FRAMES)
    whole = path.read_bytes()
    with netcdf_file(str(path), mmap=False) as file:
        changing = [v for v in file.variables.values() if v.isrec]
        size = sum(v.data[0].nbytes for v in changing)
    assert netcdf_records(path) == (12, size, len(whole) - 12 * size)
    path.write_bytes(whole + whole[-size // 2 :])
    with pytest.raises(DataError, match="a.nc: frame 12 .*cut short.*save its 12 whole"):
        read(f"{top},{path}")
    path.write_bytes(whole + 2 * whole[-size:])
    found = read(f"{top},{path}")
    assert has_note(found, "of the 14 frames in a.nc the 12 are read") and found.num_frames == 12


def test_compressed_xtc(tmp_path):
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    top = write_pdb(tmp_path / "a.pdb", CARBONS * 4)
    path = write_frames(tmp_path / "a.xtc", MANY)
    with XTCFile(str(path)) as file:
        expected = np.array([frame.x for frame in file]) * 10
    np.testing.assert_allclose(read(f"{top},{path}").positions[:, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(expected, MANY, atol=6e-3)


@pytest.mark.parametrize("suffix", ["mdcrd", "trj", "crdbox"])
def test_text_of_amber(tmp_path, suffix):
    top, path = write_pdb(tmp_path / "a.pdb", CARBONS), tmp_path / f"a.{suffix}"
    box = "".join(f"{x:8.3f}" for x in CELL) + "\n" if suffix == "crdbox" else ""
    lines = ["".join(f"{x:8.3f}" for x in frame.ravel()) for frame in FRAMES]
    path.write_text("title\n" + "".join(f"{line}\n{box}" for line in lines))
    found = read(f"{top},{path}", unwrap=False).positions[:, :, 0]
    expected = np.array([[line[i : i + 8] for i in range(0, 72, 8)] for line in lines])
    np.testing.assert_allclose(found, expected.astype(float).reshape(12, 3, 3), atol=1e-5)


def test_data_of_lammps(tmp_path):
    """Atoms in any order of their numbers; MDAnalysis sorts them."""
    rows = [f"{i + 1} 1 {x:.5f} {y:.5f} {z:.5f}" for i, (x, y, z) in enumerate(FRAMES[0] + 5)]
    box = "".join(f"0 20.0 {axis}lo {axis}hi\n" for axis in "xyz")
    (tmp_path / "a.data").write_text(
        f"title\n\n3 atoms\n1 atom types\n\n{box}\nMasses\n\n1 12.011\n\nAtoms # atomic\n\n"
        + "\n".join(rows[::-1])
        + "\n"
    )
    found = read(tmp_path / "a.data", unwrap=False)
    expected = [[float(word) for word in row.split()[2:]] for row in rows]
    np.testing.assert_allclose(found.positions[0, :, 0], expected, atol=1e-5)
    assert found.system.atomic_numbers.tolist() == [6, 6, 6]


def test_models_of_a_pdb(tmp_path):
    path = tmp_path / "a.pdb"
    ase.io.write(path, [ase.Atoms("C3", x) for x in FRAMES], format="proteindatabank")
    expected = columns(path, 30, 8, ("ATOM", "HETATM")).reshape(12, 3, 3)
    np.testing.assert_allclose(read(path).positions[:, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(expected, FRAMES, atol=6e-4)


def test_frames_of_a_gro(tmp_path):
    path, text = tmp_path / "a.gro", ""
    for k, frame in enumerate(FRAMES / 10):
        text += f"t= {k}.0\n    3\n"
        for i, (x, y, z) in enumerate(frame):
            text += f"    1LIG     C{i}{i + 1:5d}{x:8.3f}{y:8.3f}{z:8.3f}\n"
        text += "   2.0 2.0 2.0\n"
    path.write_text(text)
    expected = columns(path, 20, 8, "    1LIG").reshape(12, 3, 3) * 10
    np.testing.assert_allclose(read(path, unwrap=False).positions[:, :, 0], expected, atol=1e-5)


def test_cif(tmp_path):
    path, bent = tmp_path / "a.cif", [12.0, 13, 14, 80, 95, 100]
    images = [ase.Atoms("C3", x + 2, cell=bent, pbc=True) for x in FRAMES]
    ase.io.write(path, images)
    rows = [r.split() for r in path.read_text().splitlines() if r.split()[:1] == ["C"]]
    scaled = np.array([row[3:6] for row in rows], float)  # behind symbol, label and multiplicity
    a, b, c = bent[:3]
    alpha, beta, gamma = np.radians(bent[3:])
    x = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    z = np.sqrt(1 - np.cos(beta) ** 2 - x**2)
    cell = np.array(
        [
            (a, 0, 0),
            (b * np.cos(gamma), b * np.sin(gamma), 0),
            (c * np.cos(beta), c * x, c * z),
        ]
    )
    expected = (scaled @ cell).reshape(12, 3, 3)
    np.testing.assert_allclose(read(path, unwrap=False).positions[:, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(expected, FRAMES + 2, atol=1e-3)


VASPRUN = """<?xml version="1.0"?>
<modeling><atominfo><array name="atoms"><set>
<rc><c>C </c><c>1</c></rc><rc><c>C </c><c>1</c></rc><rc><c>C </c><c>1</c></rc>
</set></array></atominfo>
<kpoints><varray name="kpointlist"><v> 0 0 0 </v></varray><varray name="weights"><v> 1 </v></varray></kpoints>
<structure name="initialpos">{first}</structure>
{steps}</modeling>"""

OUTCAR = """ POTCAR:    PAW_PBE C 08Apr2002
   ions per type =               3
 Iteration      1(   1)
{steps}"""


@pytest.fixture
def passes(monkeypatch):
    """The files whose lines are read here."""
    names = []

    class Counted(text._Affordable):
        def __init__(self, file, path, held):
            super().__init__(file, path, held)
            names.append(path.name)

    monkeypatch.setattr(text, "_Affordable", Counted)
    return names


def rows(values):
    return "".join(f"<v> {x:.8f} {y:.8f} {z:.8f} </v>" for x, y, z in values)


def test_vasprun(tmp_path, passes):
    path = tmp_path / "vasprun.xml"
    parts = [
        f'<crystal><varray name="basis">{rows(np.diag(CELL))}</varray><i name="volume"> 2184 </i></crystal>'
        f'<varray name="positions">{rows(x / CELL)}</varray>'
        for x in FRAMES + 2.0
    ]
    energy = "".join(
        f'<i name="{n}"> -1.0 </i>' for n in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    )
    steps = "".join(
        f"<calculation><scstep><energy>{energy}</energy></scstep><structure>{part}</structure>"
        f'<varray name="forces">{rows(np.zeros((3, 3)))}</varray><energy>{energy}</energy></calculation>'
        for part in parts
    )
    path.write_text(VASPRUN.format(first=parts[0], steps=steps))
    found = read(path, unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES + 2, atol=1e-5)
    assert not passes  # the parser of XML opens it
    path.write_text(path.read_text().rpartition("<energy>")[0])  # ASE reads eleven frames
    with pytest.raises(DataError, match="vasprun.xml: frame 11 .*cut short.*save its 11 whole"):
        read(path)


def test_outcar(tmp_path, passes):
    path = tmp_path / "OUTCAR"
    lattice = "".join(f" {x:.9f} {y:.9f} {z:.9f} 0.1 0.1 0.1\n" for x, y, z in np.diag(CELL))
    steps = "".join(
        f" Iteration      2(   1)\n      direct lattice vectors          reciprocal ones\n{lattice}\n"
        f" POSITION                                       TOTAL-FORCE (eV/Angst)\n {'-' * 80}\n"
        + "".join(f" {x:.5f} {y:.5f} {z:.5f} 0.0 0.0 0.0\n" for x, y, z in frame)
        + "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n\n  free  energy   TOTEN  =  -1.0 eV\n\n"
        "  energy  without entropy=       -1.0  energy(sigma->0) =       -1.0\n"
        for frame in FRAMES + 2.0
    )
    path.write_text(OUTCAR.format(steps=steps))
    found = read(path, unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES + 2, atol=2e-5)
    assert passes == ["OUTCAR"]
    path.write_text(path.read_text().rpartition(" POSITION")[0])  # ASE reads eleven frames
    with pytest.raises(DataError, match="OUTCAR: frame 11 .*cut short.*save its 11 whole frames"):
        read(path)


def test_what_else_mdanalysis_reads(tmp_path):
    path = tmp_path / "a.mol2"
    path.write_text(mol2(3, "1 1 2 1\n2 2 3 1\n"))
    atoms = path.read_text().partition("ATOM\n")[2].splitlines()[:3]
    expected = np.array([row.split()[2:5] for row in atoms], float)
    np.testing.assert_allclose(read(path).positions[0, :, 0], expected, atol=1e-5)
    assert len(mda.Universe(str(path)).trajectory) == read(path).num_frames
