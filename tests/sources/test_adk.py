"""Adenylate kinase: the residues, charges and runs, and a download that is not trusted blindly."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from estag_jax.data.edges import radius_edges
from estag_jax.data.system import DataError
from estag_jax.sources import adk
from estag_jax.sources.options import FolderOptions, NoOptions

mda = pytest.importorskip("MDAnalysis")
datafiles = pytest.importorskip("MDAnalysisTests.datafiles")
published = pytest.importorskip("MDAnalysisData.adk_equilibrium")

Remote = namedtuple("Remote", ["filename", "url", "checksum"])


def by_the_released_rule(topology, trajectory):
    """Positions [frames, 213, 4, 3] and charges, as the released program takes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(topology, trajectory)
        parts = universe.select_atoms("backbone").split("residue")
        parts = [part for part in parts if len(part) == 4]
        frames = [np.stack([part.positions for part in parts]) for _ in universe.trajectory]
        return np.stack(frames), np.stack([part.charges for part in parts])


def test_dims_by_the_released_rule():
    found = adk.read_dims("", NoOptions())
    assert found.lengths == (98, 102, 100) and found.run_names == ("dims", "dims-2", "targeted")
    files = [
        (datafiles.PSF, datafiles.DCD),
        (datafiles.PSF, datafiles.DCD2),
        (datafiles.PSF_NAMD_GBIS, datafiles.DCD_NAMD_GBIS),  # with its own topology
    ]
    begin = 0
    for length, pair in zip(found.lengths, files, strict=True):
        positions, charges = by_the_released_rule(*pair)
        np.testing.assert_array_equal(found.positions[begin : begin + length], positions)
        np.testing.assert_allclose(found.system.node_features, charges, atol=1e-6)
        begin += length
    assert found.positions.shape == (300, 213, 4, 3) and found.system.node_features.shape == (
        213,
        4,
    )
    assert (found.system.anchor, found.system.contact_distance) == (1, 6.0)
    assert (found.system.names[0], found.system.names[-1]) == ("MET1", "LEU213")
    assert (found.frame_step, found.time_unit, found.published) == (1.0, "frame", None)
    assert any("1 residue(s) left out" in note for note in found.notes)
    alpha = found.positions[0, :, found.system.anchor]
    distances = np.linalg.norm(alpha[:, None] - alpha, axis=-1)
    assert len(radius_edges(alpha, 6.0)[0]) == (distances <= 6.0).sum() - 213 == 1128


@pytest.fixture
def fake_archive(tmp_path, monkeypatch):
    """The two files of MDAnalysisTests in place of the published ones, from a "network" of copies."""
    archive, asked = {}, []
    for key, path in (("topology", datafiles.PSF), ("trajectory", datafiles.DCD)):
        name = published.ARCHIVE[key].filename
        checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        archive[key] = Remote(name, f"https://example.invalid/{path}", checksum)

    def fetch(url, path, *, sha256, report):
        good = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        if not good:
            asked.append(path.name)
            shutil.copyfile(url.removeprefix("https://example.invalid/"), path)
        return path

    monkeypatch.setattr(published, "ARCHIVE", archive)
    monkeypatch.setattr(adk, "fetch", fetch)
    return asked


def test_equilibrium(tmp_path, fake_archive):
    found = adk.read_equilibrium("", FolderOptions(tmp_path))
    positions, charges = by_the_released_rule(datafiles.PSF, datafiles.DCD)
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_allclose(found.system.node_features, charges, atol=1e-6)
    assert (found.published, found.source, found.time_unit) == ("time", "adk", "ps")
    assert found.frame_step == pytest.approx(1.0) and found.licence == "CC BY 4.0"
    assert fake_archive == ["adk4AKE.psf", "1ake_007-nowater-core-dt240ps.dcd"]
    adk.read_equilibrium("", FolderOptions(tmp_path))
    assert len(fake_archive) == 2  # what is there and right is not downloaded again


def test_partial_file_is_not_taken_for_the_whole(tmp_path, fake_archive):
    run = tmp_path / "1ake_007-nowater-core-dt240ps.dcd"
    run.write_bytes(Path(datafiles.DCD).read_bytes()[: -40116 * 50])  # ends after a whole frame
    assert adk.read_equilibrium("", FolderOptions(tmp_path)).num_frames == 98
    assert run.name in fake_archive


def test_published_files_have_sha256_and_a_secure_address():
    for remote in published.ARCHIVE.values():
        assert remote.url.startswith("https://") and len(remote.checksum) == 64


def test_without_the_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "MDAnalysisData.adk_equilibrium", None)
    with pytest.raises(DataError, match=r"MDAnalysisData; pip install 'estag_jax\[md\]'"):
        adk.read_equilibrium("", FolderOptions(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "MDAnalysisTests.datafiles", None)
    with pytest.raises(DataError, match="pip install MDAnalysisTests$"):
        adk.read_dims("", NoOptions())
