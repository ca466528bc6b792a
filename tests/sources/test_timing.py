"""The time between frames: what files say, what the user says, and what our own forecasts say."""

from __future__ import annotations

import re
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from helpers.files import CARBONS, datafiles, has_note, random_walk, read, write_frames, write_pdb

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources.files.export import write_extxyz
from estag_jax.sources.files.npz import read_npz, write_npz
from estag_jax.sources.options import FileOptions, parse_step

FRAMES = random_walk()


def time_of(trajectory):
    return trajectory.frame_step, trajectory.time_unit


# --- the option ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", (0.5, None)),
        (0.5, (0.5, None)),
        ("0.5fs", (0.5, "fs")),
        (" 2 ps ", (2.0, "ps")),
        ("1e-2 s", (0.01, "s")),
        ("3 frame", (3.0, "frame")),
    ],
)
def test_a_step_with_its_unit(text, expected):
    assert parse_step(text) == expected


@pytest.mark.parametrize(
    "text", ["", "fs", "0", "-1 fs", "nan", "inf ps", "1 2 fs", "0x1", "1,5fs"]
)
def test_what_is_no_step(text):
    with pytest.raises(ValueError, match="frame_step.*positive"):
        FileOptions(frame_step=text)


def test_unknown_unit():
    with pytest.raises(ValueError, match="'parsec'.*fs, ps, ns, us, ms, s, frame"):
        FileOptions(frame_step="2 parsec")


def xyz(path):
    ase.io.write(path, [ase.Atoms("C3", x) for x in FRAMES], format="extxyz")
    return path


def npz(path, **arrays):
    np.savez(path, R=FRAMES, z=[6] * 3, **arrays)
    return path


def plain(path):
    np.save(path, FRAMES)
    return path


def multiframe(path):
    return datafiles.PDB_multiframe


SILENT = [
    (xyz, "a.xyz", "fs"),
    (npz, "a.npz", "fs"),
    (plain, "a.npy", "fs"),
    (multiframe, "", "ps"),
]


@pytest.mark.parametrize(("write", "name", "unit"), SILENT)
def test_where_the_file_is_silent_the_option_works(tmp_path, write, name, unit):
    path = write(tmp_path / name)
    if write is not npz:  # which is taken for MD17's
        assert time_of(read(path)) == (1.0, "frame")
    found = read(path, frame_step=0.5)
    assert time_of(found) == (0.5, unit) and has_note(found, f"0.5 {unit} as the user says")
    for text, expected in {
        "0.5fs": (0.5, "fs"),
        "2 ps": (2.0, "ps"),
        "3 frame": (3.0, "frame"),
    }.items():
        assert time_of(read(path, frame_step=text)) == expected


def stated(tmp_path, step=2.5, suffix="dcd"):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    return f"{top},{write_frames(tmp_path / f'{step}.{suffix}', FRAMES, step=step)}"


@pytest.mark.parametrize(
    ("given", "expected", "noted"),
    [
        (3.0, (3.0, "ps"), True),
        ("3", (3.0, "ps"), True),
        ("2.51", (2.51, "ps"), False),
        ("2510 fs", (2510.0, "fs"), False),
        ("2.5 fs", (2.5, "fs"), True),
        ("1 frame", (1.0, "frame"), True),
    ],
)
def test_the_option_goes_before_the_file_and_a_difference_is_noted(
    tmp_path, given, expected, noted
):
    found = read(stated(tmp_path), frame_step=given)
    assert time_of(found) == expected
    assert has_note(found, "the file has 2.5 ps") == noted
    dt = npz(tmp_path / "dt.npz", dt_fs=2500.0)
    assert has_note(read(dt, frame_step=given), "the file has 2500 fs") == (
        noted or given == "2.51"
    )


def test_a_bare_number_is_in_the_unit_of_the_file(tmp_path):
    units = {"frame_step": 1 / 120, "time_unit": "s", "names": ("a", "b", "c")}
    write_npz(tmp_path / "a.npz", Trajectory.from_arrays(FRAMES, **units))
    found = read(tmp_path / "a.npz", frame_step=0.1)
    assert time_of(found) == (0.1, "s") and has_note(found, "the file has 0.00833333 s")
    assert time_of(read_npz(tmp_path / "a.npz")) == (1 / 120, "s")
    write_npz(tmp_path / "c.npz", Trajectory.from_arrays(FRAMES, frame_step=1.0, time_unit="frame"))
    assert time_of(read(tmp_path / "c.npz", frame_step=0.1)) == (0.1, "fs")  # frames are no time
    units["time_unit"] = "time unit"  # which cannot be converted
    write_npz(tmp_path / "b.npz", Trajectory.from_arrays(FRAMES, **units))
    assert time_of(read(tmp_path / "b.npz", frame_step=0.1)) == (0.1, "time unit")
    assert has_note(read(tmp_path / "b.npz", frame_step=f"{1 / 120}s"), "the file has")


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan])
def test_times_that_make_no_sense(tmp_path, step):
    spec = stated(tmp_path, step, "trr")
    with pytest.raises(DataError, match=r"\.trr: .*positive.*--read.frame-step"):
        read(spec)
    assert time_of(read(spec, frame_step="2 ps")) == (2.0, "ps")


