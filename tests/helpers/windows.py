"""Runs of a resting particle, and windows drawn on them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from estag_jax.data.settings import WindowConfig
from estag_jax.data.trajectory import Trajectory

windows_drawn = st.builds(WindowConfig, past=st.integers(1, 6), delta=st.integers(1, 5))


def runs(*lengths, **fields):
    """A trajectory of one resting particle with runs of the given lengths."""
    positions = np.zeros((sum(lengths), 1, 1, 3), np.float32)
    given = {"positions": positions, "lengths": lengths, "source": "a.npz"} | fields
    return Trajectory.from_arrays(**given)


windows_of_all_shapes = st.builds(
    WindowConfig,
    past=st.integers(1, 4),
    delta=st.integers(1, 4),
    horizons=st.one_of(st.integers(1, 4).map(lambda h: (h,)), st.sampled_from([(1, 2), (1, 3, 4)])),
    stride=st.integers(1, 5),
)
