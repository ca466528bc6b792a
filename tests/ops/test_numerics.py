"""Numbers: finite and right gradients, in degenerate places and where a backend computes wrongly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.graph import Graph, stack
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.ops.geometry import gram, safe_norm, safe_normalize
from estag_jax.testing import random_graph, random_window, randomize

SIZES = dict(hidden=3, layers=1)
MODELS = {
    "estag": (1, EstagConfig(**SIZES).build()),
    "released, C=1": (1, EstagConfig.released(1, **SIZES).build()),
    "released, C=4": (4, EstagConfig.released(4, **SIZES).build()),
    "st_egnn": (2, StEgnnConfig(**SIZES).build()),
}


def setting(name, frames, dtype, nodes=4, seed=0):
    """A model with random parameters, and the data for it; one node is isolated."""
    channels, model = MODELS[name]
    graph = random_graph(seed, nodes, isolated=1, density=0.8)
    history, features = random_window(seed, nodes, frames, channels=channels, dtype=dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0), history, features, graph)
    return model, randomize(shapes, seed), history, features, graph


def degenerate(x):
    """Histories of the same shape in which something is zero that one would divide by."""

    def changed(where, values):
        out = x.copy()
        out[where] = values
        return out

    frozen = np.broadcast_to(x[:, :, :1], x.shape)
    yield "generic", x
    yield "two coincident nodes", changed(np.s_[:, 1], x[:, 0])
    yield "all nodes coincident", np.broadcast_to(x[:, :1], x.shape)
    yield "coincident in one frame", changed(np.s_[:, :, -1], x[:, :1, -1])
    yield "frozen frames", frozen
    yield "one frozen node", changed(np.s_[:, 0], frozen[:, 0])
    yield "everything zero", np.zeros_like(x)
    yield "almost coincident", changed(np.s_[:, 1], x[:, 0] * (1 + np.finfo(x.dtype).eps))
    yield "collinear", x * np.array([1, 0, 0], x.dtype)


SINGLE, DOUBLE = (
    [(1, np.float32), (3, np.float32), (5, np.float32)],
    [(2, np.float64), (4, np.float64)],
)


@pytest.mark.parametrize(
    "name, frames, dtype",
    [(name, *pair) for name in ("estag", "released, C=1") for pair in SINGLE + DOUBLE]
    + [(name, *pair) for name in ("released, C=4", "st_egnn") for pair in SINGLE[:1] + DOUBLE[1:]],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_gradients_are_finite_in_degenerate_places(name, frames, dtype):
    with jax.enable_x64(dtype == np.float64):
        model, variables, history, features, graph = setting(name, frames, dtype)

        @jax.jit
        @partial(jax.value_and_grad, argnums=(0, 1))
        def loss(variables, x):
            return jnp.mean(model.apply(variables, x, features, graph) ** 2)

        for place, x in degenerate(history):
            for leaf in jax.tree.leaves(loss(variables, x)):
                assert leaf.dtype == dtype
                assert np.isfinite(leaf).all(), place
            if place == "generic":
                assert any((leaf != 0).any() for leaf in jax.tree.leaves(loss(variables, x)[1]))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-21, 1e-19, 3e-19, 1e-12, 1.0, 1e15])
def test_lengths_have_finite_gradients_at_every_size(size):
    x = jnp.float32(size) * jnp.array([1.0, -2.0, 0.5])
    weights = jnp.array([0.3, 0.5, -0.2])
    assert np.isfinite(jax.grad(safe_norm)(x)).all()
    assert np.isfinite(jax.grad(lambda x: weights @ safe_normalize(x))(x)).all()
    if size >= 1e-18:
        np.testing.assert_allclose(safe_norm(safe_normalize(x)), 1, rtol=1e-6)
    if size <= 1:
        pair = jnp.stack([x, 2 * x[::-1]])
        for normalize in (False, True):
            gradient = jax.grad(lambda x, n=normalize: gram(x, n) @ jnp.arange(4.0))(pair)
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_with_finite_differences(name):
    with jax.enable_x64(True):
        model, variables, history, features, graph = setting(name, 3, np.float64, seed=1)

        @jax.jit
        @jax.value_and_grad
        def loss(point):
            return jnp.sum(jnp.sin(model.apply(point[0], point[1], features, graph)))

        point = variables, history
        gradient = loss(point)[1]
        for seed in range(3):
            direction = randomize(point, seed)
            ahead, behind = (
                loss(jax.tree.map(lambda a, b, e=e: a + e * b, point, direction))[0]
                for e in (1e-5, -1e-5)
            )
            products = jax.tree.map(lambda a, b: (a * b).sum(), gradient, direction)
            slope = sum(jax.tree.leaves(products))
            np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_jit_vmap_and_batches_change_nothing(name):
    with jax.enable_x64(True):
        model, variables, *first = setting(name, 3, np.float64)
        *_, other_history, other_features, _ = setting(name, 3, np.float64, seed=5)
        graph = first[2]
        renamed = graph.permute(np.arange(4)[::-1])
        singles = [tuple(first), (other_history, other_features, renamed)]
        apply = partial(model.apply, variables)
        plain = [apply(*single) for single in singles]
        jitted = jax.jit(apply)
        for single, expected in zip(singles, plain, strict=True):
            np.testing.assert_allclose(jitted(*single), expected, rtol=1e-12, atol=1e-13)
        batch = jax.tree.map(lambda *leaves: np.stack(leaves), *singles)
        together = jax.jit(jax.vmap(apply))(*batch)
        np.testing.assert_allclose(together, np.stack(plain), rtol=1e-12, atol=1e-13)
        histories, several, graphs = zip(*singles, strict=True)
        data = np.concatenate(histories), np.concatenate(several), stack(graphs)
        expected = np.concatenate(plain)
        np.testing.assert_allclose(jitted(*data), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["estag", "st_egnn"])
def test_models_are_right_where_the_backend_is_known_to_fail(name):
    # Three hidden features make 3x3 matrices, and a ring has as many edges as nodes, so that all
    # layers have 36000 rows.
    model, variables, *_ = setting(name, 4, np.float32)
    graph, windows = Graph(np.arange(4), (np.arange(4) + 1) % 4, 4), 36_000 // 16
    history, _ = random_window(0, 4, 4, batch=windows, channels=MODELS[name][0])
    data = history, random_window(1, 4, 4)[1]

    @jax.value_and_grad
    def loss(variables, x, f):
        return jnp.mean((model.apply(variables, x, f, graph) - 1) ** 2)

    single = jax.tree.leaves(jax.jit(loss)(variables, *data))
    with jax.enable_x64(True):
        arguments = jax.tree.map(lambda a: a.astype(np.float64), (variables, *data))
        double = jax.tree.leaves(jax.jit(loss)(*arguments))
    scale = max(np.abs(leaf).max() for leaf in double)
    for a, b in zip(single, double, strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * scale)
