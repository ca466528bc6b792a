"""EqMotion: its parts against loops and SciPy, its symmetries, its heads."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from estag_jax.data.edges import fully_connected
from estag_jax.nn.eqmotion import (
    ALL_PAIRS_UP_TO,
    EqMotion,
    EqMotionConfig,
    VectorLinear,
    dct_matrix,
    motion_features,
    vector_relu,
)
from estag_jax.testing import assert_equivariant, random_topology, random_window, randomize
from estag_jax.types import Topology

SMALL = EqMotionConfig(hidden=5, layers=2, geometric_channels=6)
HEADS = ("absolute", "last", "softmax", "residual")


@pytest.fixture
def data():
    return *random_window(0, 6, 5), random_topology(1, 6, isolated=1)


def bound(config, *data, key=0):
    """The compiled model with random parameters."""
    model = EqMotion(config)
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


# Single parts.


@pytest.mark.parametrize("length", [1, 2, 5, 10, 51])
def test_the_cosine_transform_is_scipys(length):
    x = np.random.default_rng(length).normal(size=(4, length))
    matrix = dct_matrix(length)
    np.testing.assert_allclose(x @ matrix.T, scipy.fft.dct(x, norm="ortho"), atol=1e-13)
    np.testing.assert_allclose(x @ matrix, scipy.fft.idct(x, norm="ortho"), atol=1e-13)


def test_vector_relu_is_the_loop():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 7, 4, 3)).astype(np.float32)
    key[0, 0] = 0
    key[1] *= 1e-9  # the length of k does not count
    out = np.asarray(vector_relu(query, key))
    cut = 0
    for place in np.ndindex(7, 4):
        q, k = query[place].astype(float), key[place].astype(float)
        if q @ k < 0:
            q = q - (q @ k) * k / (k @ k)
            cut += 1
            np.testing.assert_allclose(q @ k / np.linalg.norm(k), 0, atol=1e-12)
        np.testing.assert_allclose(out[place], q, atol=1e-6)
    assert 5 < cut < 23
    gradient = jax.grad(lambda q, k: vector_relu(q, k).sum(), argnums=(0, 1))(query, key)
    assert all(np.isfinite(g).all() for g in gradient)


def test_speeds_and_angles_of_a_polygon():
    # A walk around a regular hexagon of side 2: every step has length 2, every turn is 60 degrees.
    corner = np.pi / 3 * np.arange(6)
    walk = 2 * np.stack([np.cos(corner), np.sin(corner), 0 * corner], axis=-1)
    straight = np.arange(6)[:, None] * np.array([0.3, 0.4, 0.0])
    there_and_back = (np.arange(6) % 2)[:, None] * np.array([0.0, 0.0, 1.5])
    frozen = np.ones((6, 3))
    x = np.stack([walk, straight, there_and_back, frozen])[:, :, None].astype(np.float32)
    speed, angle = motion_features(x)
    np.testing.assert_allclose(speed, np.outer([2, 0.5, 1.5, 0], np.ones(5)), atol=1e-6)
    np.testing.assert_allclose(angle, np.outer([np.pi / 3, 0, np.pi, 0], np.ones(4)), atol=1e-3)
    gradient = jax.grad(lambda x: sum(part.sum() for part in motion_features(x)))(x)
    assert np.isfinite(gradient).all()


def test_angles_of_a_random_walk_are_those_of_arccos():
    x = random_window(0, 5, 6, channels=2)[0].astype(np.float64)
    step = np.diff(x, axis=1)
    u, v = step[:, :-1], step[:, 1:]
    length = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    expected = np.arccos((u * v).sum(-1) / length).reshape(5, -1)
    with jax.enable_x64(True):
        speed, angle = motion_features(x)
    np.testing.assert_allclose(angle, expected, atol=1e-12)
    np.testing.assert_allclose(speed, np.linalg.norm(step, axis=-1).reshape(5, -1), atol=1e-12)


def test_vector_linear_mixes_channels_only():
    v = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    layer = VectorLinear(5)
    variables = layer.init(jax.random.key(0), v)
    (kernel,) = jax.tree.leaves(variables)
    assert kernel.shape == (4, 5) and 0.3 < np.abs(kernel).max() <= 0.5
    expected = [[sum(kernel[i, o] * v[n, i] for i in range(4)) for o in range(5)] for n in range(3)]
    np.testing.assert_allclose(layer.apply(variables, v), expected, atol=1e-6)


# The whole network, written out in NumPy with loops over nodes and edges.


def silu(x):
    return x / (1 + np.exp(-x))


def mlp(p, *parts, final=False):
    x = np.concatenate(parts)
    for name in sorted(p):
        x = x @ p[name]["kernel"] + p[name]["bias"]
        if final or name != max(p):
            x = silu(x)
    return x


def mixed(p, v):
    return np.einsum("io,...ix->...ox", p["kernel"], v)


def written_out(config, p, x, features, graph):
    """Equations of the docstrings, one node and one edge at a time; the prediction y [N, C, 3]."""
    nodes, past, channels, _ = x.shape
    edges = list(zip(graph.receivers.tolist(), graph.senders.tolist(), strict=True))
    if config.pairs == "all":
        edges = [(i, j) for i in range(nodes) for j in range(nodes) if i != j]
    centroid = x.mean((0, 1, 2))
    spectrum = scipy.fft.dct(x - centroid, axis=1, norm="ortho").reshape(nodes, -1, 3)
    mean = spectrum.mean((0, 1))
    g = mixed(p["w_in"], spectrum - mean) + mean
    h = []
    for i in range(nodes):
        step = np.diff(x[i], axis=0)
        speed = np.linalg.norm(step, axis=-1)
        cosine = (step[1:] * step[:-1]).sum(-1) / (speed[1:] * speed[:-1])
        parts = [features[i]]
        if config.motion_features:
            parts += [speed.ravel(), np.arccos(cosine).ravel()]
        h.append(np.concatenate(parts) @ p["embedding"]["kernel"] + p["embedding"]["bias"])
    h = np.stack(h)

    def ends(h, i, j):
        return h[i], h[j], np.linalg.norm(g[i] - g[j], axis=-1)

    if config.layers:
        q = p["reasoning"]
        received = np.zeros((nodes, config.hidden))
        for i, j in edges:
            received[i] += mlp(q["phi_m"], *ends(h, i, j), final=True)
        seen = np.stack([mlp(q["phi_h"], h[i], received[i], final=True) for i in range(nodes)])
        score = {(i, j): np.exp(mlp(q["phi_c"], *ends(seen, i, j))) for i, j in edges}
        share = {edge: e / e.sum() for edge, e in score.items()}
    for layer in range(config.layers):
        q = p[f"layer_{layer}"]
        mean = g.mean((0, 1))
        new = np.stack(
            [mean + (1 + mlp(q["phi_att"], h[i]))[:, None] * (g[i] - mean) for i in range(nodes)]
        )
        received = np.zeros((nodes, config.hidden))
        for i, j in edges:
            for k in range(config.categories):
                weight = share[i, j][k] * mlp(q[f"phi_{k}"], *ends(h, i, j))
                new[i] += weight[:, None] * (g[i] - g[j])
            received[i] += mlp(q["phi_m"], *ends(h, i, j), final=True)
        mean = new.mean((0, 1))
        query, key = mixed(q["w_q"], new - mean), mixed(q["w_k"], new - mean)
        for place in np.ndindex(query.shape[:2]):
            against = query[place] @ key[place]
            if against < 0:
                query[place] -= against * key[place] / (key[place] @ key[place])
        g = query + mean
        h = np.stack([h[i] + mlp(q["phi_h"], h[i], received[i]) for i in range(nodes)])
    mean = g.mean((0, 1))
    y = (mixed(p["w_out"], g - mean) + mean).reshape(nodes, config.future, channels, 3)
    return scipy.fft.idct(y, axis=1, norm="ortho")[:, 0] + centroid


@pytest.mark.parametrize(
    "changes, channels",
    [
        (dict(), 1),
        (dict(layers=0), 1),
        (dict(future=3, categories=1), 2),
        (dict(pairs="all", motion_features=False), 1),
        (dict(categories=3, layers=1), 4),
    ],
)
def test_the_network_is_the_one_written_out(changes, channels):
    config = dataclasses.replace(SMALL, **changes)
    history, features = random_window(3, 5, 4, channels=channels, dtype=np.float64)
    graph = random_topology(4, 5, isolated=1, edge_width=2)
    with jax.enable_x64(True):
        model = EqMotion(config)
        shapes = jax.eval_shape(model.init, jax.random.key(0), history, features, graph)
        variables = randomize(shapes, scale=0.8)
        out = jax.jit(model.apply)(variables, history, features, graph)
    expected = written_out(config, variables["params"], history, features, graph)
    assert np.abs(expected - history[:, -1]).max() > 0.1
    np.testing.assert_allclose(out, expected, atol=1e-11 * np.abs(expected).max())


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
    check(SMALL, history, features, random_topology(3, 5), precisions=[np.float64])


def test_equivariant_without_layers_and_with_all_pairs(data):
    # Without edges neighbours enter through the centroid alone.
    options = dict(uses_edges=False, precisions=[np.float64])
    check(dataclasses.replace(SMALL, layers=0), *data, **options)
    check(dataclasses.replace(SMALL, pairs="all"), *data, **options)


def test_all_pairs_are_the_full_graph(data):
    history, features, graph = data
    config = dataclasses.replace(SMALL, pairs="all")
    full = Topology(*fully_connected(6), 6)
    out = bound(config, *data)(*data)
    np.testing.assert_allclose(out, bound(SMALL, *data)(history, features, full), atol=1e-6)
    assert np.abs(out - bound(SMALL, *data)(*data)).max() > 1e-3


def test_the_published_mistake_is_not_translation_equivariant(data):
    # ESTAG's program adds the last frame to an output that is a position already.
    function = bound(SMALL, *data)

    def added_twice(x, f, g):
        return function(x, f, g) + x[:, -1]

    with pytest.raises(AssertionError, match="translation"):
        assert_equivariant(added_twice, *data, kinds=("translation",))


def test_nodes_carry_no_index(data):
    # Two nodes with the same history and neighbours are told apart by their features alone.
    history, features, _ = data
    history[1], features[1] = history[0], features[0]
    graph = Topology([2, 3, 2, 3, 0, 1], [0, 0, 1, 1, 4, 4], 6)
    function = bound(SMALL, history, features, graph)
    out = function(history, features, graph)
    np.testing.assert_allclose(out[0], out[1], atol=1e-6)
    features[1] += 1
    assert np.abs(np.subtract(*function(history, features, graph)[:2])).max() > 1e-3


# Heads.


def test_heads(data):
    history, plain = data[0], dataclasses.replace(SMALL, layers=0)
    y = bound(plain, *data)(*data)
    np.testing.assert_allclose(
        bound(dataclasses.replace(plain, head="last"), *data)(*data), y, atol=1e-5
    )
    back = (history - history[:, -1:])[:, :-1]
    for head, name in (("residual", "weights"), ("softmax", "logits")):
        model = EqMotion(dataclasses.replace(plain, head=head))
        variables = jax.jit(model.init)(jax.random.key(0), *data)
        params = dict(variables["params"])
        pooling = params.pop("pooling")
        y = jax.jit(EqMotion(plain).apply)({"params": params}, *data)
        apply = jax.jit(model.apply)
        if head == "residual":
            np.testing.assert_allclose(apply(variables, *data), y, atol=1e-5)  # starts at y
            weights = pooling[name] = np.array([0.3, -1.2, 0.5, 2], np.float32)
        else:
            weights = np.exp(pooling[name])
            weights = (weights / weights.sum())[:-1]
        expected = y + np.einsum("t,ntcx->ncx", weights, back)
        out = apply({"params": {**params, "pooling": pooling}}, *data)
        np.testing.assert_allclose(out, expected, atol=1e-5)
        assert np.abs(expected - y).max() > 1e-2


# What it accepts.


def gradients(config, histories, features, graph):
    """Gradients of a scalar of the output by parameters and history, for every history."""
    model = EqMotion(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), histories[0], features, graph)
    variables = randomize(shapes, scale=0.8)

    def loss(variables, x):
        return jnp.sum(model.apply(variables, x, features, graph) ** 2)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return [jax.tree.leaves(gradient(variables, x)) for x in histories]


SINGULAR = {
    "coinciding nodes": lambda x: x.at[1].set(x[0]),
    "frozen": lambda x: jnp.repeat(x[:, :1], x.shape[1], axis=1),
    "one node frozen": lambda x: x.at[2].set(x[2, 0]),
    "straight": lambda x: x[:, :1] + jnp.arange(x.shape[1])[:, None, None] * x[:, 1:2],
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
    (found,) = gradients(config, [history[:, :frames]], features, graph)
    assert all(np.isfinite(g).all() for g in found) and np.abs(found[-1]).max() > 0


@pytest.mark.parametrize("pairs", ["edges", "all"])
@pytest.mark.parametrize("nodes", [1, 3])
def test_finite_without_edges(nodes, pairs):
    history, features = random_window(0, nodes, 4)
    config = dataclasses.replace(SMALL, pairs=pairs, layers=1)
    (found,) = gradients(config, [history], features, Topology([], [], nodes))
    assert all(np.isfinite(g).all() for g in found) and np.abs(found[-1]).max() > 0


def test_isolated_nodes_hear_of_others_through_the_centroid_only(data):
    history, features, _ = data
    graph = Topology([0, 1, 2], [1, 2, 3], 6)  # 4 and 5 have no edge
    function = bound(SMALL, history, features, graph)
    moved = history.copy()
    # Opposite motions of two nodes leave the centroid where it is.
    moved[0, 2] += 0.5
    moved[4, 2] -= 0.5
    change = np.abs(function(moved, features, graph) - function(history, features, graph))
    change = change.max(axis=(1, 2))
    assert change[0] > 1e-3 and change[4] > 1e-3
    # A node that nothing reaches changes only as the means of its layers do.
    without = bound(dataclasses.replace(SMALL, layers=0), history, features, graph)
    still = np.abs(without(moved, features, graph) - without(history, features, graph))
    assert still[5].max() < 1e-5 and still[0].max() > 1e-3


def test_float64_and_vmap(data):
    history, features, graph = data
    batch = np.stack([history, history[::-1], 2 * history])
    function = bound(SMALL, *data)
    together = jax.vmap(lambda x: function(x, features, graph))(batch)
    for window, out in zip(batch, together, strict=True):
        np.testing.assert_allclose(out, function(window, features, graph), rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        exact = history.astype(np.float64), features.astype(np.float64), graph
        out = bound(SMALL, *exact)(*exact)
        assert out.dtype == np.float64
        variables = jax.eval_shape(EqMotion(SMALL).init, jax.random.key(0), *exact)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float64)}
    np.testing.assert_allclose(out, function(*data), atol=1e-4)


def test_refused_systems():
    few, many = (Topology([0], [1], n) for n in (ALL_PAIRS_UP_TO, ALL_PAIRS_UP_TO + 1))
    dense = EqMotion(EqMotionConfig(pairs="all"))
    assert dense.refuse(4, few) is None and EqMotion().refuse(4, many) is None
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
    with pytest.raises(ValueError, match=f"{field}={value!r}"):
        EqMotionConfig(**{field: value})
