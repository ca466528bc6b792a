"""Message passing of the EGNN family and of ST_GNN against loops in NumPy."""

import jax
import numpy as np
from helpers.baselines import MODELS, bind, make_data

from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import MessageLayer


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
        for j, receiver, e in zip(graph.senders[0], graph.receivers[0], edges, strict=True):
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
        variables, function = bind(config.build(), history, features, graph)
        params = variables["params"]
        linear = params["embedding"]["features"]
        frames = []
        for t in range(3):
            h = features[0] @ linear["kernel"] + linear["bias"] + params["embedding"]["time"][t]
            x = history[0, :, t]
            for i in range(2):
                layer = params[f"spatial_{i}"]
                h, x = loop_egnn(layer, h, x, graph, graph.edge_features[0], leaky, 3.0)
            frames.append(x)
        share = np.exp(params["pooling"]["logits"])
        expected = np.einsum("t,tncx->ncx", share / share.sum(), frames)
        np.testing.assert_allclose(function(history, features, graph)[0], expected, atol=1e-11)


def test_single_frame_against_a_loop():
    with jax.enable_x64(True):
        history, features, graph = make_data(past=5, dtype=np.float64)
        variables, function = bind(MODELS["egnn-middle"], history, features, graph)
        params, x = variables["params"], history[0, :, 2]
        features, edges = features[0], graph.edge_features[0]
        h = features @ params["embedding"]["kernel"] + params["embedding"]["bias"]
        ends = [features[graph.receivers[0]], features[graph.senders[0]], edges]
        for i in range(2):
            h, x = loop_egnn(
                params[f"spatial_{i}"], h, x, graph, np.concatenate(ends, axis=1), silu, 1.0
            )
        out = function(history, features[None], graph)[0]
        np.testing.assert_allclose(out, x, atol=1e-12)


def test_message_layer_against_a_loop():
    with jax.enable_x64(True):
        history, features, graph = make_data(dtype=np.float64)
        h = np.random.default_rng(0).normal(size=(1, 5, 6, 3))
        variables, function = bind(MessageLayer(3), h, features, graph)
        params, expected = variables["params"], h.copy()
        for i in range(5):
            for t in range(6):
                total = np.zeros(3)
                for e, j in enumerate(graph.senders[0]):
                    if graph.receivers[0, e] == i:
                        ends = [h[0, i, t], h[0, j, t], features[0, i], features[0, j]]
                        ends.append(graph.edge_features[0, e])
                        total += perceptron(params["phi_m"], np.concatenate(ends), silu, True)
                inputs = np.concatenate([h[0, i, t], total])
                expected[0, i, t] += perceptron(params["phi_h"], inputs, silu)
        np.testing.assert_allclose(function(h, features, graph), expected, atol=1e-12)
