"""What a header claims is compared with the limit before it is allocated or unpacked."""

import gzip
import zipfile

import numpy as np
import pytest
from numpy.lib.format import write_array_header_1_0

from estag_jax import memory
from estag_jax.data.edges import near_pairs
from estag_jax.data.system import DataError
from estag_jax.sources.catalog import ReadConfig, load

FRAMES = 10**6


def refused(path, limit, *facts):
    with pytest.raises(DataError) as error:
        load(path, read=ReadConfig(max_memory=limit))
    message = str(error.value)
    assert message.startswith(str(path)) and "--read.max-memory" in message, message
    assert all(fact in message for fact in facts), message


@pytest.fixture
def bomb(tmp_path):
    """240 MB of zeros in an archive of less than 1 MB."""
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("R.npy", "w") as file,
    ):
        about = {"descr": "<f4", "fortran_order": False, "shape": (FRAMES, 20, 3)}
        write_array_header_1_0(file, about)
        for _ in range(240):
            file.write(bytes(10**6))
    assert path.stat().st_size < 10**6
    return path


def test_an_archive_that_unpacks_to_more_than_the_limit(bomb):
    refused(bomb, 0.2, f"[{FRAMES}, 20, 3]", "0.2 GB")


def test_a_larger_limit_lets_it_in(bomb):
    # What is wrong then is another thing: nothing moves in it.
    with pytest.raises(DataError) as error:
        load(bomb, read=ReadConfig(max_memory=0.3))
    assert "max-memory" not in str(error.value)


