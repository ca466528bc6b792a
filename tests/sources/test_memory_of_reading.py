"""How much memory reading takes, in sizes of the positions: whole copies are few, whatever is asked for."""

import tracemalloc

import jax
import numpy as np
import pytest

from estag_jax.data import transform
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.models.egnn import EgnnConfig
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.training.buckets import make_buckets

FRAMES, NODES = 25_000, 20
SIZE = FRAMES * NODES * 12
"""Bytes of positions in float32: 6 MB."""


def peak(function):
    """The most memory that a call takes, bytes, without what it imports and compiles; and what it returns."""
    function()
    tracemalloc.start()
    try:
        found = function()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def positions():
    """Carbons on a grid that oscillate [FRAMES, NODES, 3]."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:NODES] * 1.5
    omega, phase = rng.uniform(0.1, 0.3, (2, NODES, 3))
    steps = np.arange(FRAMES)[:, None, None]
    return (grid + 0.05 * np.sin(omega * steps + 9 * phase)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    x, z = positions(), np.full(NODES, 6)
    light = np.where(np.arange(NODES) < 10, 6, 1)
    np.savez(folder / "a.npz", R=x, z=z, dt_fs=0.5)
    np.savez(folder / "hydrogens.npz", R=x, z=light, dt_fs=0.5)
    np.savez(folder / "cell.npz", R=x[:1500], z=z, dt_fs=0.5, cell=[20.0, 20, 20])
    np.save(folder / "a.npy", x.astype(np.float64))
    return folder


@pytest.mark.parametrize(
    ("name", "most", "read"),
    [
        ("a.npz", 1.5, {}),
        ("a.npy", 2.5, {}),  # float64
        ("hydrogens.npz", 1.8, {}),
        ("a.npz", 2.5, {"centre": "frame"}),
        ("a.npz", 3.0, {"align": True}),
        ("a.npz", 2.5, {"unit": "nm"}),
        ("cell.npz", 3.5, {}),
    ],
)
def test_reading_holds_the_positions_once_and_what_is_made_of_them(
    folder, name, most, read, monkeypatch
):
    monkeypatch.setattr(transform, "BLOCK", 1000)  # the block is small beside a large file
    taken, trajectory = peak(lambda: load(folder / name, read=ReadConfig(**read)))
    size = SIZE * trajectory.num_frames / FRAMES
    assert taken < most * size, taken / size


def test_a_text_file_takes_no_more_than_three_times_its_size(tmp_path):
    path, frames = tmp_path / "a.xyz", 3000
    with open(path, "w") as file:
        for frame in positions()[:frames]:
            file.write(
                f"{NODES}\n\n" + "".join(f"C {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in frame)
            )
    size = path.stat().st_size
    taken, trajectory = peak(lambda: load(path))
    assert trajectory.num_frames == frames and taken < 2 * size, taken / size


def test_training_windows_lie_on_the_device_without_another_copy(folder):
    trajectory = load(folder / "a.npz")
    task = Task(trajectory, WindowConfig(past=3, delta=1), SplitConfig(train=FRAMES))
    taken, (bucket,) = peak(lambda: make_buckets(task, EgnnConfig().elements))
    assert len(bucket.starts) > FRAMES / 2 and taken < 0.35 * SIZE, taken / SIZE
    first, begin = task.splits[0].train[0], bucket.starts[0]
    np.testing.assert_array_equal(
        bucket.positions[begin : begin + 5], trajectory.positions[first : first + 5]
    )
    # A CPU's own memory is not traced: it takes the file's as they are.
    on_device = jax.device_put(bucket.positions)
    assert np.shares_memory(np.asarray(on_device), trajectory.positions)


def test_chosen_frames_lie_on_a_cpu_without_another_copy(folder):
    task = Task(load(folder / "a.npz"), WindowConfig(past=3, delta=1), SplitConfig(train=500))
    (bucket,) = make_buckets(task, EgnnConfig().elements)
    assert len(bucket.positions) < FRAMES / 8
    assert np.shares_memory(np.asarray(jax.device_put(bucket.positions)), bucket.positions)


def test_facts_and_fingerprint_take_a_part_of_the_positions(folder):
    trajectory = load(folder / "hydrogens.npz")
    task = Task(trajectory, WindowConfig(past=10, delta=1), SplitConfig(train=FRAMES))
    taken, _ = peak(task.describe)
    assert taken < 0.3 * SIZE, taken / SIZE
