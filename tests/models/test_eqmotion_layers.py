"""EqMotion: its parts against loops and SciPy, and the whole network written out."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.fft
from helpers.eqmotion import SMALL

from estag_jax.models.eqmotion import VectorLinear
from estag_jax.ops.motion import dct_matrix, motion_features, vector_relu
from estag_jax.testing import random_graph, random_window, randomize

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
    turned = np.swapaxes(query, -1, -2), np.swapaxes(key, -1, -2)  # channels last
    out = np.swapaxes(vector_relu(*turned), -1, -2)
    cut = 0
    for place in np.ndindex(7, 4):
        q, k = query[place].astype(float), key[place].astype(float)
        if q @ k < 0:
            q = q - (q @ k) * k / (k @ k)
            cut += 1
            np.testing.assert_allclose(q @ k / np.linalg.norm(k), 0, atol=1e-12)
        np.testing.assert_allclose(out[place], q, atol=1e-6)
    assert 5 < cut < 23
    gradient = jax.grad(lambda q, k: vector_relu(q, k).sum(), argnums=(0, 1))(*turned)
    assert all(np.isfinite(g).all() for g in gradient)


def test_speeds_and_angles_of_a_polygon():
    # A walk around a regular hexagon of side 2: every step has length 2, every turn is 60 degrees.
    corner = np.pi / 3 * np.arange(6)
    walk = 2 * np.stack([np.cos(corner), np.sin(corner), 0 * corner], axis=-1)
    straight = np.arange(6)[:, None] * np.array([0.3, 0.4, 0.0])
    there_and_back = (np.arange(6) % 2)[:, None] * np.array([0.0, 0.0, 1.5])
    frozen = np.ones((6, 3))
    x = np.stack([walk, straight, there_and_back, frozen])[None, :, :, None].astype(np.float32)
    (speed,), (angle,) = motion_features(x)
    np.testing.assert_allclose(speed, np.outer([2, 0.5, 1.5, 0], np.ones(5)), atol=1e-6)
    np.testing.assert_allclose(angle, np.outer([np.pi / 3, 0, np.pi, 0], np.ones(4)), atol=1e-3)
    gradient = jax.grad(lambda x: sum(part.sum() for part in motion_features(x)))(x)
    assert np.isfinite(gradient).all()


def test_angles_of_a_random_walk_are_those_of_arccos():
    x = random_window(0, 5, 6, channels=2, batch=2)[0].astype(np.float64)
    step = np.diff(x, axis=2)
    u, v = step[:, :, :-1], step[:, :, 1:]
    length = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    expected = np.arccos((u * v).sum(-1) / length).reshape(2, 5, -1)
    with jax.enable_x64(True):
        speed, angle = motion_features(x)
    np.testing.assert_allclose(angle, expected, atol=1e-12)
    np.testing.assert_allclose(speed, np.linalg.norm(step, axis=-1).reshape(2, 5, -1), atol=1e-12)


def test_vector_linear_mixes_channels_only():
    v = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)
    layer = VectorLinear(5)
    variables = layer.init(jax.random.key(0), v)
    (kernel,) = jax.tree.leaves(variables)
    assert kernel.shape == (4, 5) and 0.3 < np.abs(kernel).max() <= 0.5
    expected = [[[v[n, x] @ kernel[:, o] for o in range(5)] for x in range(3)] for n in range(6)]
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
    """Equations of the docstrings, one node and one edge at a time.

    Args:
      x: [N, T, C, 3], one window.
      features: [N, F].

    Returns:
      The prediction y [N, C, 3].
    """
    nodes, past, channels, _ = x.shape
    edges = list(zip(graph.receivers[0].tolist(), graph.senders[0].tolist(), strict=True))
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
    history, features = random_window(3, 5, 4, channels=channels, dtype=np.float64, batch=2)
    graph = random_graph(4, 5, isolated=1, edge_width=2)
    with jax.enable_x64(True):
        model = config.build()
        shapes = jax.eval_shape(model.init, jax.random.key(0), history, features, graph)
        variables = randomize(shapes, scale=0.8)
        out = jax.jit(model.apply)(variables, history, features, graph)
    params, (own,) = variables["params"], features
    expected = np.stack([written_out(config, params, x, own, graph) for x in history])
    assert np.abs(expected - history[:, :, -1]).max() > 0.1
    np.testing.assert_allclose(out, expected, atol=1e-11 * np.abs(expected).max())
