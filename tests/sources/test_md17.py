"""MD17 and rMD17 from files made up in their formats, and from an archive on a local server."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.md17 import BENZENE, ETHANOL, FRAMES, moves, npz_bytes, rmd17, save_md17, write_archive

from estag_jax.data.system import DataError
from estag_jax.sources import md17
from estag_jax.sources.md17 import MOLECULES, read_md17, read_rmd17
from estag_jax.sources.options import FolderOptions


def at(folder):
    return FolderOptions(str(folder))


HERE = FolderOptions()


@pytest.fixture
def served(server, monkeypatch):
    """A folder that a server on this machine gives out, in place of the public archives."""
    urls = (f"{server.place}/none/{{file}}", f"{server.place}/{{file}}")
    monkeypatch.setattr(md17, "MD17_URLS", urls)
    monkeypatch.setattr(md17, "RMD17_URLS", (f"{server.place}/rmd17.tar.bz2",))
    monkeypatch.setattr(md17, "RMD17_HASH", None)
    return server.folder, server.requests


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "md17"


# --- MD17 ---


@pytest.mark.parametrize("file", ["md17_ethanol.npz", "ethanol_dft.npz"])
def test_md17_from_a_folder(tmp_path, file):
    R = save_md17(tmp_path / file)
    trajectory = read_md17("ethanol", at(tmp_path))
    np.testing.assert_array_equal(trajectory.positions, R[:, :, None])
    assert trajectory.system.names == ("C", "C", "O") + ("H",) * 6
    np.testing.assert_array_equal(trajectory.system.inputs("number")[0], ETHANOL[:, None])
    assert trajectory.system.inputs("number")[0].dtype == np.float32
    assert (trajectory.frame_step, trajectory.time_unit, trajectory.system.length_unit) == (
        0.5,
        "fs",
        "Å",
    )
    assert trajectory.system.graph is None and trajectory.missing is None and not trajectory.notes
    assert "Science Advances 3, e1603015" in trajectory.provenance and "cite" in trajectory.licence
    assert trajectory.source == str(tmp_path / file)


@pytest.mark.parametrize("file", ["md17_benzene2017.npz", "benzene2017_dft.npz"])
def test_benzene_is_that_of_2017_and_says_what_is_odd(tmp_path, file):
    save_md17(tmp_path / "md17_benzene.npz", BENZENE)
    with pytest.raises(DataError, match="md17_benzene2017.npz, benzene2017_dft.npz"):
        read_md17("benzene", at(tmp_path))
    save_md17(tmp_path / file, BENZENE)
    (note,) = read_md17("benzene", at(tmp_path)).notes
    assert "190 Å" in note and "0.17 fs" in note


def test_md17_is_downloaded_once_from_the_first_place_that_has_it(served, cache):
    folder, requests = served
    R = save_md17(folder / "md17_ethanol.npz")
    for _ in range(2):
        trajectory = read_md17("ethanol", HERE)
        np.testing.assert_array_equal(trajectory.positions[:, :, 0], R)
    assert requests == ["/none/md17_ethanol.npz", "/md17_ethanol.npz"]
    assert trajectory.source == str(cache / "md17_ethanol.npz")
    with pytest.raises(DataError, match="md17_toluene.npz .*404.*404.*--read.folder"):
        read_md17("toluene", HERE)


@pytest.mark.parametrize("read", [read_md17, read_rmd17])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("etanol", "'etanol'.* known are aspirin,.*did you mean 'ethanol'"),
        ("salicylic_acid", "did you mean 'salicylic'"),
        ("water", "MD17; known are aspirin, benzene.*uracil$"),
    ],
)
def test_unknown_molecule(read, name, words):
    with pytest.raises(DataError, match=words):
        read(name, HERE)


def test_formulas_have_the_atoms_of_the_published_systems():
    # Atoms of each molecule in MD17, by the table of its paper.
    atoms = dict(aspirin=21, benzene=12, ethanol=9, malonaldehyde=9, naphthalene=18)
    atoms |= dict(salicylic=16, toluene=15, uracil=12)
    from ase.formula import Formula

    assert {name: len(Formula(known.formula)) for name, known in MOLECULES.items()} == atoms


def test_other_molecule_under_the_name(tmp_path):
    save_md17(tmp_path / "md17_toluene.npz")
    with pytest.raises(DataError, match="md17_toluene.npz: .*C2H6O.* toluene is C7H8"):
        read_md17("toluene", at(tmp_path))
    np.savez(tmp_path / "md17_ethanol.npz", positions=moves(ETHANOL))
    with pytest.raises(DataError, match="nothing with atomic numbers.*C2H6O"):
        read_md17("ethanol", at(tmp_path))


@pytest.mark.data
def test_simulated_stand_in_reads_as_md17(tmp_path, shared_data):
    (tmp_path / "md17_ethanol.npz").symlink_to(shared_data / "md_xtb" / "ethanol_xtb.npz")
    trajectory = read_md17("ethanol", at(tmp_path))
    assert trajectory.positions.shape == (60000, 9, 1, 3)


# --- rMD17 ---


def check_order(trajectory, arrays, truth):
    first, last = arrays["old_indices"].min(), arrays["old_indices"].max()
    truth = truth[first : last + 1].astype(np.float32)
    known = np.isin(np.arange(first, last + 1), arrays["old_indices"])
    np.testing.assert_array_equal(trajectory.missing, ~known)
    assert trajectory.positions.dtype == np.float32 and trajectory.positions.shape[2] == 1
    np.testing.assert_array_equal(trajectory.positions[known, :, 0], truth[known])
    assert np.isnan(trajectory.positions[~known]).all() and 0 < known.sum() < len(known)
    (note,) = trajectory.notes
    assert f"its {known.sum()} frames" in note and f"{(~known).sum()} of the {len(known)}" in note


@pytest.mark.parametrize("inside", ["", "npz_data", "rmd17/npz_data"])
def test_rmd17_is_put_back_in_order(tmp_path, inside):
    arrays, truth = rmd17()
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    np.savez(tmp_path / inside / "rmd17_ethanol.npz", **arrays)
    trajectory = read_rmd17("ethanol", at(tmp_path))
    check_order(trajectory, arrays, truth)
    np.testing.assert_array_equal(trajectory.system.atomic_numbers, ETHANOL)
    np.testing.assert_array_equal(trajectory.system.inputs("number")[0], ETHANOL[:, None])
    assert trajectory.system.names[:3] == ("C", "C", "O") and trajectory.frame_step == 0.5
    assert "045018" in trajectory.provenance and "CC0" in trajectory.licence
    assert trajectory.source.endswith("rmd17_ethanol.npz")


def test_rmd17_without_gaps(tmp_path):
    arrays, truth = rmd17(known=FRAMES, first=0)
    np.savez(tmp_path / "rmd17_ethanol.npz", **arrays)
    trajectory = read_rmd17("ethanol", at(tmp_path))
    assert trajectory.missing is None
    np.testing.assert_array_equal(trajectory.positions[:, :, 0], truth.astype(np.float32))


def test_archive_is_downloaded_once_and_only_what_is_wanted_comes_out(served, cache):
    folder, requests = served
    ethanol, truth = rmd17()
    benzene, _ = rmd17(BENZENE)
    archive = [
        ("rmd17/readme.txt", b"text"),
        ("../../rmd17_ethanol.npz", b"evil"),
        ("rmd17/rmd17_ethanol.npz", None),
        ("rmd17/npz_data/rmd17_azobenzene.npz", b"other"),
        ("rmd17/npz_data/rmd17_benzene.npz", npz_bytes(**benzene)),
        ("rmd17/npz_data/rmd17_ethanol.npz", npz_bytes(**ethanol)),
    ]
    write_archive(folder / "rmd17.tar.bz2", archive)
    check_order(read_rmd17("ethanol", HERE), ethanol, truth)
    check_order(read_rmd17("ethanol", HERE), ethanol, truth)
    assert read_rmd17("benzene", HERE).system.num_nodes == 12
    assert requests == ["/rmd17.tar.bz2"]
    names = {file.name.removesuffix(".sha256") for file in cache.iterdir()}
    files = {"rmd17.tar.bz2", "rmd17_ethanol.npz", "rmd17_benzene.npz"}
    assert names == files
    assert not list(folder.parent.glob("*.npz"))
    (cache / "rmd17_ethanol.npz").write_bytes(b"")
    with pytest.raises(DataError, match="rmd17_ethanol.npz: was altered"):
        read_rmd17("ethanol", HERE)
    with pytest.raises(DataError, match="bz2: .*rmd17_toluene.npz"):
        read_rmd17("toluene", HERE)


def test_archive_in_a_folder_and_a_damaged_one(tmp_path, cache):
    arrays, truth = rmd17()
    content = [("rmd17/npz_data/rmd17_ethanol.npz", npz_bytes(**arrays))]
    write_archive(tmp_path / "rmd17.tar.bz2", content)
    whole = (tmp_path / "rmd17.tar.bz2").read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"BZh9 no"):
        (tmp_path / "rmd17.tar.bz2").write_bytes(bad)
        with pytest.raises(DataError, match="bz2: .*damaged") as error:
            read_rmd17("ethanol", at(tmp_path))
        assert "\n" not in str(error.value) and not cache.exists()
    (tmp_path / "rmd17.tar.bz2").write_bytes(whole)
    check_order(read_rmd17("ethanol", at(tmp_path)), arrays, truth)
    assert (cache / "rmd17_ethanol.npz.sha256").exists()
    (tmp_path / "rmd17.tar.bz2").write_bytes(b"")  # it is not unpacked a second time
    check_order(read_rmd17("ethanol", at(tmp_path)), arrays, truth)


def altered(**changes):
    arrays = rmd17()[0] | changes
    return {key: value for key, value in arrays.items() if value is not None}


PLACES = rmd17()[0]["old_indices"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (altered(old_indices=None), "lacks old_indices"),
        (altered(coords=None), "lacks coords; it has energies, forces"),
        (altered(old_indices=PLACES[:-1]), r"old_indices is int64\[24\].* 25"),
        (altered(old_indices=PLACES + 0.5), r"old_indices is float64\[25\]"),
        (altered(old_indices=PLACES - PLACES[3] - 1), "old_indices of frame .* is -"),
        (altered(old_indices=PLACES * 10**9), "is .*000000000, expected 0 to 9999999"),
        (altered(old_indices=np.r_[PLACES[:-1], PLACES[4]]), "frames 4 and 24.*old_indices"),
        (altered(nuclear_charges=ETHANOL[:-1]), r"nuclear_charges is uint8\[8\].* 9"),
        (altered(nuclear_charges=ETHANOL * 0), r"nuclear_charges are \[0, .*118"),
        (altered(coords=rmd17()[0]["coords"][..., :2]), r"coords is float64\[25, 9, 2\]"),
        (altered(coords=np.zeros((0, 9, 3))), r"coords is float64\[0, 9, 3\]"),
        (altered(nuclear_charges=ETHANOL[::-1].clip(1, 7)), "C2H6N.*C2H6O"),
        (altered(coords=np.array({}, dtype=object)), "pickled objects"),
    ],
)
def test_bad_rmd17(tmp_path, arrays, words):
    np.savez(tmp_path / "rmd17_ethanol.npz", **arrays)
    with pytest.raises(DataError, match=words) as error:
        read_rmd17("ethanol", at(tmp_path))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [0, 100, -30])
def test_rmd17_file_that_is_cut_short(tmp_path, cut):
    (tmp_path / "rmd17_ethanol.npz").write_bytes(npz_bytes(**rmd17()[0])[:cut])
    with pytest.raises(DataError, match="rmd17_ethanol.npz.*(not an npz|cut short)"):
        read_rmd17("ethanol", at(tmp_path))


def test_folder_without_any_of_the_files(tmp_path):
    words = "rmd17_uracil.npz, .*rmd17.tar.bz2.*--read.folder"
    with pytest.raises(DataError, match=words):
        read_rmd17("uracil", at(tmp_path))
    with pytest.raises(DataError, match="md17_uracil.npz, uracil_dft.npz"):
        read_md17("uracil", at(tmp_path / "none"))
