"""The parts of ST_TFN and ST_SE(3)-Transformer against e3nn and loops."""

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tfn import random_variables, window

from estag_jax.models.st_se3_transformer import EquivariantAttention
from estag_jax.nn.tensor_field import (
    Convolution,
    NormActivation,
    Radial,
    SelfInteraction,
    TensorProduct,
    edge_geometry,
)

WINDOWS = 2


def random_features(rng, nodes, frames, channels):
    """By degree [B, N, T, 2l+1, M]; invariants are shared by all windows, as embeddings are."""
    return {
        degree: rng.normal(size=(WINDOWS if degree else 1, nodes, frames, 2 * degree + 1, m))
        for degree, m in channels.items()
    }


def of_window(features, window):
    """Features of one window, without its axis."""
    return {degree: np.asarray(f)[window % len(f)] for degree, f in features.items()}


def test_vectors_are_x_y_z():
    y = e3nn_jax.spherical_harmonics("1o", jnp.array([1.0, 2.0, 3.0]), False, "norm")
    np.testing.assert_allclose(y.array, [1, 2, 3], rtol=1e-6)


def test_bases_of_scalars_and_vectors(x64):
    history, _, graph = window(dtype=np.float64, batch=WINDOWS)
    edges = edge_geometry(history, graph, 2)
    paths = {(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1), (1, 2, 1)}
    assert edges.basis.keys() == paths
    assert {path for path, b in edges.basis.items() if b is None} == {(0, 0, 0), (1, 0, 1)}
    ends = list(enumerate(zip(graph.receivers[0], graph.senders[0], strict=True)))
    for w, t in np.ndindex(WINDOWS, history.shape[2]):
        basis = {path: b[w] for path, b in edges.basis.items() if b is not None}
        for e, (i, j) in ends:
            x = history[w, i, t, 0] - history[w, j, t, 0]
            length = np.linalg.norm(x)
            u = x / length
            expected = {
                (0, 1, 1): 3**0.5 * u[None],
                (1, 1, 0): u[:, None],
                (1, 2, 1): (3 * np.outer(u, u) - np.eye(3)) / 2**0.5,
            }
            np.testing.assert_allclose(edges.length[w, e, t, 0], length, rtol=1e-13)
            for path in expected:
                np.testing.assert_allclose(
                    basis[path][e, t], expected[path], atol=1e-13, err_msg=str(path)
                )


def natural(degree, channels=1):
    return f"{channels}x{degree}{'o' if degree % 2 else 'e'}"


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("radial_weights", ["matrix", "channel"])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_tensor_product_against_e3nn(x64, degree, radial_weights):
    rng = np.random.default_rng(0)
    history, _, graph = window(dtype=np.float64, batch=WINDOWS)
    channels_in, channels = {d: d + 2 for d in range(degree)}, {d: 3 for d in range(degree)}
    features = random_features(rng, 5, 4, channels_in)
    edges = edge_geometry(history, graph, degree)
    layer = TensorProduct(channels, Radial(5, radial_weights))
    variables = random_variables(layer, features, edges)
    actual, params = layer.apply(variables, features, edges), variables["params"]
    assert actual.keys() == channels.keys()

    for w, e, t in ((0, 0, 0), (1, 0, 3), (1, graph.num_edges - 1, 1)):
        i, j, own = graph.receivers[0, e], graph.senders[0, e], of_window(features, w)
        x_ij = history[w, i, t, 0] - history[w, j, t, 0]
        weights = np.concatenate([[np.linalg.norm(x_ij)], graph.edge_features[0, e].astype(float)])
        for k in range(3):
            linear = params["radial"][f"layer_{k}"]
            weights = weights @ linear["kernel"] + linear["bias"]
            weights = silu(weights) if k < 2 else weights
        vector = e3nn_jax.IrrepsArray("1o", x_ij)
        for l_out in channels:
            products = []
            for l_in, m in channels_in.items():
                f = e3nn_jax.IrrepsArray(natural(l_in, m), jnp.ravel(own[l_in][j, t].T))
                for l_filter in range(abs(l_in - l_out), l_in + l_out + 1, 2):
                    y = e3nn_jax.spherical_harmonics(natural(l_filter), vector, True)
                    z = e3nn_jax.tensor_product(f, y, filter_ir_out=natural(l_out)[2:])
                    products.append(z.array.reshape(m, 2 * l_out + 1))
            z = np.concatenate(products)
            if radial_weights == "matrix":
                matrix, weights = weights[: 3 * len(z)].reshape(3, -1), weights[3 * len(z) :]
                expected = matrix @ z / len(z) ** 0.5
            else:
                diagonal, weights = weights[: len(z)], weights[len(z) :]
                expected = params["mix"][f"kernel_{l_out}"].T @ (diagonal[:, None] * z)
            np.testing.assert_allclose(actual[l_out][w, e, t].T, expected, atol=1e-12)
        assert weights.size == 0


