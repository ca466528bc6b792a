"""HISTORY and XDATCAR: every line is accounted for; positions against what was written, and ASE."""

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


def test_another_number_of_frames_than_the_header_promises(tmp_path):
    for promised in (11, 13):
        (tmp_path / "HISTORY").write_text(history(promised=promised))
        assert has_note(read(tmp_path / "HISTORY"), f"promises {promised} frames")


def test_times_of_a_history(tmp_path):
    (tmp_path / "HISTORY").write_text(history(times=[*range(5), 5, 5, *range(16, 21)]))
    found = read(tmp_path / "HISTORY")
    assert found.lengths == (6, 5) and has_note(found, "frame 6: written twice")


HISTORY, XDATCAR = "HISTORY", "XDATCAR"


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
        (XDATCAR, lambda t: t[: len(t) * 6 // 10], "frame 6 .*save its 6 whole frames"),
        (XDATCAR, lambda t: t[:-60], "frame 11 .*expected 3 numbers"),
        (XDATCAR, lambda t: t.replace("Direct", "\nDirect"), "frame 0 .*line 8 is ''"),
        (XDATCAR, lambda t: t + "hello world\n", "frame 12 .*the file ends"),
        (XDATCAR, lambda t: t.replace("   4\n", "   x\n"), "frame 0 .*no numbers of atoms"),
    ],
)
def test_lines_that_are_no_part_of_a_frame(tmp_path, name, change, words):
    path = tmp_path / name
    path.write_text(change(history() if name == HISTORY else xdatcar(path)))
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
