"""Features in bfloat16 beside those in float32: what stays exact and how far the rest is off."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import make_data

from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.testing import assert_equivariant, randomize

# Half a unit in the last place of bfloat16 is 2^-9; a few layers add some of them.
TOLERANCE = 0.03


@pytest.mark.parametrize("config", [EstagConfig(hidden=6, layers=1), EgnnConfig(hidden=6)])
def test_bfloat16_features(config):
    history, *inputs = make_data(nodes=7, past=4, batch=2)
    full, half = (
        dataclasses.replace(config, bfloat16_features=low).build() for low in (False, True)
    )
    shapes = jax.eval_shape(half.init, jax.random.key(0), history, *inputs)
    assert shapes == jax.eval_shape(full.init, jax.random.key(0), history, *inputs)
    variables = randomize(shapes, 3)

    def loss(model, variables):
        out = model.apply(variables, history, *inputs)
        return jnp.sum((out - history[:, :, -1]) ** 2), out

    def gradient(model):
        return jax.jit(jax.grad(partial(loss, model), has_aux=True))(variables)

    (slopes, expected), (others, out) = gradient(full), gradient(half)
    assert out.dtype == np.float32 and {leaf.dtype.name for leaf in jax.tree.leaves(others)} == {
        "float32"
    }
    size = np.abs(expected - history[:, :, -1]).max()
    assert 1e-5 * size < np.abs(out - expected).max() < TOLERANCE * size
    size = max(np.abs(leaf).max() for leaf in jax.tree.leaves(slopes))
    jax.tree.map(partial(np.testing.assert_allclose, atol=TOLERANCE * size), others, slopes)

    function, sees = jax.jit(partial(half.apply, variables)), not isinstance(config, EgnnConfig)
    assert_equivariant(function, history, *inputs, near_rtol=TOLERANCE, uses_past=sees)