def test_convolution_is_the_mean_of_messages_plus_self_interaction(x64):
    rng = np.random.default_rng(0)
    history, _, graph = window(dtype=np.float64, batch=WINDOWS)
    features, channels = random_features(rng, 5, 4, {0: 2}), {0: 3, 1: 2}
    edges, layer = edge_geometry(history, graph, 2), Convolution(channels, Radial())
    variables = random_variables(layer, features, edges)
    actual = layer.apply(variables, features, edges)
    params = variables["params"]
    messages = TensorProduct(channels, Radial()).apply(
        {"params": params["product"]}, features, edges
    )
    for degree, out in actual.items():
        for i in range(5):
            mine = np.flatnonzero(graph.receivers[0] == i)
            expected = np.asarray(messages[degree])[:, mine].sum(1) / max(len(mine), 1)
            if degree == 0:
                kernel = params["self"]["kernel_0"]
                expected = expected + features[0][:, i] @ kernel
            np.testing.assert_allclose(out[:, i], expected, atol=1e-12)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_norm_activation(x64, layer_norm):
    rng = np.random.default_rng(0)
    features = random_features(rng, 3, 2, {0: 4, 1: 4, 2: 4})
    features[1][:, 0] = 0
    layer = NormActivation("leaky_relu", layer_norm)
    variables = random_variables(layer, features)
    actual, params = layer.apply(variables, features), variables["params"]

    def phi(x):
        return np.where(x > 0, x, 0.2 * x)

    for degree, f in features.items():
        size = np.linalg.norm(f, axis=-2) if degree else f[..., 0, :]
        if layer_norm:
            p = params[f"norm_{degree}"]
            z = (size - size.mean(-1, keepdims=True)) / np.sqrt(size.var(-1, keepdims=True) + 1e-5)
            gate = phi(z * p["scale"] + p["bias"])
            direction = f / np.sqrt(size**2 + 1e-6)[..., None, :] if degree else 1
        else:
            gate = phi(size + params[f"bias_{degree}"])
            direction = f if degree else 1
        np.testing.assert_allclose(actual[degree], gate[..., None, :] * direction, atol=1e-12)

    def total(features):
        return sum(jnp.sum(f**2) for f in layer.apply(variables, features).values())

    for gradient in jax.grad(total)(features).values():
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("heads", [1, 2])
def test_attention(x64, heads):
    rng = np.random.default_rng(0)
    history, _, graph = window(dtype=np.float64, batch=WINDOWS)
    features, channels = random_features(rng, 5, 4, {0: 3, 1: 2}), {0: 4, 1: 2}
    radial, edges = Radial(), edge_geometry(history, graph, 2)
    layer = EquivariantAttention(channels, radial, heads)
    variables = random_variables(layer, features, edges)
    actual, params = layer.apply(variables, features, edges), variables["params"]

    def part(module, name, *arguments):
        return module.apply({"params": params[name]}, features, *arguments)

    parts = dict(
        value=part(TensorProduct(channels, radial), "value", edges),
        key=part(TensorProduct(channels, radial), "key", edges),
        query=part(SelfInteraction(channels), "query"),
        own=part(SelfInteraction(channels), "self"),
    )

    def share(f, head):
        width = f.shape[1] // heads
        return f[:, head * width : (head + 1) * width]

    for w, i, t in np.ndindex(WINDOWS, 5, 4):
        value, key, query, own = (of_window(f, w) for f in parts.values())
        senders = np.flatnonzero(graph.receivers[0] == i)
        for degree in channels:
            rows = []
            for head in range(heads):
                q = np.concatenate([share(query[d][i, t], head).ravel() for d in channels])
                keys = [
                    np.concatenate([share(key[d][e, t], head).ravel() for d in channels])
                    for e in senders
                ]
                alpha = np.exp([q @ k / len(q) ** 0.5 for k in keys])
                values = [share(value[degree][e, t], head) for e in senders]
                pairs = zip(alpha / alpha.sum(), values, strict=True)
                rows.append(sum((a * v for a, v in pairs), 0))
            expected = own[degree][i, t] + (np.concatenate(rows, axis=1) if len(senders) else 0)
            np.testing.assert_allclose(actual[degree][w, i, t], expected, atol=1e-12)