def test_runs_with_different_steps(tmp_path):
    spec = f"{stated(tmp_path)},{stated(tmp_path, 4.0).split(',')[1]}"
    with pytest.raises(DataError, match=r"4\.0\.dcd: has 4 ps .*2\.5 ps; .*frame-step"):
        read(spec)
    assert time_of(read(spec, frame_step=3.0)) == (3.0, "ps")


def test_time_that_is_not_known_or_uneven(tmp_path):
    akma = 0.0488882129  # ps; a step of one such unit is what writers put that do not know it
    found = read(stated(tmp_path, akma))
    assert time_of(found) == (1.0, "frame") and has_note(found, "time between")
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    with XTCFile(str(tmp_path / "b.xtc"), "w") as file:
        for k, time in enumerate((0.0, 2.0, 4.0, 9.0, 11.0)):
            file.write(FRAMES[k] / 10, np.zeros((3, 3), np.float32), k, time)
    spec = f"{tmp_path / 'a.pdb'},{tmp_path / 'b.xtc'}"
    found = read(spec)
    assert has_note(found, "1 gap(s) in the time of b.xtc, the first from frame 2 to 3 (4 to 9 ps)")
    assert found.lengths == (3, 2) and time_of(found) == (2.0, "ps")


# --- our own forecasts ---

ATOMS = {"atomic_numbers": np.array([6, 8, 1])}
PLAIN = {"length_unit": "asf unit"}


@pytest.mark.parametrize("about", [ATOMS, PLAIN])
@pytest.mark.parametrize(
    ("step", "unit"), [(0.5, "fs"), (1 / 120, "s"), (0.1, "time unit"), (5.0, "frame")]
)
@pytest.mark.parametrize("frames", [1, 2, 12])
def test_a_forecast_is_read_back(tmp_path, about, step, unit, frames):
    given = Trajectory.from_arrays(FRAMES, time_unit=unit, frame_step=step, **about)
    path = tmp_path / "new" / "a.xyz"
    write_extxyz(path, FRAMES[:frames, :, None], given.system, step, unit)
    assert [file.name for file in path.parent.iterdir()] == ["a.xyz"]
    found = read(path)
    assert time_of(found) == (step, unit) and not found.notes
    assert found.system.names == (("C", "O", "H") if about is ATOMS else ("0", "1", "2"))
    assert (found.system.atomic_numbers is None) == (about is PLAIN)
    assert found.system.length_unit == about.get("length_unit", "Å")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES[:frames], atol=1e-7)


def timed(path, times):
    images = [ase.Atoms("CO", np.eye(3)[:2] + i) for i in range(len(times))]
    for image, time in zip(images, times, strict=True):
        if time is not None:
            image.info["time_ps"] = time
    ase.io.write(path, images, format="extxyz")
    return path


def test_times_of_other_programs(tmp_path):
    assert time_of(read(timed(tmp_path / "a.xyz", [3.0, 3.5, 4.0]))) == (0.5, "ps")
    with pytest.raises(DataError, match=r"b\.xyz.*not evenly spaced.*--read.frame-step"):
        read(timed(tmp_path / "b.xyz", [0.0, 0.5, 2.0]))
    uneven = read(tmp_path / "b.xyz", frame_step="1 ps")
    assert time_of(uneven) == (1.0, "ps") and has_note(uneven, "counted as even")
    with pytest.raises(DataError, match=r"c\.xyz.* 0 ps.*--read.frame-step"):
        read(timed(tmp_path / "c.xyz", [0.0, 0.0, 0.0]))
    assert time_of(read(tmp_path / "c.xyz", frame_step="1 fs")) == (1.0, "fs")
    holes = read(timed(tmp_path / "d.xyz", [0.0, None, 1.0]))
    assert time_of(holes) == (1.0, "frame") and has_note(holes, "times of the frames were not used")


@pytest.mark.parametrize(
    "name, form, line, expected",
    [
        ("aims/md.out", "aims-output", None, (0.001, "ps")),
        ("castep/md.castep", "castep-castep", None, (0.001, "ps")),
        ("vasp/OUTCAR_example_1", "vasp-out", "IBRION =     -1", (1.0, "frame")),
        ("vasp/OUTCAR_example_1", "vasp-out", "IBRION =      0", (0.5, "fs")),
        ("vasp/vasprun_pstress.xml", "vasp-xml", 'IBRION">    -1', (1.0, "frame")),
        ("vasp/vasprun_pstress.xml", "vasp-xml", 'IBRION">     0', (0.5, "fs")),
    ],
)
def test_the_step_that_an_output_states(tmp_path, name, form, line, expected):
    """Files of real programs that ASE ships; an OUTCAR has dynamics where IBRION is 0."""
    source = Path(ase.__file__).parent / "test" / "testdata" / name
    text = source.read_text()
    (tmp_path / "a").write_text(re.sub(r"IBRION.{2,3} +-1", line, text) if line else text)
    assert time_of(read(tmp_path / "a", format=form)) == expected
