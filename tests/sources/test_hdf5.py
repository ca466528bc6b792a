"""HDF5: the layout that mdtraj writes, and H5MD behind a topology."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.geometry import cellpar_to_cell
from helpers.files import CARBONS, has_note, mda, random_walk, read, write_pdb

from estag_jax.data.system import DataError

h5py = pytest.importorskip("h5py")

ATOMS = [("C1", "C"), ("O1", "O"), ("H1", "H")]
TOPOLOGY = {
    "chains": [
        {
            "index": 0,
            "residues": [
                {
                    "index": 0,
                    "name": "LIG",
                    "resSeq": 7,
                    "segmentID": "",
                    "atoms": [
                        {"index": i, "name": n, "element": e} for i, (n, e) in enumerate(ATOMS)
                    ],
                }
            ],
        }
    ],
    "bonds": [[0, 1, None, None], [1, 2, None, None]],
}
FRAMES = random_walk()


def save(path, box=None, positions=FRAMES, **changes):
    arrays = {"coordinates": positions / 10, "time": np.arange(12, dtype=np.float32) * 2}
    arrays["topology"] = np.array([json.dumps(TOPOLOGY).encode()])
    if box is not None:
        arrays["cell_lengths"] = np.tile(np.float32(box[:3]) / 10, (12, 1))
        arrays["cell_angles"] = np.tile(np.float32(box[3:]), (12, 1))
    with h5py.File(path, "w") as file:
        for key, value in (arrays | changes).items():
            if value is not None:
                file[key] = value
    return path


def test_what_mdtraj_writes(tmp_path):
    found = read(save(tmp_path / "a.h5"))
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert found.system.names == ("C1", "O1", "H1") and found.system.atomic_numbers.tolist() == [
        6,
        8,
        1,
    ]
    assert found.system.bonds.tolist() == [[0, 1], [1, 2]]
    assert (found.frame_step, found.time_unit, found.system.length_unit) == (2.0, "ps", "Å")
    times = np.r_[0:5, 15:22].astype(np.float32)
    assert read(save(tmp_path / "b.h5", time=times)).lengths == (5, 7)
    assert read(save(tmp_path / "c.h5", time=None)).time_unit == "frame"


def test_a_molecule_torn_by_the_box(tmp_path):
    box = [12.0, 13, 14, 80, 95, 100]
    cell, shifted = cellpar_to_cell(box), FRAMES + [11.0, 0.1, 0.1]
    torn = shifted - np.floor(shifted @ np.linalg.inv(cell)) @ cell
    assert np.abs(torn - torn[:, :1]).max() > 6
    found = read(save(tmp_path / "a.h5", box, torn))
    inside = found.positions - found.positions[:, :1]
    np.testing.assert_allclose(inside[:, :, 0], shifted - shifted[:, :1], atol=1e-4)
    assert has_note(found, "molecules made whole")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time": np.arange(11.0)}, "12 frames of coordinates and 11 of time"),
        ({"topology": np.array([b"{}"])}, "topology is not mdtraj's"),
        ({"topology": None}, "holds coordinates, time, expected mdtraj's.*as .npz"),
        ({"coordinates": FRAMES[:, :2] / 10}, "its topology has 3 atoms"),
        ({"particles": np.zeros(1)}, "is H5MD.*write TOPOLOGY,"),
    ],
)
def test_other_files(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        read(save(tmp_path / "a.h5", **changes))


def test_a_file_that_is_cut(tmp_path):
    path = save(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"a\.h5: is no whole HDF5 file .*copy it again"):
        read(path)


@pytest.mark.parametrize("suffix", ["h5md", "h5"])
def test_h5md_behind_a_topology(tmp_path, suffix):
    top, path = write_pdb(tmp_path / "a.pdb", CARBONS), tmp_path / "b.h5md"
    universe = mda.Universe.empty(3, trajectory=True)
    universe.load_new(FRAMES, order="fac", dt=2.0)
    units = {"convert_units": False, "lengthunit": "Angstrom", "timeunit": "ps"}
    with mda.Writer(str(path), 3, **units) as writer:
        for _ in universe.trajectory:
            writer.write(universe.atoms)
    path = path.rename(tmp_path / f"b.{suffix}")
    found = read(f"{top},{path}")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    assert (found.frame_step, found.time_unit) == (2.0, "ps")
    with pytest.raises(DataError, match=rf"b\.{suffix}: .*TOPOLOGY,"):
        read(path)


@pytest.mark.parametrize(
    ("step", "time", "lengths", "expected"),
    [
        (np.r_[0:7, 20:25], None, (7, 5), (1.0, "frame")),
        (np.arange(12), np.r_[0:7, 20:25] * 2.0, (7, 5), (2.0, "ps")),
        (10, 0.5, (12,), (0.5, "ps")),  # the same between all frames
        (10, None, (12,), (1.0, "frame")),
    ],
)
def test_steps_and_times_of_h5md(tmp_path, step, time, lengths, expected):
    top, path = write_pdb(tmp_path / "a.pdb", CARBONS), tmp_path / "b.h5md"
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all/position")
        group["value"], group["step"] = FRAMES, step
        if time is not None:
            group["time"] = time
            group["time"].attrs["offset"] = 3.0
    found = read(f"{top},{path}")
    assert found.lengths == lengths and (found.frame_step, found.time_unit) == expected


@pytest.mark.parametrize("box", ["frames", "fixed", "none"])
@pytest.mark.parametrize(("unit", "scale"), [("nm", 0.1), ("Angstrom", 1.0), (None, 1.0)])
def test_h5md_by_its_specification(tmp_path, box, unit, scale):
    top, path = write_pdb(tmp_path / "a.pdb", CARBONS), tmp_path / "b.h5md"
    sizes = np.array([20.0, 21, 22]) * scale
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        group["position/value"] = (FRAMES + 5) * scale
        group["position/step"] = np.arange(12)
        if unit:
            group["position/value"].attrs["unit"] = unit
            group["position/time"] = np.arange(12) * 5.0  # optional
            group["position/time"].attrs["unit"] = b"fs"
        if box == "frames":
            group["box/edges/value"] = np.tile(np.diag(sizes), (12, 1, 1))
        elif box == "fixed":
            group["box/edges"] = sizes
    found = read(f"{top},{path}")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES + 5, atol=1e-5)
    expected = (0.005, "ps") if unit else (1.0, "frame")
    assert (found.frame_step, found.time_unit) == pytest.approx(expected)
    assert has_note(found, "unwrapped") == (box != "none")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"b\.h5md: is no whole H5MD file .*copy it again"):
        read(f"{top},{path}")
