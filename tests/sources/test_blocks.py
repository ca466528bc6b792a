"""HISTORY, XDATCAR and .xsf: every line is accounted for; positions against what was written, and ASE."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from helpers.files import has_note, random_walk, read

from estag_jax.data.system import DataError

FRAMES = random_walk(atoms=4)


def history(kind=0, promised=12, times=range(12), cell=True):
    lines = ["title", f"{kind} {int(cell)} 4 {promised} 999"]
    for frame, time in zip(FRAMES, times, strict=True):
        lines.append(f"timestep {time} 4 {kind} {int(cell)} 0.002 0.0")
        lines += ["30 0 0", "0 30 0", "0 0 30"] * cell
        for i, point in enumerate(frame):
            lines += [f"C {i + 1} 12.0 0.0", " ".join(map(str, point)), *["0 0 0"] * kind]
    return "\n".join(lines) + "\n"


def images():
    return [ase.Atoms("C4", (x + 5) % 12, cell=[12.0, 12, 13], pbc=True) for x in FRAMES]


def xdatcar(path, repeated=False):
    """As ASE writes it, with the cell before each frame, or before the first alone as VASP does."""
    ase.io.write(path, images(), format="vasp-xdatcar")
    text = path.read_text()
    cell = text.partition("Direct")[0]
    return text if repeated else cell + text.replace(cell, "")


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("cell", [True, False])
def test_positions_of_a_history(tmp_path, kind, cell):
    (tmp_path / "HISTORY").write_text(history(kind, cell=cell) + "\n \n")
    found = read(tmp_path / "HISTORY")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert (found.frame_step, found.time_unit) == (0.002, "ps")
    assert not has_note(found, "promises")


@pytest.mark.parametrize("repeated", [True, False])
def test_positions_of_an_xdatcar(tmp_path, repeated):
    path = tmp_path / "XDATCAR"
    path.write_text(xdatcar(path, repeated) + "\n")
    expected = [a.positions for a in ase.io.read(path, ":", format="vasp-xdatcar")]
    found = read(path, unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(expected, [a.positions for a in images()], atol=1e-5)


@pytest.mark.parametrize("row", ["0.0 0.0 0.0", "12.0 0.0 0.0", "nan 0 0", "1e200 1e200 1e200"])
def test_a_box_that_spans_no_volume(tmp_path, row):
    path = tmp_path / "XDATCAR"
    parts = xdatcar(path, repeated=True).rpartition("0.000000    0.000000   13.000000")
    path.write_text(parts[0] + row + parts[2])
    with pytest.raises(DataError, match="XDATCAR: frame 11 .*its periodic box spans no volume"):
        read(path)


def test_another_number_of_frames_than_the_header_promises(tmp_path):
    for promised in (11, 13):
        (tmp_path / "HISTORY").write_text(history(promised=promised))
        assert has_note(read(tmp_path / "HISTORY"), f"promises {promised} frames")


def test_times_of_a_history(tmp_path):
    (tmp_path / "HISTORY").write_text(history(times=[*range(5), 5, 5, *range(16, 21)]))
    found = read(tmp_path / "HISTORY")
    assert found.lengths == (6, 5) and has_note(found, "frame 6: written twice")


def xsf(path, keyword="PRIMCOORD"):
    """As ASE writes crystals, or the rows of molecules after ATOMS."""
    ase.io.write(path, images(), format="xsf")
    text = path.read_text()
    if keyword == "ATOMS":
        rows = "".join(f"ATOMS {k + 1}\n{_rows(x)}" for k, x in enumerate(FRAMES))
        return f"# molecules\nANIMSTEPS {len(FRAMES)}\n{rows}"
    return text + "BEGIN_BLOCK_DATAGRID_3D\n 1 2\nEND_BLOCK_DATAGRID_3D\n"


def _rows(points):
    return "".join(f"C {x:.9f} {y:.9f} {z:.9f}\n" for x, y, z in points)


@pytest.mark.parametrize("keyword", ["PRIMCOORD", "ATOMS"])
def test_positions_of_an_xsf(tmp_path, keyword):
    path = tmp_path / "a.xsf"
    path.write_text(xsf(path, keyword))
    expected = FRAMES if keyword == "ATOMS" else [a.positions for a in images()]
    found = read(path, unwrap=False)
    np.testing.assert_allclose(found.positions[:, :, 0], expected, atol=1e-8)


HISTORY, XDATCAR, XSF = "HISTORY", "XDATCAR", "a.xsf"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (HISTORY, lambda t: t[: len(t) * 6 // 10], "frame 7 .*save its 7 whole frames"),
        (HISTORY, lambda t: t[: t.rindex("C 4")], "frame 11 .*the file ends"),
        (HISTORY, lambda t: t.replace("timestep 3", "\ntimestep 3"), "frame 3 .*line 39 is ''"),
        (HISTORY, lambda t: t + "end\n", "frame 12 .*'end', expected timestep"),
        (
            HISTORY,
            lambda t: t.replace("30 0 0", "30 0"),
            "frame 0 .*line 4 is '30 0', expected 3 n",
        ),
        (HISTORY, lambda t: t.replace("timestep 3 4", "timestep 3 x"), "frame 3 .*line 39 holds"),
        (HISTORY, lambda t: t.replace("0.002", "?"), "frame 0 .*line 3 .*expected 1 numbers"),
        (HISTORY, lambda t: t.replace(" 12 999", " 1e3 999"), "frame 0 .*line 2 holds"),
        (XDATCAR, lambda t: t[: len(t) * 6 // 10], "frame 6 .*save its 6 whole frames"),
        (XDATCAR, lambda t: t[:-60], "frame 11 .*expected 3 numbers"),
        (XDATCAR, lambda t: t.replace("Direct", "\nDirect"), "frame 0 .*line 8 is ''"),
        (XDATCAR, lambda t: t + "hello world\n", "frame 12 .*the file ends"),
        (
            XDATCAR,
            lambda t: t.replace("   4\n", "   x\n"),
            "frame 0 .*line 7 holds 'x' where a count",
        ),
        (XSF, lambda t: t + "  6 1.0 2.0 3.0\n", "frame 12 .*expected a keyword"),
        (XSF, lambda t: t[: t.rindex("PRIMCOORD") + 60], "frame 11 .*save its 11 whole frames"),
        (XSF, lambda t: t.replace("ANIMSTEPS 12", "ANIMSTEPS 13"), "frame 12 .*13 frames are prom"),
        (XSF, lambda t: t.replace("ANIMSTEPS 12", "ANIMSTEPS x"), "frame 0 .*line 1 holds 'x'"),
        (XSF, lambda t: t.replace(" 4 1\n", " nan 1\n"), "frame 0 .*holds 'nan'"),
        (XSF, lambda t: t[: t.index("BEGIN") - 6], "ends within the number"),
    ],
)
def test_lines_that_are_no_part_of_a_frame(tmp_path, name, change, words):
    path = tmp_path / name
    whole = {HISTORY: lambda _: history(), XDATCAR: xdatcar, XSF: xsf}[name](path)
    path.write_text(change(whole))
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
