"""Batches: padding, other windows of the batch, and graphs stacked with other graphs change nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import bind, make_data

from estag_jax.graph import stack
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import StGnnConfig
from estag_jax.testing import assert_padding_invariant, assert_windows_independent

SIZES = dict(hidden=6, layers=2)
CONFIGS = {
    "estag": lambda channels: EstagConfig(**SIZES),
    "estag, released": lambda channels: EstagConfig.released(channels, **SIZES),
    "st_egnn": lambda channels: StEgnnConfig(**SIZES),
    "egnn": lambda channels: EgnnConfig(**SIZES),
    "egnn, first, residual": lambda channels: EgnnConfig(frame="first", head="residual", **SIZES),
    "st_gnn": lambda channels: StGnnConfig(**SIZES),
}
KINDS = [
    (1, np.float64),
    (4, np.float32),
    pytest.param(1, np.float32, marks=pytest.mark.slow),
    pytest.param(4, np.float64, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("channels, dtype", KINDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_padding_and_other_windows_change_nothing(name, channels, dtype):
    model = CONFIGS[name](channels).build()
    with jax.enable_x64(dtype == np.float64):
        small = make_data(nodes=5, channels=channels, dtype=dtype, batch=3)
        _, function = bind(model, *small)
        assert_padding_invariant(function, *small)
        assert_windows_independent(function, *small)

        # Three windows of two graphs that differ in their numbers of nodes and edges.
        large = make_data(nodes=7, channels=channels, dtype=dtype, key=8)
        graph = stack([large[2], small[2]]).take(np.array([0, 1, 0]))
        filled = [
            [np.pad(a, [(0, 0), (0, graph.num_nodes - a.shape[1])] + [(0, 0)] * (a.ndim - 2))
             for a in data[:2]]
            for data in (large, small)
        ]  # fmt: skip
        (far, far_features), (near, near_features) = filled
        history = np.concatenate([far, near[:1], far + near[1:2]])
        features = np.concatenate([far_features, near_features, far_features])
        assert_windows_independent(function, history, features, graph)
        together = function(history, features, graph)
        shift = np.abs(together - history[:, :, -1]).max()
        for b, data, nodes in ((0, large, 7), (1, small, 5), (2, large, 7)):
            alone = function(history[b : b + 1, :nodes], data[1], data[2])
            error = np.abs(together[b, :nodes] - alone[0]).max()
            assert error <= (2e-6 if dtype == np.float32 else 1e-12) * shift


def unmasked_mean(model, history, features, graph):
    return model(history, features, graph) + 0.1 * jnp.mean(history[:, :, 0], 1, keepdims=True)


def mean_over_windows(model, history, features, graph):
    return model(history, features, graph) + 0.1 * jnp.mean(history[:, :, 0], 0, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_assertions_find_faults(dtype):
    with jax.enable_x64(dtype == np.float64):
        data = make_data(batch=3, dtype=dtype)
        _, model = bind(EstagConfig(**SIZES).build(), *data)
        with pytest.raises(AssertionError, match="^with padding: relative change"):
            assert_padding_invariant(partial(unmasked_mean, model), *data)
        assert_windows_independent(partial(unmasked_mean, model), *data)
        with pytest.raises(AssertionError, match="^window 0 alone: relative change"):
            assert_windows_independent(partial(mean_over_windows, model), *data)
        assert_padding_invariant(partial(mean_over_windows, model), *data)


def test_the_assertions_refuse_what_proves_nothing():
    history, features, graph = make_data(batch=3)
    _, model = bind(EstagConfig(**SIZES).build(), history, features, graph)

    def last(x, f, g):
        return x[:, :, -1]

    def velocity(x, f, g):
        return 2 * x[:, :, -1] - x[:, :, 0]

    for check in (assert_padding_invariant, assert_windows_independent):
        with pytest.raises(AssertionError, match="the last frame, or zero"):
            check(last, history, features, graph)
    with pytest.raises(AssertionError, match="moving a node changes the output of no other"):
        assert_padding_invariant(velocity, history, features, graph)
    with pytest.raises(AssertionError, match="one window alone"):
        assert_windows_independent(model, history[:1], features, graph)
    with pytest.raises(AssertionError, match="two windows move alike"):
        assert_windows_independent(model, history[[0, 1, 0]], features, graph)
