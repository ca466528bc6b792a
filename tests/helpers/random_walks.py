"""Networks with random weights, and random walks for them to forecast."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.testing import randomize
from helpers.springs import FULL, QUICK


def network(of, module=None, key=0):
    """A network predictor with random weights."""
    module = module or QUICK.build()
    (windows, *_) = of.windows("test")
    inputs = network_inputs(of.systems[0], "one-hot")
    shapes = jax.eval_shape(module.init, jax.random.key(0), windows.history[:1], *inputs)
    return NetworkPredictor(jax.tree.map(jnp.asarray, randomize(shapes, key, scale=0.3)), module)


@jax.jit
def apply(predictor, history, inputs):
    return predictor.predict(history, inputs)


def walk(bodies=3, **split):
    """Of random walks, so that errors differ by node and window."""
    x = np.random.default_rng(bodies).normal(size=(400, bodies, 3)).cumsum(axis=0)
    window, given = WindowConfig(past=4, delta=2), dict(train=9, validation=13, test=17) | split
    return Task(Trajectory.from_arrays(x.astype(np.float32)), window, SplitConfig(**given), FULL)
