"""Windows that the host cuts, because devices have no room for all frames, are those that devices cut."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers.springs import QUICK, WINDOW, task, training

from estag_jax.data.windows import gather
from estag_jax.training.buckets import Frames
from estag_jax.training.loop import Loop

WIDE = dataclasses.replace(WINDOW, horizons=(1, 3))


@pytest.mark.parametrize("history", [True, False], ids=["history", "target"])
def test_a_slice_of_frames_is_that_of_all_windows(history):
    rng = np.random.default_rng(0)
    positions, starts = rng.normal(size=(40, 5, 2, 3)), rng.integers(0, 20, (2, 3, 4))
    past, ahead = np.split(WIDE.offsets, [WIDE.past])
    whole = gather(positions, starts.reshape(-1), WIDE)[0 if history else 1]
    whole = whole.reshape(*starts.shape, *whole.shape[1:])
    found = Frames(positions, starts, past if history else ahead, history)
    assert found.shape == whole.shape
    for slices in ((slice(None),) * 7, (slice(1, 2), slice(0, 3), slice(2, 4), *[slice(1, 2)] * 4)):
        np.testing.assert_array_equal(found[slices], whole[slices])


def test_a_slice_reads_no_other_windows():
    class Watched(np.ndarray):
        def __getitem__(self, key):
            if isinstance(key, np.ndarray):
                read.append(key)
            return super().__getitem__(key)

    read, starts = [], np.arange(6).reshape(2, 3)
    positions = np.zeros((40, 5, 1, 3)).view(Watched)
    frames = Frames(positions, starts, np.array([0, 2]), history=True)
    frames[(slice(1, 2), slice(0, 2), *[slice(None)] * 4)]
    np.testing.assert_array_equal(read[0], [[[3, 5], [4, 6]]])


@pytest.mark.parametrize("bodies", [3, pytest.param((3, 6), marks=pytest.mark.slow)])
def test_training_does_not_depend_on_who_cuts(bodies):
    """Two seeds, gradients in chunks of two windows, two horizons."""
    found = []
    with jax.enable_x64(True):
        of = task(bodies, window=WIDE, dtype=np.float64)
        for resident in (1.0, 0.0):
            settings = training(2, chunk=2, evaluate_every=1, resident=resident)
            loop = Loop("EGNN", QUICK, of, (1, 2), settings)
            assert (loop.buckets[0].positions.size == 0) == (resident == 0)
            loop.run([])
            found.append([*jax.tree.leaves(loop.state.variables), loop.latest_error])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
