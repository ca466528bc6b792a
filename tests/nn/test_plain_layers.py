"""Layers of single-frame and plain networks against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from estag_jax.types import Topology
from helpers.baselines import MODELS, bind, make_data
from numpy.polynomial.chebyshev import chebval
from scipy.signal import correlate2d

from estag_jax.models.agl_stan import (
    AdaptiveGraphConvolution,
    chebyshev,
    split_sinusoids,
)
from estag_jax.models.st_egnn import StEgnn, StEgnnConfig
from estag_jax.models.st_gnn import MessageLayer
from estag_jax.models.stag import SelfAttention, sinusoids
from estag_jax.models.stgcn import (
    GatedConvolution,
    GraphConvolution,
    normalized_adjacency,
)


def silu(x):
    return x / (1 + np.exp(-x))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def perceptron(params, x, activation, final=False):
    for i in range(2):
        layer = params[f"layer_{i}"]
        x = x @ layer["kernel"] + layer.get("bias", 0)
        x = activation(x) if i == 0 or final else x
    return x


def loop_egnn(params, h, x, graph, edges, activation, weight):
    """One layer on one frame: h [N, H], x [N, C, 3]; clamp not acting."""
    new_h, new_x = np.array(h), np.array(x)
    for i in range(len(h)):
        total, push, degree = np.zeros(h.shape[1]), np.zeros(x[i].shape), 0
        for j, receiver, e in zip(graph.senders, graph.receivers, edges, strict=True):
            if receiver == i:
                x_ij = x[i] - x[j]
                g = (x_ij @ x_ij.T).ravel()
                g = g / np.linalg.norm(g) if len(x_ij) > 1 else g
                inputs = np.concatenate([h[i], h[j], g, e])
                message = perceptron(params["phi_m"], inputs, activation, final=True)
                gate = perceptron(params["phi_x"], message, activation)
                push, total, degree = push + gate[:, None] * x_ij, total + message, degree + 1
        new_x[i] += weight * push / max(degree, 1)
        inputs = np.concatenate([h[i], total])
        new_h[i] += perceptron(params["phi_h"], inputs, activation)
    return new_h, new_x


def test_gmn_against_a_loop():
    config = StEgnnConfig.gmn(hidden=3)
    assert (config.activation, config.coordinate_weight, config.head) == (
        "leaky_relu",
        3.0,
        "softmax",
    )
    assert StEgnnConfig.gmn(coordinate_weight=1.0).coordinate_weight == 1
    with jax.enable_x64(True):
        history, features, graph = make_data(channels=4, past=3, dtype=np.float64)
        variables, function = bind(StEgnn(config), history, features, graph)
        params = variables["params"]
        linear = params["embedding"]["features"]
        frames = []
        for t in range(3):
            h = features @ linear["kernel"] + linear["bias"] + params["embedding"]["time"][t]
            x = history[:, t]
            for i in range(2):
                layer = params[f"spatial_{i}"]
                h, x = loop_egnn(layer, h, x, graph, graph.edge_features, leaky, 3.0)
            frames.append(x)
        share = np.exp(params["pooling"]["logits"])
        expected = np.einsum("t,tncx->ncx", share / share.sum(), frames)
        np.testing.assert_allclose(function(history, features, graph), expected, atol=1e-11)


def test_single_frame_against_a_loop():
    with jax.enable_x64(True):
        history, features, graph = make_data(past=5, dtype=np.float64)
        variables, function = bind(MODELS["egnn-middle"], history, features, graph)
        params, x = variables["params"], history[:, 2]
        h = features @ params["embedding"]["kernel"] + params["embedding"]["bias"]
        ends = [features[graph.receivers], features[graph.senders], graph.edge_features]
        for i in range(2):
            h, x = loop_egnn(
                params[f"spatial_{i}"], h, x, graph, np.concatenate(ends, axis=1), silu, 1.0
            )
        np.testing.assert_allclose(function(history, features, graph), x, atol=1e-12)


def test_message_layer_against_a_loop():
    with jax.enable_x64(True):
        history, features, graph = make_data(dtype=np.float64)
        h = np.random.default_rng(0).normal(size=(5, 6, 3))
        variables, function = bind(MessageLayer(3), h, features, graph)
        params, expected = variables["params"], h.copy()
        for i in range(5):
            for t in range(6):
                total = np.zeros(3)
                for e, j in enumerate(graph.senders):
                    if graph.receivers[e] == i:
                        ends = [h[i, t], h[j, t], features[i], features[j], graph.edge_features[e]]
                        total += perceptron(params["phi_m"], np.concatenate(ends), silu, True)
                inputs = np.concatenate([h[i, t], total])
                expected[i, t] += perceptron(params["phi_h"], inputs, silu)
        np.testing.assert_allclose(function(h, features, graph), expected, atol=1e-12)


def test_normalized_adjacency_of_a_path():
    # 0 - 1 - 2 and node 3 alone; the edge 1 -> 2 twice, 2 -> 1 not at all; a loop at 0.
    graph = Topology([0, 1, 1, 1, 0], [1, 0, 2, 2, 0], 4)
    with jax.enable_x64(True):
        dense = np.asarray(normalized_adjacency(graph, np.float64))
    a, b = 1 / np.sqrt(6), 1 / 3
    expected = [[1 / 2, a, 0, 0], [a, b, a, 0], [0, a, 1 / 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(dense, expected, rtol=1e-14)
    np.testing.assert_allclose(np.linalg.eigvalsh(dense).max(), 1, rtol=1e-14)


def test_convolutions_against_loops():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, adjacency = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 4))
        variables, function = bind(GraphConvolution(2), x, adjacency)
        theta, expected = variables["params"]["theta"], np.zeros((4, 5, 2))
        for i in range(4):
            for t in range(5):
                seen = sum(adjacency[i, j] * x[j, t] for j in range(4))
                expected[i, t] = np.maximum(seen @ theta, 0)
        np.testing.assert_allclose(function(x, adjacency), expected, atol=1e-13)

        variables, function = bind(GatedConvolution(2, kernel=3), x)
        params, expected = variables["params"], np.zeros((4, 3, 2))
        for i in range(4):
            for t in range(3):
                p, q, r = (
                    x[i, t : t + 3].ravel() @ params[k]["kernel"] + params[k]["bias"] for k in "pqr"
                )
                expected[i, t] = np.maximum(p / (1 + np.exp(-q)) + r, 0)
        np.testing.assert_allclose(function(x), expected, atol=1e-13)


def test_self_attention_against_a_loop():
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    with jax.enable_x64(True):
        variables, function = bind(SelfAttention(heads=3, size=2), x)
        w, expected = variables["params"], np.zeros(x.shape)
        assert set(w) == {"query", "key", "value", "output"}
        assert all(set(layer) == {"kernel"} for layer in w.values())
        for n in range(2):
            q, k, v = (x[n] @ w[name]["kernel"] for name in ("query", "key", "value"))
            parts = []
            for head in range(3):
                s = slice(2 * head, 2 * head + 2)
                weights = np.exp(q[:, s] @ k[:, s].T / np.sqrt(2))
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
        x, embeddings = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 3))
        variables, function = bind(AdaptiveGraphConvolution(2, order=3), x, embeddings)
        params = variables["params"]
        support = params["support"]
        s = np.exp(np.maximum(embeddings @ embeddings.T @ support["kernel"] + support["bias"], 0))
        s /= s.sum(axis=1, keepdims=True)
        expected = np.zeros((4, 5, 2))
        for t in range(5):
            seen = np.concatenate([x[:, t], s @ x[:, t], (2 * s @ s - np.eye(4)) @ x[:, t]], axis=1)
            expected[:, t] = seen @ params["output"]["kernel"] + params["output"]["bias"]
        np.testing.assert_allclose(function(x, embeddings), expected, atol=1e-13)


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
        variables, _ = bind(MODELS["agl_stan"], *data)
        params, shift = variables["params"], np.random.default_rng(0).normal(size=30)
        norm = {"scale": np.zeros(30), "bias": shift}
        changed = {"params": params | {"norm_end": norm}}
        out = jax.jit(MODELS["agl_stan"].apply)(changed, *data)
        kernel, bias = params["convolution"]["kernel"], params["convolution"]["bias"]
        plane = shift.reshape(5, 6)
        expected = sum(correlate2d(plane, kernel[:, :, t, 0], mode="same") for t in range(6))
        np.testing.assert_allclose(out.reshape(5, 6), expected + bias, atol=1e-12)
