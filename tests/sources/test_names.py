"""Files that are called by their program, and suffixes that ASE and MDAnalysis both know."""

import gzip
import lzma

import ase
import ase.io
import numpy as np
import pytest
from helpers.files import mda, read

from estag_jax.data.system import DataError

POINTS = np.array([[5.0, 5, 5], [6.3, 5.1, 5], [7.5, 5, 5.2]])
CELL = np.diag([12.0, 13, 14])


def direct(row):
    return "".join(f"{x:20.12f}" for x in row)


ROWS = [direct(x) for x in POINTS]
SCALED = [direct(x / np.diag(CELL)) for x in POINTS]
AXES = [direct(x) for x in CELL]
AIMS = "\n".join(
    ["# FHI-aims", "", *(f"lattice_vector {x}" for x in AXES), *(f"atom {x} C" for x in ROWS), ""]
)
POSCAR = "\n".join(["title", "1.0", *AXES, "C", "3", "Direct", *SCALED, ""])
GEN = "\n".join(
    ["3 S", "C", *(f"{i} 1 {x}" for i, x in enumerate(ROWS, 1)), direct([0] * 3), *AXES, ""]
)
XSF = "\n".join(["CRYSTAL", "PRIMVEC", *AXES, "PRIMCOORD", "3 1", *(f"6 {x}" for x in ROWS), ""])
CASTEP = "\n".join(
    ["%BLOCK LATTICE_CART", *AXES, "%ENDBLOCK LATTICE_CART", "%BLOCK POSITIONS_ABS"]
    + [*(f"C {x}" for x in ROWS), "%ENDBLOCK POSITIONS_ABS", ""]
)
ESPRESSO = "\n".join(
    ["&CONTROL", "/", "&SYSTEM", "ibrav=0, nat=3, ntyp=1", "/", "&ELECTRONS", "/", "ATOMIC_SPECIES"]
    + ["C 12.011 C.upf", "CELL_PARAMETERS angstrom", *AXES, "ATOMIC_POSITIONS angstrom"]
    + [*(f"C {x}" for x in ROWS), ""]
)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("geometry.in", AIMS, {}),
        ("geometry.in.next_step", AIMS, {}),
        ("water.in", AIMS, {}),
        ("pw.in", ESPRESSO, {}),
        ("frame", AIMS, {"format": "aims"}),
        ("POSCAR", POSCAR, {}),
        ("CONTCAR", POSCAR, {}),
        ("CONTCAR.relaxed", POSCAR, {}),
        ("slab_POSCAR.pdb", POSCAR, {}),
        ("a.vasp", POSCAR, {}),
        ("frame.dat", POSCAR, {"format": "POSCAR"}),
        ("a.gen", GEN, {}),
        ("a.xsf", XSF, {}),
        ("a.cell", CASTEP, {}),
    ],
)
def test_what_programs_call_their_files(tmp_path, name, content, options, recwarn):
    (tmp_path / name).write_text(content)
    found = read(tmp_path / name, unwrap=False, **options)
    np.testing.assert_allclose(found.positions[0, :, 0], POINTS, atol=1e-5)
    assert not recwarn.list


def test_a_compressed_file_that_its_reader_does_not_unpack(tmp_path):
    (tmp_path / "geometry.in.gz").write_bytes(gzip.compress(AIMS.encode()))
    with pytest.raises(DataError, match=r"is compressed; unpack it first \(gunzip geometry.in.gz"):
        read(tmp_path / "geometry.in.gz")
    pytest.importorskip("MDAnalysis")
    (tmp_path / "a.pdb.xz").write_bytes(lzma.compress(b"ATOM\nEND\n"))
    with pytest.raises(DataError, match=r"is compressed; unpack it first \(unxz a.pdb.xz"):
        read(tmp_path / "a.pdb.xz")


@pytest.mark.parametrize("name", ["a.in", "a.arc"])
def test_suffixes_of_both_libraries(tmp_path, name):
    """Tinker's .arc is MDAnalysis', DMol3's is read by its name in ASE."""
    pytest.importorskip("MDAnalysis")
    frames = [ase.Atoms("C3", POINTS + 0.01 * k, cell=CELL, pbc=True) for k in range(3)]
    if name == "a.in":
        (tmp_path / name).write_text("hello\n")
        with pytest.raises(DataError, match=r"a.in: .*\(--read.format\)"):
            read(tmp_path / name)
        return
    ase.io.write(tmp_path / name, frames, format="dmol-arc")
    with pytest.raises(DataError, match=r"a.arc: MDAnalysis .*--read.format dmol-arc"):
        read(tmp_path / name)
    found = read(tmp_path / name, format="dmol-arc", unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], [x.positions for x in frames], atol=1e-5)
    rows = "".join(
        f"{i + 1:6d}  C  {x}     1 {'2' if i != 1 else '1 3'}\n" for i, x in enumerate(ROWS)
    )
    (tmp_path / name).write_text(2 * f"     3 tinker\n{rows}")
    found = read(tmp_path / name)
    np.testing.assert_allclose(found.positions[:, :, 0], [POINTS, POINTS], atol=1e-5)
    assert len(mda.Universe(str(tmp_path / name)).trajectory) == 2
