"""Operations against closed forms: segments of graphs, windows, Fourier transform, attention."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.graph import Graph, stack
from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power
from estag_jax.ops.geometry import centre
from estag_jax.ops.segment import (
    at_receivers,
    at_senders,
    mean_at_receivers,
    mean_over_nodes,
    real_nodes,
    softmax_at_receivers,
    sum_at_receivers,
)
from estag_jax.ops.windows import gather_windows
from estag_jax.testing import random_graph

# Graph operations against products with indicator matrices.


def indicator(index, nodes):
    return (np.asarray(index)[:, None] == np.arange(nodes)).astype(np.float32)


GRAPHS = {
    "random": random_graph(0, 6, isolated=2),
    "complete": random_graph(0, 5, density=1.0),
    "no edges": Graph([], [], 3),
    "repeated and looped": Graph([0, 0, 1, 2, 2], [1, 1, 1, 2, 0], 4),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_segment_operations_are_matrix_products(graph):
    to, source = (indicator(i[0], graph.num_nodes) for i in (graph.receivers, graph.senders))
    mean = to.T / np.maximum(to.sum(axis=0), 1)[:, None]
    rng = np.random.default_rng(0)
    for function, matrix in (
        (at_receivers, to),
        (at_senders, source),
        (sum_at_receivers, to.T),
        (mean_at_receivers, mean),
    ):
        values = rng.normal(size=(2, matrix.shape[1], 3)).astype(np.float32)
        bound = jax.jit(partial(function, graph=graph))
        out, pullback = jax.vjp(bound, values)
        np.testing.assert_allclose(out, np.einsum("ij,bjx->bix", matrix, values), rtol=1e-5)
        cotangent = rng.normal(size=out.shape).astype(np.float32)
        expected = np.einsum("ji,bjx->bix", matrix, cotangent)
        np.testing.assert_allclose(pullback(cotangent)[0], expected, rtol=1e-5, atol=1e-6)


def test_segment_operations_on_a_graph_for_every_window():
    graphs = [random_graph(0, 6, isolated=2), random_graph(1, 5), GRAPHS["repeated and looped"]]
    both, rng = stack(graphs), np.random.default_rng(0)
    nodes = rng.normal(size=(3, both.num_nodes, 2)).astype(np.float32)
    edges = rng.normal(size=(3, both.num_edges, 2)).astype(np.float32)
    operations = at_receivers, at_senders, sum_at_receivers, mean_at_receivers, softmax_at_receivers
    for function in operations:
        at_ends = function in (at_receivers, at_senders)
        values = nodes if at_ends else edges
        for window, shared in ((values, values), (values[:1], np.repeat(values[:1], 3, axis=0))):
            out = function(window, both)
            for i, graph in enumerate(graphs):
                # Padding is behind, and whatever it holds has no part in the sums.
                size = graph.num_nodes if at_ends else graph.num_edges
                alone = function(shared[i : i + 1, :size], graph)
                np.testing.assert_allclose(out[i, : alone.shape[1]], alone[0], atol=1e-6)


def test_mean_over_nodes_is_of_the_real_ones():
    graph = stack([Graph([0], [1], 2), Graph([0, 1], [1, 2], 3)])
    values = np.random.default_rng(0).normal(size=(2, graph.num_nodes, 4, 3))
    expected = [values[0, :2].mean(axis=(0, 2)), values[1, :3].mean(axis=(0, 2))]
    np.testing.assert_allclose(mean_over_nodes(values, graph, axes=(3,)), expected, rtol=1e-5)
    assert mean_over_nodes(values, graph, axes=(3,), keepdims=True).shape == (2, 1, 4, 1)
    hidden = real_nodes(values, graph)
    assert (hidden[0, 2:] == 0).all() and (hidden[1, 3:] == 0).all()
    np.testing.assert_allclose(hidden[1, :3], values[1, :3], rtol=1e-6)


def test_centre_and_spectrum_do_not_see_padding():
    graph, rng = Graph([0], [1], 2), np.random.default_rng(0)
    history = rng.normal(size=(3, 5, 4, 2, 3)).astype(np.float32)
    padded = graph.pad(5, 1)
    expected = history[:, :2, -1].mean(axis=(1, 2))
    np.testing.assert_allclose(centre(history, padded)[:, 0, 0, 0], expected, rtol=1e-5, atol=1e-7)
    alone = edft(jnp.asarray(history[:, :2, :, 0]), graph)
    np.testing.assert_allclose(edft(history[..., 0, :], padded)[:, :2], alone, rtol=1e-5, atol=1e-5)


def test_windows_are_cut_where_they_begin():
    positions = np.random.default_rng(0).normal(size=(40, 2, 3, 3)).astype(np.float32)
    starts, past, delta, horizons = np.array([0, 7, 2]), 4, 3, (1, 5, 2)
    history, targets = gather_windows(jnp.asarray(positions), starts, past, delta, horizons)
    assert history.shape == (3, 2, 4, 3, 3) and targets.shape == (3, 3, 2, 3, 3)
    for w, start in enumerate(starts):
        for t in range(past):
            np.testing.assert_array_equal(history[w, :, t], positions[start + 3 * t])
        for p, horizon in enumerate(horizons):
            last = start + 3 * (past - 1)
            np.testing.assert_array_equal(targets[w, p], positions[last + 3 * horizon])


# Fourier transform.


@pytest.mark.parametrize("fft_from", [1, 1000], ids=["fft", "matrix"])
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 129])
def test_edft_is_numpys(monkeypatch, frames, fft_from):
    # The package has the function under the module's name.
    module = importlib.import_module("estag_jax.ops.edft")
    monkeypatch.setattr(module, "FFT_FROM", fft_from)
    x = np.random.default_rng(frames).normal(size=(2, 3, frames, 3))
    graph = Graph([], [], 3)
    truth = np.fft.fft(x - x.mean(axis=1, keepdims=True), axis=2)[:, :, 1:]
    truth = np.stack([truth.real, truth.imag], axis=3)
    weights = np.random.default_rng(1).normal(size=truth.shape)
    # d/dx of sum(weights * spectrum), whose transform is linear and symmetric in k and t.
    waves = weights[..., 0, :] - 1j * weights[..., 1, :]
    full = np.concatenate([np.zeros((2, 3, 1, 3)), waves], axis=2)
    slope = np.fft.fft(full, axis=2).real
    slope -= slope.mean(axis=1, keepdims=True)
    for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-12)):
        with jax.enable_x64(dtype == np.float64):
            wave = weights.astype(dtype)

            @jax.jit
            def spectrum_and_slope(x, wave=wave):
                spectrum, pullback = jax.vjp(lambda x: edft(x, graph), x)
                return spectrum, pullback(wave)[0]

            spectrum, gradient = spectrum_and_slope(x.astype(dtype))
            assert spectrum.shape == (2, 3, frames - 1, 2, 3) and spectrum.dtype == dtype
            np.testing.assert_allclose(spectrum, truth, rtol=0, atol=bound * frames)
            np.testing.assert_allclose(gradient, slope, rtol=0, atol=bound * frames)


def test_circular_motion_has_power_that_the_complex_square_misses():
    frames, k = 12, 3
    angle = 2 * np.pi * k * np.arange(frames) / frames
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    # The other node is opposite, so that the centroid is at rest.
    graph = Graph([0, 1], [1, 0], 2)
    spectrum = edft(jnp.asarray(np.stack([circle, -circle])[None], jnp.float32), graph)
    # |T/2 (1, -i, 0)|², at k and, the motion being real, at T - k; nothing elsewhere.
    expected = np.zeros((2, frames - 1))
    expected[:, [k - 1, frames - k - 1]] = frames**2 / 2
    np.testing.assert_allclose(node_power(spectrum)[0], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(node_power(spectrum, complex_square=True), 0, atol=1e-4)
    np.testing.assert_allclose(edge_coherence(spectrum, graph)[0], expected, rtol=1e-5, atol=1e-4)


def test_motion_along_a_line_has_the_same_power_both_ways():
    frames = 9
    swing = np.cos(2 * np.pi * 2 * np.arange(frames) / frames)
    line = swing[:, None] * np.array([1.0, 2.0, -2.0])
    spectrum = edft(jnp.asarray(np.stack([line, -line])[None], jnp.float32), Graph([], [], 2))
    expected = np.zeros((2, frames - 1))
    expected[:, [1, 6]] = (3 * frames / 2) ** 2
    for complex_square in (False, True):
        power = node_power(spectrum, complex_square)
        np.testing.assert_allclose(power[0], expected, rtol=1e-5, atol=1e-3)


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
    # The same twice, and the coordinates of the second window turned round.
    weights = attention_weights(query[None], key[None], causal)
    np.testing.assert_allclose(weights[0], alpha, atol=1e-6)
    np.testing.assert_allclose(attend_features(weights, value[None])[0], features, atol=1e-5)
    moved = attend_coordinates(weights, gate[None], np.stack([x, -x]))
    np.testing.assert_allclose(moved, np.stack([shift, -shift]), atol=1e-5)


def test_attention_stands_large_scores():
    query = 1e4 * np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    weights, pullback = jax.vjp(partial(attention_weights, query), query)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)
    assert np.isfinite(pullback(weights)[0]).all()
