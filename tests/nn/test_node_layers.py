"""Layers of STGCN, STAG and AGL-STAN against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import bind, make_data
from helpers.node_networks import NODE_NETWORKS
from numpy.polynomial.chebyshev import chebval
from scipy.signal import correlate2d

from estag_jax.graph import Graph, stack
from estag_jax.models.agl_stan import AdaptiveGraphConvolution, chebyshev, split_sinusoids
from estag_jax.models.stag import sinusoids
from estag_jax.models.stgcn import GatedConvolution
from estag_jax.nn.attention import SMALL, SelfAttention
from estag_jax.nn.node_networks import GraphConvolution, normalized_adjacency


def test_normalized_adjacency_of_a_path():
    # 0 - 1 - 2 and node 3 alone; the edge 1 -> 2 twice, 2 -> 1 not at all; a loop at 0.
    graph = Graph([0, 1, 1, 1, 0], [1, 0, 2, 2, 0], 4)
    turned = graph.permute([3, 2, 1, 0])
    with jax.enable_x64(True):
        dense, back = np.asarray(normalized_adjacency(stack([graph, turned]), np.float64))
    a, b = 1 / np.sqrt(6), 1 / 3
    expected = [[1 / 2, a, 0, 0], [a, b, a, 0], [0, a, 1 / 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(dense, expected, rtol=1e-14)
    np.testing.assert_allclose(back, dense[::-1, ::-1], rtol=1e-14)
    np.testing.assert_allclose(np.linalg.eigvalsh(dense).max(), 1, rtol=1e-14)


def test_convolutions_against_loops():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, adjacency = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(2, 4, 4))
        variables, function = bind(GraphConvolution(2), x, adjacency)
        theta, expected = variables["params"]["theta"], np.zeros((2, 4, 5, 2))
        for w, i, t in np.ndindex(2, 4, 5):
            seen = sum(adjacency[w, i, j] * x[w, j, t] for j in range(4))
            expected[w, i, t] = np.maximum(seen @ theta, 0)
        np.testing.assert_allclose(function(x, adjacency), expected, atol=1e-13)
        shared = function(x, adjacency[:1])
        np.testing.assert_allclose(shared[0], expected[0], atol=1e-13)

        variables, function = bind(GatedConvolution(2, kernel=3), x)
        params, expected = variables["params"], np.zeros((2, 4, 3, 2))
        for w, i, t in np.ndindex(2, 4, 3):
            seen = x[w, i, t : t + 3].ravel()
            p, q, r = (seen @ params[k]["kernel"] + params[k]["bias"] for k in "pqr")
            expected[w, i, t] = np.maximum(p / (1 + np.exp(-q)) + r, 0)
        np.testing.assert_allclose(function(x), expected, atol=1e-13)


@pytest.mark.parametrize("size", [2, SMALL + 1], ids=["by sums", "by products"])
def test_self_attention_against_a_loop(size):
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    with jax.enable_x64(True):
        variables, function = bind(SelfAttention(heads=3, size=size), x)
        w, expected = variables["params"], np.zeros(x.shape)
        assert set(w) == {"query", "key", "value", "output"}
        assert all(set(layer) == {"kernel"} for layer in w.values())
        for n in range(2):
            q, k, v = (x[n] @ w[name]["kernel"] for name in ("query", "key", "value"))
            parts = []
            for head in range(3):
                s = slice(size * head, size * head + size)
                weights = np.exp(q[:, s] @ k[:, s].T / np.sqrt(size))
                parts.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, s])
            expected[n] = np.concatenate(parts, axis=1) @ w["output"]["kernel"]
        np.testing.assert_allclose(function(x), expected, atol=1e-13)


def test_chebyshev_by_eigenvalues():
    rng = np.random.default_rng(0)
    vectors, values = np.linalg.qr(rng.normal(size=(4, 4)))[0], np.array([-0.9, 0.1, 0.5, 1])
    with jax.enable_x64(True):
        terms = np.asarray(chebyshev(jnp.asarray(vectors @ np.diag(values) @ vectors.T), 5))
        assert chebyshev(jnp.eye(3), 1).shape == (1, 3, 3)
    for degree in range(5):
        diagonal = np.diag(chebval(values, np.eye(5)[degree]))
        np.testing.assert_allclose(terms[degree], vectors @ diagonal @ vectors.T, atol=1e-13)


def test_adaptive_graph_convolution_against_a_loop():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, embeddings = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(4, 3))
        variables, function = bind(AdaptiveGraphConvolution(2, order=3), [x], embeddings)
        params = variables["params"]
        support = params["support"]
        s = np.exp(np.maximum(embeddings @ embeddings.T @ support["kernel"] + support["bias"], 0))
        s /= s.sum(axis=1, keepdims=True)
        expected = np.zeros((2, 5, 4, 2))
        for w, t in np.ndindex(2, 5):
            frame = x[w, t]
            seen = np.concatenate([frame, s @ frame, (2 * s @ s - np.eye(4)) @ frame], axis=1)
            expected[w, t] = seen @ params["output"]["kernel"] + params["output"]["bias"]
        np.testing.assert_allclose(function([x], embeddings), expected, atol=1e-13)
        shared, own = x[:1, :1, :, :1], x[..., 1:]
        broad = np.concatenate([np.broadcast_to(shared, (2, 5, 4, 1)), own], axis=-1)
        np.testing.assert_allclose(
            function([shared, own], embeddings), function([broad], embeddings), atol=1e-13
        )


def test_positions_in_time():
    encoding, split = np.zeros((5, 6)), np.zeros((5, 7))
    for t in range(5):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            encoding[t, 2 * i : 2 * i + 2] = np.sin(angle), np.cos(angle)
            angle = t * 10000 ** (-i / 2)
            split[t, i], split[t, 3 + i] = np.sin(angle), np.cos(angle)
    np.testing.assert_allclose(sinusoids(5, 6), encoding, atol=1e-6)
    np.testing.assert_allclose(split_sinusoids(5, 7), split, atol=1e-6)


def test_the_convolution_of_agl_stan_runs_over_nodes_and_coordinates():
    # All else switched off: the last normalisation has scale zero, its shift is a known plane.
    with jax.enable_x64(True):
        data = make_data(channels=2, dtype=np.float64)
        variables, _ = bind(NODE_NETWORKS["agl_stan"], *data)
        params, shift = variables["params"], np.random.default_rng(0).normal(size=30)
        norm = {"scale": np.zeros(30), "bias": shift}
        changed = {"params": params | {"norm_end": norm}}
        out = jax.jit(NODE_NETWORKS["agl_stan"].apply)(changed, *data)
        kernel, bias = params["convolution"]["kernel"], params["convolution"]["bias"]
        plane = shift.reshape(5, 6)
        expected = sum(correlate2d(plane, kernel[:, :, t, 0], mode="same") for t in range(6))
        np.testing.assert_allclose(out.reshape(5, 6), expected + bias, atol=1e-12)
