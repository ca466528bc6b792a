"""Windows and random parameters for the networks of tensor fields."""

import jax
import numpy as np

from estag_jax.testing import random_graph, random_window, randomize


def window(nodes=5, frames=4, channels=1, dtype=np.float32, edge_width=2, seed=0, batch=1):
    history, features = random_window(
        seed, nodes, frames, channels=channels, dtype=dtype, batch=batch
    )
    return history, features, random_graph(seed + 1, nodes, edge_width=edge_width, isolated=1)


def random_variables(model, *data, scale=0.5):
    # Shapes alone: to compute the initial values step by step would take longest of all.
    return randomize(jax.eval_shape(model.init, jax.random.key(0), *data), scale=scale)
