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
    features = np.ones((1, 1), np.float32)
    return Trajectory(node_features=features, names=("0",), frame_step=1.0, **given)


windows_of_all_shapes = st.builds(
    WindowConfig,
    past=st.integers(1, 4),
    delta=st.integers(1, 4),
    horizon=st.integers(1, 4),
    stride=st.integers(1, 5),
)
