"""Windows of random walks, and tasks of windows that are already cut."""

import numpy as np

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task


def task_of(train, validation=None, test=None, up=None):
    """A task of windows (history [W, N, T, C, 3], target [W, N, C, 3]), whose system may have an up."""
    parts = {"train": train, "validation": validation or train, "test": test or train}
    _, nodes, _, channels, _ = train[0].shape
    names, vectors = tuple(map(str, range(nodes))), {} if up is None else {"up": up}
    system = System(names, channels=channels, vectors=vectors)
    return Task.from_windows(system, **parts, graph=GraphConfig(kind="full"))


def random_windows(windows=40, nodes=3, frames=5, channels=1, seed=0):
    """Random walks far from the origin: (history [W, N, T, C, 3], target [W, N, C, 3])."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=(windows, nodes, frames + 1, channels, 3)), axis=2) + 7.0
    return x[:, :, :-1], x[:, :, -1]
