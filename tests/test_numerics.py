"""Numbers: finite gradients in degenerate places, closed forms, and backends that compute wrongly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from estag_jax.nn.egnn import StEgnn, StEgnnConfig
from estag_jax.nn.estag import ESTAG, EstagConfig
from estag_jax.ops import edft as edft_module
from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power
from estag_jax.ops.geometry import gram, safe_norm, safe_normalize
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers
from estag_jax.testing import random_topology, random_window, randomize
from estag_jax.types import Topology

SIZES = dict(hidden=3, layers=1)
MODELS = {
    "estag": (1, ESTAG(EstagConfig(**SIZES))),
    "reference, C=1": (1, ESTAG(EstagConfig.reference(1, **SIZES))),
    "reference, C=4": (4, ESTAG(EstagConfig.reference(4, **SIZES))),
    "st_egnn": (2, StEgnn(StEgnnConfig(**SIZES))),
}


def setting(name, frames, dtype, nodes=4, seed=0):
    """A model with random parameters, and the data for it; one node is isolated."""
    channels, model = MODELS[name]
    graph = random_topology(seed, nodes, isolated=1, density=0.8)
    history, features = random_window(seed, nodes, frames, channels=channels, dtype=dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0), history, features, graph)
    return model, randomize(shapes, seed), history, features, graph


def degenerate(history):
    """Histories of the same shape in which something is zero that one would divide by."""
    x = jnp.asarray(history)
    frozen = jnp.broadcast_to(x[:, :1], x.shape)
    yield "generic", x
    yield "two coincident nodes", x.at[1].set(x[0])
    yield "all nodes coincident", jnp.broadcast_to(x[:1], x.shape)
    yield "coincident in one frame", x.at[:, -1].set(x[0, -1])
    yield "frozen frames", frozen
    yield "one frozen node", x.at[0].set(frozen[0])
    yield "everything zero", jnp.zeros_like(x)
    yield "almost coincident", x.at[1].set(x[0] + 1e-12)
    yield "collinear", x * jnp.array([1, 0, 0], x.dtype)


@pytest.mark.parametrize(
    "frames, dtype",
    [(t, np.float32) for t in range(1, 6)] + [(t, np.float64) for t in (1, 4)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("name", MODELS)
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
        def loss(variables, x):
            return jnp.sum(jnp.sin(model.apply(variables, x, features, graph)))

        arguments = variables, jnp.asarray(history)
        check_grads(loss, arguments, order=1, atol=1e-7, rtol=1e-7, eps=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_jit_and_vmap_change_nothing(name):
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


# Graph operations against products with indicator matrices.


def indicator(index, nodes):
    return (np.asarray(index)[:, None] == np.arange(nodes)).astype(np.float32)


GRAPHS = {
    "random": random_topology(0, 6, isolated=2),
    "complete": random_topology(0, 5, density=1.0),
    "no edges": Topology([], [], 3),
    "repeated and looped": Topology([0, 0, 1, 2, 2], [1, 1, 1, 2, 0], 4),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_segment_operations_are_matrix_products(graph):
    to, source = (indicator(i, graph.num_nodes) for i in (graph.receivers, graph.senders))
    mean = to.T / np.maximum(to.sum(axis=0), 1)[:, None]
    rng = np.random.default_rng(0)
    for function, matrix in (
        (at_receivers, to),
        (at_senders, source),
        (sum_at_receivers, to.T),
        (mean_at_receivers, mean),
    ):
        values = rng.normal(size=(matrix.shape[1], 3, 2)).astype(np.float32)
        bound = jax.jit(partial(function, topology=graph))
        out, pullback = jax.vjp(bound, values)
        np.testing.assert_allclose(out, np.einsum("ij,jxy->ixy", matrix, values), rtol=1e-5)
        cotangent = rng.normal(size=out.shape).astype(np.float32)
        expected = np.einsum("ji,jxy->ixy", matrix, cotangent)
        np.testing.assert_allclose(pullback(cotangent)[0], expected, rtol=1e-5, atol=1e-6)
        two = jax.vmap(bound)(np.stack([values, -values]))
        np.testing.assert_allclose(two, np.stack([out, -out]), rtol=1e-6)


# Fourier transform.


@pytest.mark.parametrize("fft_from", [1, 1000], ids=["fft", "matrix"])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 10, 128, 129])
def test_edft_is_numpys(monkeypatch, frames, fft_from):
    monkeypatch.setattr(edft_module, "FFT_FROM", fft_from)
    x = np.random.default_rng(frames).normal(size=(3, frames, 3))
    truth = np.fft.fft(x - x.mean(axis=0), axis=1)[:, 1:]
    truth = np.stack([truth.real, truth.imag], axis=2)
    weights = np.random.default_rng(1).normal(size=truth.shape)
    # d/dx of sum(weights * spectrum), whose transform is linear and symmetric in k and t.
    full = np.concatenate([np.zeros((3, 1, 3)), weights[:, :, 0] - 1j * weights[:, :, 1]], axis=1)
    slope = np.fft.fft(full, axis=1).real
    slope -= slope.mean(axis=0)
    for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-12)):
        with jax.enable_x64(dtype == np.float64):
            spectrum = edft(jnp.asarray(x, dtype))
            assert spectrum.shape == (3, frames - 1, 2, 3) and spectrum.dtype == dtype
            np.testing.assert_allclose(spectrum, truth, rtol=0, atol=bound * frames)
            wave = jnp.asarray(weights, dtype)
            gradient = jax.grad(lambda x, w=wave: jnp.sum(w * edft(x)))(jnp.asarray(x, dtype))
            np.testing.assert_allclose(gradient, slope, rtol=0, atol=bound * frames)


def test_circular_motion_has_power_that_the_complex_square_misses():
    frames, k = 12, 3
    angle = 2 * np.pi * k * np.arange(frames) / frames
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    # The other node is opposite, so that the centroid is at rest.
    spectrum = edft(jnp.asarray(np.stack([circle, -circle]), jnp.float32))
    # |T/2 (1, -i, 0)|², at k and, the motion being real, at T - k; nothing elsewhere.
    expected = np.zeros((2, frames - 1))
    expected[:, [k - 1, frames - k - 1]] = frames**2 / 2
    np.testing.assert_allclose(node_power(spectrum), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(node_power(spectrum, complex_square=True), 0, atol=1e-4)
    graph = Topology([0, 1], [1, 0], 2)
    np.testing.assert_allclose(edge_coherence(spectrum, graph), expected, rtol=1e-5, atol=1e-4)


def test_motion_along_a_line_has_the_same_power_both_ways():
    frames = 9
    swing = np.cos(2 * np.pi * 2 * np.arange(frames) / frames)
    line = swing[:, None] * np.array([1.0, 2.0, -2.0])
    spectrum = edft(jnp.asarray(np.stack([line, -line]), jnp.float32))
    expected = np.zeros((2, frames - 1))
    expected[:, [1, 6]] = (3 * frames / 2) ** 2
    for complex_square in (False, True):
        power = node_power(spectrum, complex_square)
        np.testing.assert_allclose(power, expected, rtol=1e-5, atol=1e-3)


# Attention against loops.


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_the_sum_that_is_written_down(causal):
    nodes, frames, channels, hidden = 2, 4, 3, 5
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(3, nodes, frames, hidden)).astype(np.float32)
    gate = rng.normal(size=(nodes, frames, channels)).astype(np.float32)
    x = rng.normal(size=(nodes, frames, channels, 3)).astype(np.float32)
    alpha = np.zeros((nodes, frames, frames))
    features, shift = np.zeros(value.shape), np.zeros(x.shape)
    for i in range(nodes):
        for t in range(frames):
            seen = range(t + 1) if causal else range(frames)
            strength = {s: np.exp(float(query[i, t] @ key[i, s])) for s in seen}
            for s in seen:
                alpha[i, t, s] = strength[s] / sum(strength.values())
                features[i, t] += alpha[i, t, s] * value[i, s]
                for c in range(channels):
                    difference = x[i, t, c] - x[i, s, c]
                    shift[i, t, c] += alpha[i, t, s] * gate[i, s, c] * difference
    weights = attention_weights(query, key, causal)
    np.testing.assert_allclose(weights, alpha, atol=1e-6)
    np.testing.assert_allclose(attend_features(weights, value), features, atol=1e-5)
    np.testing.assert_allclose(attend_coordinates(weights, gate, x), shift, atol=1e-5)


def test_attention_stands_large_scores():
    query = 1e4 * np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    weights, pullback = jax.vjp(partial(attention_weights, query), query)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)
    assert np.isfinite(pullback(weights)[0]).all()


# The backend. jaxlib 0.10.2 computes such products wrongly on CPU, without a word, for some numbers
# of rows (jax-ml/jax#39103, where float64 failed at 16385 rows and float32 at 32769). Many shapes of
# the same thing, because the next such fault need not look like the last.

ROWS = (1, 2, 7, 31, 100, 4097, 16_384, 16_385, 32_768, 32_769)
PRODUCTS = {
    "square sum": (lambda m, r: jnp.sum((m @ r) ** 2), lambda y: (y**2).sum(-1)),
    "sum": (lambda m, r: (m @ r).sum(), lambda y: y.sum(-1)),
    "mean": (lambda m, r: jnp.mean(m @ r), lambda y: y.mean(-1)),
    "einsum": (lambda m, r: jnp.max(jnp.einsum("ij,j->i", m, r)), lambda y: y.max(-1)),
    "row first": (lambda m, r: jnp.sum(jnp.abs(r @ m.T)), lambda y: np.abs(y).sum(-1)),
}


@pytest.mark.parametrize("dtype, bound", [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("form", PRODUCTS)
def test_backend_reduces_batched_products_correctly(form, dtype, bound):
    function, truth = PRODUCTS[form]
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 3))
    compiled = jax.jit(jax.vmap(function, in_axes=(None, 0)))
    with jax.enable_x64(dtype == np.float64):
        for rows in ROWS:
            x = rng.normal(size=(rows, 3))
            y = np.asarray(compiled(matrix.astype(dtype), x.astype(dtype)), np.float64)
            expected = truth(x @ matrix.T)
            wrong = np.abs(y - expected) > bound * (1 + np.abs(expected))
            assert not wrong.any(), (
                f"jaxlib {jax.lib.__version__} computes wrong numbers on {jax.default_backend()} "
                f"({form}, {rows} rows, {wrong.sum()} wrong; see jax-ml/jax#39103): use another"
            )


@pytest.mark.parametrize("rows", [1, 3, 64, 100, 16_385])
def test_backend_reduces_products_of_batched_matrices_correctly(rows):
    rng = np.random.default_rng(rows)
    matrix = rng.normal(size=(rows, 4, 3)).astype(np.float32)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    y = np.einsum("nij,nj->ni", matrix, x, dtype=np.float64)
    total = jax.jit(lambda m, r: jax.vmap(lambda m, r: (m @ r).sum())(m, r).mean())(matrix, x)
    np.testing.assert_allclose(total, y.sum(-1).mean(), rtol=1e-4, atol=1e-5)
    square = jax.jit(jax.vmap(lambda m, r: ((m @ r) ** 2).mean(axis=0)))(matrix, x)
    np.testing.assert_allclose(square, (y**2).mean(-1), rtol=1e-4, atol=1e-5)
