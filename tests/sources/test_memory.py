"""What a header claims is compared with the limit before it is allocated or unpacked."""

import gzip
import zipfile

import pytest
from numpy.lib.format import write_array_header_1_0

from estag_jax import memory
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
