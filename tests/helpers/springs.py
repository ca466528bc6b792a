"""Small systems that training is tested with, and the settings of their runs."""

import numpy as np

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.egnn import EgnnConfig
from estag_jax.runs.settings import RunConfig
from estag_jax.training.settings import TrainConfig

WINDOW = WindowConfig(past=4, delta=2)
SPLIT = SplitConfig(train=23, validation=20, test=20)
LONG = SplitConfig(train=60, validation=20, test=20)
FULL = GraphConfig(kind="full")

QUICK = EgnnConfig(hidden=4, layers=1, head="residual")
"""A network that is compiled in a second."""


class Stop(Exception):
    """What kills a training in tests."""


def frames(bodies=3, count=400, seed=0, dtype=np.float32):
    """Bodies on springs about their resting places [count, bodies, 3]."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(bodies, 3)) * 2
    x, v = rest + 0.3 * rng.normal(size=(bodies, 3)), np.zeros((bodies, 3))
    found = []
    for _ in range(count):
        v = v - 0.05 * (x - rest)
        x = x + 0.3 * v
        found.append(x.copy())
    return np.array(found, dtype)


def task(bodies=3, window=WINDOW, split=SPLIT, dtype=np.float32):
    """A task of one system, or of several for a tuple of sizes."""
    sizes = bodies if isinstance(bodies, tuple) else (bodies,)
    given = [Trajectory.from_arrays(frames(n, seed=n, dtype=dtype)) for n in sizes]
    return Task(given, window, split, FULL)


def jolted(dtype=np.float64, split=LONG):
    """A task of springs that are jolted, so that no fit is exact."""
    x = frames(count=900, dtype=np.float64)
    x += 0.05 * np.random.default_rng(5).normal(size=x.shape)
    return Task(Trajectory.from_arrays(x.astype(dtype)), WINDOW, split, FULL)


def training(epochs=4, **changes):
    return TrainConfig(**dict(epochs=epochs, batch=7, evaluate_every=2) | changes)


def config(path, epochs=4, model=None, **changes):
    """Settings of a run on a file of frames."""
    return RunConfig(
        data=(str(path),),
        method="",
        window=WINDOW,
        split=SPLIT,
        graph=FULL,
        model=model or QUICK,
        train=training(epochs, **changes),
    )
