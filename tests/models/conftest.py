"""What several files of tests of methods share."""

import numpy as np
import pytest
from helpers.forecasters import with_random_weights
from helpers.springs import QUICK, frames

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory


@pytest.fixture(scope="module")
def molecule():
    """A task with everything that a system may have, no field at its default (test_forecaster_file.py)."""
    rng = np.random.default_rng(0)
    positions = (frames(4)[:, :, None] + rng.normal(size=(4, 2, 3))).astype(np.float32)
    system = System(
        names=("O1", "H1", "H2", "Ö"),
        atomic_numbers=np.array([8, 1, 1, 6]),
        node_features=rng.normal(size=(4, 2)).astype(np.float32),
        channels=2,
        length_unit="nm",
        bonds=np.array([[0, 1], [0, 2], [0, 3]]),
        bond_orders=np.array([1, 1.5, 2], np.float32),
        hydrogens=np.array([0, 1, 2, 3]),
        anchor=1,
        contact_distance=6.0,
        vectors={"up": np.array([0, 0, 1.5]), "field": np.array([0.1, -0.2, 0.3])},
    )
    trajectory = Trajectory(system, positions, frame_step=0.5, time_unit="fs")
    graph = GraphConfig(kind="bonds")
    return Task(trajectory, WindowConfig(past=4, delta=2), SplitConfig(train=20), graph)


@pytest.fixture(scope="module")
def network(molecule):
    """A forecaster of it, with random weights."""
    return with_random_weights(QUICK, molecule)
