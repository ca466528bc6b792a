"""Forecasts written for other programs, read back by them."""

import sys

import ase.io
import MDAnalysis
import numpy as np
import pytest
from PIL import Image

from estag_jax.data.system import DataError, System
from estag_jax.io import FileError
from estag_jax.report.animation import MOST, animation
from estag_jax.sources.files.export import write_frames

pytestmark = pytest.mark.filterwarnings(
    "ignore:DCDReader currently:DeprecationWarning", "ignore:.*:UserWarning:MDAnalysis"
)
RNG = np.random.default_rng(0)
SYSTEM = System(("C", "O", "H"), np.array([6, 8, 1]), bonds=np.array([[0, 1], [1, 2]]))
FRAMES = RNG.normal(size=(7, 3, 1, 3)) * 3


def test_dcd_is_read_by_mdanalysis(tmp_path):
    write_frames(tmp_path / "new" / "a.dcd", FRAMES, SYSTEM, 5.0, "fs")
    universe = MDAnalysis.Universe.empty(3, trajectory=True)
    universe.load_new(str(tmp_path / "new" / "a.dcd"))
    read = np.array([step.positions.copy() for step in universe.trajectory])
    np.testing.assert_allclose(read, FRAMES[:, :, 0], atol=1e-5)
    assert universe.trajectory.dt == pytest.approx(0.005, rel=1e-5)


@pytest.mark.parametrize("unit", ["Å", "nm"])
def test_pdb_is_read_by_ase_and_mdanalysis_in_angstrom(tmp_path, unit):
    factor = 10 if unit == "nm" else 1
    system = System(SYSTEM.names, SYSTEM.atomic_numbers, length_unit=unit)
    write_frames(tmp_path / "a.pdb", FRAMES / factor, system, 1.0, "ps")
    images = ase.io.read(tmp_path / "a.pdb", ":")
    assert len(images) == 7 and images[0].get_chemical_formula() == "CHO"
    positions = np.array([image.positions for image in images])
    np.testing.assert_allclose(positions, FRAMES[:, :, 0], atol=6e-4)
    universe = MDAnalysis.Universe(str(tmp_path / "a.pdb"))
    assert universe.trajectory.n_frames == 7 and universe.atoms.n_atoms == 3


def test_samples_of_several_channels_lie_one_after_the_other(tmp_path):
    system = System(("a", "b"), channels=2)
    paths = RNG.normal(size=(2, 3, 2, 2, 3))
    write_frames(tmp_path / "a.dcd", paths, system, 1.0, "s")
    universe = MDAnalysis.Universe.empty(4, trajectory=True)
    universe.load_new(str(tmp_path / "a.dcd"))
    read = np.array([step.positions.copy() for step in universe.trajectory])
    np.testing.assert_allclose(read, paths.reshape(6, 4, 3), atol=1e-6)


def test_units_that_mean_nothing_are_refused(tmp_path):
    system = System(SYSTEM.names, length_unit="inch")
    for name in ("a.pdb", "a.dcd"):
        with pytest.raises(DataError, match=rf"{name}: .*'inch'.*\.xyz"):
            write_frames(tmp_path / name, FRAMES, system, 1.0, "ps")
    assert list(tmp_path.iterdir()) == []


def test_a_gif_has_the_frames_and_moves(tmp_path):
    frames = np.concatenate([FRAMES] * 40)
    path = animation(
        frames, SYSTEM, tmp_path / "a.gif", truth=frames[:50], step=1.0, time_unit="fs"
    )
    with Image.open(path) as image:
        assert image.n_frames == MOST and image.info["duration"] == 50
        first = np.asarray(image.convert("RGB")).astype(int)
        image.seek(1)
        second = np.asarray(image.convert("RGB")).astype(int)
    assert (np.abs(first - second).sum(axis=2) > 60).mean() > 0.01


def test_a_film_has_the_frames(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs the extra video")
    path = animation(np.concatenate([FRAMES] * 3), SYSTEM, tmp_path / "a.mp4", truth=FRAMES[:5])
    frames, seconds = ffmpeg.count_frames_and_secs(str(path))
    assert frames == 3 * len(FRAMES) and seconds == pytest.approx(frames / 20, abs=0.06)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_a_film_without_ffmpeg_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FileError, match=r"a\.mp4: an MP4 needs imageio-ffmpeg.*\[video\].*\.gif"):
        animation(FRAMES, SYSTEM, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []
