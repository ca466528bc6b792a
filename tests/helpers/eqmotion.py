"""A small EqMotion with random parameters, and the assertion of its symmetries."""

from functools import partial

import jax
import numpy as np

from estag_jax.models.eqmotion import EqMotionConfig
from estag_jax.testing import assert_equivariant, randomize

SMALL = EqMotionConfig(hidden=5, layers=2, geometric_channels=6)


def bound(config, *data, key=0):
    """The compiled model with random parameters."""
    model = config.build()
    # Larger than usual: else all nodes end near the centroid, and differ little.
    variables = randomize(jax.eval_shape(model.init, jax.random.key(0), *data), key, scale=0.8)
    return jax.jit(partial(model.apply, variables))


def check(config, *data, precisions=(np.float32, np.float64), **options):
    """Equivariance at the tolerances of the assertion."""
    history, features, graph = data
    for dtype in precisions:
        with jax.enable_x64(dtype == np.float64):
            data = history.astype(dtype), features.astype(dtype), graph
            assert_equivariant(bound(config, *data), *data, **options)