def test_a_trajectory_of_molecular_dynamics(tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    atoms = "".join(
        f"ATOM  {i + 1:5d}  C{i}  LIG A   1    {1.5 * i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00           C\n"
        for i in range(4)
    )
    (tmp_path / "a.pdb").write_text(atoms + "END\n")
    universe = mda.Universe.empty(4, trajectory=True)
    universe.dimensions = [50, 50, 50, 90, 90, 90]
    with mda.Writer(str(tmp_path / "a.dcd"), 4) as writer:
        for _ in range(30):
            universe.atoms.positions += 0.01
            writer.write(universe.atoms)
    with pytest.raises(DataError, match="float32\\[30, 4, 1, 3\\].*max-memory"):
        load(f"{tmp_path / 'a.pdb'},{tmp_path / 'a.dcd'}", read=ReadConfig(max_memory=1e-6))


def test_hdf5_that_claims_more_than_it_holds(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        # Chunks that were never written take no room in the file.
        file.create_dataset("coordinates", (10**12, 20, 3), "f4", chunks=(1, 20, 3))
        file["topology"] = "{}"
    refused(path, None, f"[{10**12}, 20, 3]")


BVH = (
    "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\n"
    "OFFSET 0 -4 1\n}\n}\nMOTION\nFrames: 1000000\nFrame Time: 0.01\n"
)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    "name, head, rest",
    [
        ("a.xyz", "", "2\n\nC 0 0 0\nC 1 0 0\n"),
        ("a.xyz", "2\n", " "),  # a line that does not end
        ("a.bvh", BVH, "0 0 0\n"),
        ("a.pdb", "", "REMARK\n"),
    ],
)
def test_a_text_that_goes_on_and_on(name, head, rest, suffix, tmp_path):
    path, text = tmp_path / f"{name}{suffix}", (head + rest * (300_000 // len(rest))).encode()
    path.write_bytes(gzip.compress(text) if suffix else text)
    refused(path, 1e-4, "the limit is 0.0 GB")


def joints_bvh(folder, count):
    joint = "JOINT j\n{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n}\n"
    head, tail = BVH.split("End Site")[0], "}\nMOTION\nFrames: 0\nFrame Time: 0.01\n"
    (folder / "a.bvh").write_text(head + joint * (count - 1) + tail)
    return folder / "a.bvh"


def joints_asf(folder, count):
    bone = " begin\n name b{0}\n direction 0 1 0\n length 1\n axis 0 0 0\n end\n"
    bones = "".join(map(bone.format, range(count)))
    (folder / "a.asf").write_text(f":bonedata\n{bones}:hierarchy\n root b0\n")
    (folder / "a.amc").write_text("1\nroot 0 0 0 0 0 0\n")
    return folder / "a.asf"


def runs_npz(folder, count):
    points = np.random.default_rng(0).normal(size=(count, 2, 3))
    np.savez(folder / "a.npz", positions=points, lengths=np.ones(count, int))
    return folder / "a.npz"


def star_npz(folder, count):
    """A hub that is bonded to all: its neighbours are joined by count² paths."""
    points = np.random.default_rng(0).normal(size=(5, count + 1, 3))
    bonds = [(0, i + 1) for i in range(count)]
    np.savez(folder / "a.npz", positions=points, bonds=bonds)
    return folder / "a.npz"


@pytest.mark.parametrize(
    "make, count, limit, fact",
    [
        (joints_bvh, 100_000, 0.1, "101 joints"),
        (joints_asf, 100_000, 0.1, "101 joints"),
        (runs_npz, 10_000, 0.5, "10,000 runs"),
        (star_npz, 10_000, 0.5, f"{10_000**2 + 10_000:,} paths"),
    ],
)
def test_many_joints_runs_and_edges(make, count, limit, fact, tmp_path):
    path = make(tmp_path, count)
    spec = f"{path},{path.with_suffix('.amc')}" if path.suffix == ".asf" else path
    with pytest.raises(DataError) as error:
        load(spec, read=ReadConfig(max_memory=limit))
    message = str(error.value)
    assert fact in message and str(path) in message and "--read.max-memory" in message, message
    assert len(message) < 500


@pytest.mark.parametrize("apart", [0.0, 1e-9])
def test_a_crowd_in_one_place_is_named_not_listed(apart, tmp_path):
    points = np.random.default_rng(0).normal(size=(2, 50_000, 3))
    points[:, 1:] = points[:, :1] + apart * points[:, 1:]  # 10⁹ pairs, and one node far away
    points[:, 0] += 1
    np.save(tmp_path / "a.npy", points)
    with pytest.raises(DataError, match=r"node 1 and node \d+ are in the same place in frame 0"):
        load(tmp_path / "a.npy")


def test_pairs_are_counted_before_they_are_listed():
    points = np.random.default_rng(0).uniform(size=(8000, 3))
    with memory.at_most(0.1), pytest.raises(memory.TooLarge, match="pairs of nodes within 2"):
        near_pairs(points, 2.0)
    apart = np.linalg.norm(points[:500, None] - points[:500], axis=-1)
    expected = np.argwhere(np.triu(apart < 0.1, 1))
    found = near_pairs(points[:500], 0.1)
    assert {*map(tuple, expected)} == {*map(tuple, found)} and len(found) > 20


@pytest.mark.parametrize(
    "arrays, fact",
    [
        (
            {"lengths": np.ones(10**5, int)},
            "lengths of 100000 runs do not add up to 5 frames",
        ),
        ({f"k{i}": np.zeros(1) for i in range(2000)}, "…"),
    ],
)
def test_a_line_about_many_things_is_short(arrays, fact, tmp_path):
    known = {"positions": np.random.default_rng(0).normal(size=(5, 3, 3))}
    np.savez(tmp_path / "a.npz", **(known if "lengths" in arrays else {}), **arrays)
    with pytest.raises(DataError) as error:
        load(tmp_path / "a.npz")
    assert fact in str(error.value) and len(str(error.value)) < 1000


def test_the_limit_is_half_of_the_machine_by_default():
    memory.afford(10**6, "little")
    with pytest.raises(memory.TooLarge, match="much takes 1,000,000.0 GB"):
        memory.afford(10**15, "much")
    with memory.at_most(10**7):
        memory.afford(10**15, "much")


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_is_positive(limit):
    with pytest.raises(ValueError, match="max_memory"):
        ReadConfig(max_memory=limit)
