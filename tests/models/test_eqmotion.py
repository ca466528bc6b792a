"""EqMotion: its symmetries, its heads, what it accepts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import assert_systems_independent
from helpers.eqmotion import SMALL, bound, check

from estag_jax.data.edges import fully_connected
from estag_jax.graph import Graph
from estag_jax.models.eqmotion import ALL_PAIRS_UP_TO, EqMotionConfig
from estag_jax.testing import (
    assert_equivariant,
    assert_padding_invariant,
    assert_windows_independent,
    random_graph,
    random_window,
    randomize,
)

HEADS = ("absolute", "last", "softmax", "residual")


@pytest.fixture
def data():
    return *random_window(0, 6, 5), random_graph(1, 6, isolated=1)


# Symmetries.


@pytest.mark.parametrize("head", HEADS)
def test_equivariant_with_every_head(data, head):
    check(dataclasses.replace(SMALL, head=head), *data)


@pytest.mark.parametrize(
    "changes",
    [
        dict(future=4),
        dict(motion_features=False),
        dict(categories=3),
        dict(activation="leaky_relu"),
        dict(geometric_channels=1),
        dict(hidden=1),
    ],
    ids=str,
)
def test_equivariant_with_one_option_changed(data, changes):
    config = dataclasses.replace(SMALL, layers=1, **changes)
    check(config, *data, precisions=[np.float64])


@pytest.mark.parametrize("channels", [2, 4])
def test_equivariant_with_several_channels(channels):
    history, features = random_window(2, 5, 3, channels=channels)
    check(SMALL, history, features, random_graph(3, 5), precisions=[np.float64])


def test_equivariant_without_layers_and_with_all_pairs(data):
    # Without edges neighbours enter through the centroid alone.
    options = dict(uses_edges=False, precisions=[np.float64])
    check(dataclasses.replace(SMALL, layers=0), *data, **options)
    check(dataclasses.replace(SMALL, pairs="all"), *data, **options)


def test_all_pairs_are_the_full_graph(data):
    history, features, graph = data
    config = dataclasses.replace(SMALL, pairs="all")
    full = Graph(*fully_connected(6), 6)
    out = bound(config, *data)(*data)
    np.testing.assert_allclose(out, bound(SMALL, *data)(history, features, full), atol=1e-6)
    assert np.abs(out - bound(SMALL, *data)(*data)).max() > 1e-3


def test_the_published_mistake_is_not_translation_equivariant(data):
    # ESTAG's program adds the last frame to an output that is a position already.
    function = bound(SMALL, *data)

    def added_twice(x, f, g):
        return function(x, f, g) + x[:, :, -1]

    with pytest.raises(AssertionError, match="translation"):
        assert_equivariant(added_twice, *data, kinds=("translation",))


def test_nodes_carry_no_index(data):
    # Two nodes with the same history and neighbours are told apart by their features alone.
    history, features, _ = data
    history[:, 1], features[:, 1] = history[:, 0], features[:, 0]
    graph = Graph([2, 3, 2, 3, 0, 1], [0, 0, 1, 1, 4, 4], 6)
    function = bound(SMALL, history, features, graph)
    (out,) = function(history, features, graph)
    np.testing.assert_allclose(out[0], out[1], atol=1e-6)
    features[:, 1] += 1
    (out,) = function(history, features, graph)
    assert np.abs(out[0] - out[1]).max() > 1e-3


# Heads.


def test_heads(data):
    history, plain = data[0], dataclasses.replace(SMALL, layers=0)
    y = bound(plain, *data)(*data)
    np.testing.assert_allclose(
        bound(dataclasses.replace(plain, head="last"), *data)(*data), y, atol=1e-5
    )
    back = (history - history[:, :, -1:])[:, :, :-1]
    for head, name in (("residual", "weights"), ("softmax", "logits")):
        model = dataclasses.replace(plain, head=head).build()
        variables = jax.jit(model.init)(jax.random.key(0), *data)
        params = dict(variables["params"])
        pooling = params.pop("pooling")
        y = jax.jit(plain.build().apply)({"params": params}, *data)
        apply = jax.jit(model.apply)
        if head == "residual":
            np.testing.assert_allclose(apply(variables, *data), y, atol=1e-5)  # starts at y
            weights = pooling[name] = np.array([0.3, -1.2, 0.5, 2], np.float32)
        else:
            weights = np.exp(pooling[name])
            weights = (weights / weights.sum())[:-1]
        expected = y + np.einsum("t,bntcx->bncx", weights, back)
        out = apply({"params": {**params, "pooling": pooling}}, *data)
        np.testing.assert_allclose(out, expected, atol=1e-5)
        assert np.abs(expected - y).max() > 1e-2


# What it accepts.


def gradients(config, histories, features, graph):
    """Gradients of a scalar of the output by parameters and history, for every history."""
    model = config.build()
    shapes = jax.eval_shape(model.init, jax.random.key(0), histories[0], features, graph)
    variables = randomize(shapes, scale=0.8)

    def loss(variables, x):
        return jnp.sum(model.apply(variables, x, features, graph) ** 2)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return [jax.tree.leaves(gradient(variables, x)) for x in histories]


SINGULAR = {
    "coinciding nodes": lambda x: x.at[:, 1].set(x[:, 0]),
    "frozen": lambda x: jnp.repeat(x[:, :, :1], x.shape[2], axis=2),
    "one node frozen": lambda x: x.at[:, 2].set(x[:, 2, :1]),
    "straight": lambda x: x[:, :, :1] + jnp.arange(x.shape[2])[:, None, None] * x[:, :, 1:2],
    "all at one point": jnp.ones_like,
}


def test_finite_at_singular_places(data):
    history, features, graph = data
    histories = [change(jnp.asarray(history)) for change in SINGULAR.values()]
    config = dataclasses.replace(SMALL, head="residual")
    found = gradients(config, histories, features, graph)
    for name, leaves in zip(SINGULAR, found, strict=True):
        assert all(np.isfinite(g).all() for g in leaves), name


@pytest.mark.parametrize("frames", [1, 2])
def test_finite_for_the_shortest_windows(data, frames):
    history, features, graph = data
    config = dataclasses.replace(SMALL, head="residual", layers=1)
    (found,) = gradients(config, [history[:, :, :frames]], features, graph)
    assert all(np.isfinite(g).all() for g in found) and np.abs(found[-1]).max() > 0


@pytest.mark.parametrize("pairs", ["edges", "all"])
@pytest.mark.parametrize("nodes", [1, 3])
def test_finite_without_edges(nodes, pairs):
    history, features = random_window(0, nodes, 4)
    config = dataclasses.replace(SMALL, pairs=pairs, layers=1)
    (found,) = gradients(config, [history], features, Graph([], [], nodes))
    assert all(np.isfinite(g).all() for g in found) and np.abs(found[-1]).max() > 0


def test_isolated_nodes_hear_of_others_through_the_centroid_only(data):
    history, features, _ = data
    graph = Graph([0, 1, 2], [1, 2, 3], 6)  # 4 and 5 have no edge
    function = bound(SMALL, history, features, graph)
    moved = history.copy()
    # Opposite motions of two nodes leave the centroid where it is.
    moved[:, 0, 2] += 0.5
    moved[:, 4, 2] -= 0.5
    change = np.abs(function(moved, features, graph) - function(history, features, graph))
    change = change.max(axis=(0, 2, 3))
    assert change[0] > 1e-3 and change[4] > 1e-3
    # A node that nothing reaches changes only as the means of its layers do.
    without = bound(dataclasses.replace(SMALL, layers=0), history, features, graph)
    still = np.abs(without(moved, features, graph) - without(history, features, graph))
    assert still[:, 5].max() < 1e-5 and still[:, 0].max() > 1e-3


@pytest.mark.parametrize("pairs", ["edges", "all"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padding_and_other_windows_change_nothing(pairs, dtype):
    history, features = random_window(0, 6, 5, batch=3, channels=2, dtype=dtype)
    data = history, features, random_graph(1, 6, isolated=1)
    config = dataclasses.replace(SMALL, pairs=pairs)
    with jax.enable_x64(dtype == np.float64):
        function = bound(config, *data)
        assert_padding_invariant(function, *data, uses_edges=pairs == "edges")
        assert_windows_independent(function, *data)


def test_padding_shows_where_masks_are_ignored(data, monkeypatch):
    def over_all(values, graph, axes=(), keepdims=False):
        return jnp.mean(values, axis=(1, *axes), keepdims=keepdims)

    monkeypatch.setattr("estag_jax.models.eqmotion.mean_over_nodes", over_all)
    with pytest.raises(AssertionError, match="^with padding"):
        assert_padding_invariant(bound(SMALL, *data), *data)


@pytest.mark.parametrize("pairs", ["edges", "all"])
def test_two_systems_in_one_batch(x64, pairs):
    systems = [
        (*random_window(n, n, 5, dtype=np.float64), random_graph(n, n, density=0.7)) for n in (6, 4)
    ]
    model = dataclasses.replace(SMALL, layers=1, pairs=pairs).build()
    shapes = jax.eval_shape(model.init, jax.random.key(0), *systems[0])
    variables = randomize(shapes, scale=0.8)
    assert_systems_independent(model, variables, *systems)


def test_float64(data):
    history, features, graph = data
    with jax.enable_x64(True):
        exact = history.astype(np.float64), features.astype(np.float64), graph
        out = bound(SMALL, *exact)(*exact)
        assert out.dtype == np.float64
        variables = jax.eval_shape(SMALL.build().init, jax.random.key(0), *exact)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float64)}
    np.testing.assert_allclose(out, bound(SMALL, *data)(*data), atol=1e-4)


def test_refused_systems():
    few, many = (Graph([0], [1], n) for n in (ALL_PAIRS_UP_TO, ALL_PAIRS_UP_TO + 1))
    dense = EqMotionConfig(pairs="all").build()
    assert dense.refuse(4, few) is None and EqMotionConfig().build().refuse(4, many) is None
    assert "257; choose pairs 'edges'" in dense.refuse(1, many)


@pytest.mark.parametrize(
    "field, value",
    [
        ("hidden", 0),
        ("layers", -1),
        ("geometric_channels", 0),
        ("categories", 0),
        ("future", 0),
        ("pairs", "none"),
    ],
)
def test_bad_configs_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}( is |=){value!r}"):
        EqMotionConfig(**{field: value})
