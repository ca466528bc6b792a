"""CMU's motion capture as a source: the walks, splits, downloads on small files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.mocap import ASF

from estag_jax.data.system import DataError
from estag_jax.sources import catalog as sources
from estag_jax.sources import cmu
from estag_jax.sources.catalog import SOURCES
from estag_jax.sources.mocap import positions, read_amc, read_asf
from estag_jax.sources.options import MocapOptions


def read(name, folder):
    return cmu.read(name, MocapOptions(folder=str(folder)))


# --- CMU's own files ---


@pytest.fixture(scope="module")
def walks(shared_data):
    return read("walk", shared_data / "cmu_mocap")


@pytest.mark.data
def test_walk(shared_data, walks):
    assert walks.positions.shape == (7766, 31, 1, 3) and walks.positions.dtype == np.float64
    assert len(walks.lengths) == 20 and walks.run_names[:2] == ("35_01", "35_02")
    assert walks.lengths[0] == 224 and max(walks.lengths) == 497
    assert walks.frame_step == pytest.approx(1 / 120) and walks.time_unit == "s"
    assert walks.system.length_unit == "asf unit" and "5.64 cm" in walks.provenance
    assert walks.system.bonds.shape == (30, 2)
    assert any("trials 3, 4, 6 of walk are not in" in note for note in walks.notes)
    suggested = SOURCES["cmu"].suggested
    assert suggested.window.delta == 5 and suggested.split.each == 100
    assert walks.published is None and walks.system.graph is None
    # Bones are rigid; directions in the asf have six digits.
    skeleton = read_asf(shared_data / "cmu_mocap" / "35" / "35.asf")
    parents, children = walks.system.bonds.T
    bones = np.linalg.norm(walks.positions[:, children, 0] - walks.positions[:, parents, 0], axis=2)
    np.testing.assert_allclose(bones, np.tile(skeleton.lengths[1:], (7766, 1)), rtol=1e-6)
    assert np.ptp(bones, axis=0).max() < 1e-10
    whole = read("35", shared_data / "cmu_mocap")
    np.testing.assert_array_equal(whole.positions, walks.positions)


@pytest.mark.data
def test_last_frame_error_is_the_published_one(walks):
    # Published: 0.383, on other windows of these trials; a wrong scale or order is far off.
    runs = np.split(walks.positions[:, :, 0], np.cumsum(walks.lengths)[:-1])
    runs = [run[:350] for run in runs if len(run) >= 352]
    assert len(runs) == 17
    errors = [np.mean((run[45:345] - run[50:350]) ** 2) for run in runs]  # past 10, delta 5
    assert 0.37 < np.mean(errors) < 0.385


# --- the CMU source on small files ---


def trial(frames, offset=0.0):
    lines = [":DEGREES"]
    for i in range(frames):
        lines += [str(i + 5), f"root {i * i + offset} 2 3 0 {i} 0", "upper 10", "lower 20"]
    return "\n".join(lines)


def subject(folder, name, trials):
    base = folder / name
    base.mkdir()
    (base / f"{name}.asf").write_text(ASF)
    for number in trials:
        (base / f"{name}_{number:02d}.amc").write_text(trial(20 + number, number))
    return folder


def test_complete_set_has_its_published_split(tmp_path):
    # Written out of order; the twelfth trial is no part of the set.
    found = read("run", subject(tmp_path, "09", [12, 10, 11, *range(1, 10)]))
    assert found.published is cmu.SETS["run"].published
    assert found.run_names == tuple(f"09_{i:02d}" for i in range(1, 12))
    assert found.lengths == (*range(21, 30), 24, 31)  # trial 10 without its first 6 frames
    assert any("first 6 frames of trial 10 left out" in note for note in found.notes)
    assert any("numbers trials in an order that is not known" in note for note in found.notes)
    raw = positions(read_asf(tmp_path / "09" / "09.asf"), read_amc(tmp_path / "09" / "09_10.amc"))[
        6:
    ]
    begin = sum(found.lengths[:9])
    np.testing.assert_array_equal(found.positions[begin : begin + 24, :, 0], raw)
    np.testing.assert_array_equal(found.system.node_features, np.ones((3, 1)))
    everything = read("9", tmp_path)
    assert len(everything.lengths) == 12 and everything.lengths[9] == 30
    assert everything.published is None


def test_trials_that_are_absent_are_told(tmp_path):
    found = read("run", subject(tmp_path, "09", [2, 5]))
    assert found.run_names == ("09_02", "09_05") and found.published is None
    assert any("trials 1, 3, 4, 6, 7, 8, 9, 10, 11 of run are not in" in n for n in found.notes)


@pytest.mark.parametrize("name", ["walk", "run"])
def test_published_split_takes_each_trial_once(name):
    chosen = cmu.SETS[name]
    parts = (chosen.published.train, chosen.published.validation, chosen.published.test)
    assert sorted(sum(parts, ())) == list(range(len(chosen.trials)))
    assert name != "walk" or list(map(len, parts)) == [11, 6, 6]


@pytest.fixture
def database(server, tmp_path, monkeypatch):
    """A server of subject 7 with trials 1, 2 and 4: the folder that is served and what is asked."""
    subject(server.folder, "07", [1, 2, 4])
    monkeypatch.setattr(cmu, "URL", f"{server.place}/{{path}}")
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path / "cache"))
    return server.folder, server.requests


def test_a_subject_is_downloaded_trial_by_trial_once(database):
    served, asked = database
    found = sources.load("cmu:7")
    assert found.run_names == ("07_01", "07_02", "07_04") and found.system.graph.num_edges == 6
    assert sum("07_0" in path for path in asked) >= 7  # 5, 6 and 7 were asked for in vain
    asked.clear()
    again = sources.load("cmu:7")
    assert not asked and again.fingerprint == found.fingerprint
    np.testing.assert_array_equal(
        sources.load("cmu:7", read=sources.ReadConfig(folder=str(served))).positions,
        found.positions,
    )


def test_a_subject_that_is_not_there(database):
    with pytest.raises(DataError, match=r"08.asf .* 404 .*--read.folder"):
        sources.load("cmu:8")


@pytest.mark.parametrize("name", ["jump", "0", "-3", "35_01", "../35", "٣"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(DataError, match="known are walk, run, basketball"):
        read(name, tmp_path)


def test_folders_without_the_files(tmp_path):
    with pytest.raises(DataError, match=r"35.asf: .*No such file"):
        read("walk", tmp_path)
    with pytest.raises(DataError, match=r"no 09_NN.amc of run.* --read.folder"):
        read("run", subject(tmp_path, "09", [12]))
    (tmp_path / "09" / "09_01.amc").write_text(trial(1))
    with pytest.raises(DataError, match=r"09_01.amc: .* 1 frame"):
        read("run", tmp_path)
