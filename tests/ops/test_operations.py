"""Operations against closed forms: segments of graphs, Fourier transform, attention."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from estag_jax.types import Topology

from estag_jax.ops import edft as edft_module
from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers
from estag_jax.testing import random_topology

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
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 129])
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
            wave = weights.astype(dtype)

            @jax.jit
            def spectrum_and_slope(x, wave=wave):
                spectrum, pullback = jax.vjp(edft, x)
                return spectrum, pullback(wave)[0]

            spectrum, gradient = spectrum_and_slope(x.astype(dtype))
            assert spectrum.shape == (3, frames - 1, 2, 3) and spectrum.dtype == dtype
            np.testing.assert_allclose(spectrum, truth, rtol=0, atol=bound * frames)
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
