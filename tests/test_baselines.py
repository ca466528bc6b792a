"""Single-frame and plain networks: layers by hand, symmetries or their proven absence, heads, fits."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebval
from scipy.signal import correlate2d

from estag_jax.nn.agl_stan import (
    AdaptiveGraphConvolution,
    AglStan,
    AglStanConfig,
    chebyshev,
    split_sinusoids,
)
from estag_jax.nn.egnn import StEgnn, StEgnnConfig
from estag_jax.nn.gnn import GnnConfig, MessageLayer, StGnn
from estag_jax.nn.layers import WINDOWS
from estag_jax.nn.single_frame import Egnn, EgnnConfig
from estag_jax.nn.stag import SelfAttention, Stag, StagConfig, sinusoids
from estag_jax.nn.stgcn import (
    GatedConvolution,
    GraphConvolution,
    Stgcn,
    StgcnConfig,
    normalized_adjacency,
)
from estag_jax.testing import assert_equivariant, random_topology, random_window, randomize
from estag_jax.types import Topology

FRAMES = ("first", "middle", "last")
EQUIVARIANT = {f"egnn-{frame}": Egnn(EgnnConfig(frame, hidden=6)) for frame in FRAMES}
EQUIVARIANT["gmn"] = StEgnn(StEgnnConfig.gmn(hidden=6))
PLAIN = {
    "gnn": StGnn(GnnConfig(hidden=6)),
    "stgcn": Stgcn(StgcnConfig(hidden=10, gated=16)),
    "agl_stan": AglStan(AglStanConfig(hidden=4)),
    "stag": Stag(),
}
MODELS = EQUIVARIANT | PLAIN
NORMED = ("stgcn", "stag")
HEADS = ("residual", "softmax", "absolute", "last")
every_model = pytest.mark.parametrize("name", MODELS)
as_dtype = pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"], indirect=True)


def with_head(name, head):
    return MODELS[name].clone(config=dataclasses.replace(MODELS[name].config, head=head))


def make_data(nodes=5, past=6, channels=1, edge_width=1, isolated=1, dtype=np.float32):
    history, features = random_window(1, nodes, past, channels=channels, dtype=dtype)
    graph = random_topology(2, nodes, edge_width=edge_width, isolated=isolated, density=0.7)
    return history, features, graph


def bind(model, *data, key=3):
    shapes = jax.eval_shape(model.init, jax.random.key(0), *data)
    variables = randomize(shapes, key)
    if "batch_stats" in variables:  # variances are positive
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables, jax.jit(partial(model.apply, variables))


@pytest.fixture
def x64(request):
    with jax.enable_x64(request.param):
        yield np.float64 if request.param else np.float32


# Symmetry: what holds, and that what does not hold is not claimed.


@pytest.mark.parametrize(
    "channels, x64",
    [(1, True), (4, True), (1, False)],
    ids=["C=1, float64", "C=4, float64", "C=1, float32"],
    indirect=["x64"],
)
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_equivariant(name, channels, x64):
    data = make_data(channels=channels, dtype=x64)
    _, function = bind(MODELS[name], *data)
    assert_equivariant(function, *data, uses_past=name != "egnn-last")


@pytest.mark.parametrize("head", ["residual", "softmax", "last"])
def test_single_frame_is_equivariant_with_every_head(head):
    with jax.enable_x64(True):
        data = make_data(dtype=np.float64)
        _, function = bind(with_head("egnn-last", head), *data)
        assert_equivariant(function, *data, uses_past=head != "last")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_networks_are_not_equivariant(name, head):
    data = make_data()
    _, function = bind(with_head(name, head), *data)
    # Frame by frame, only two heads look at other frames.
    uses = dict(
        uses_edges=name == "gnn", uses_past=name != "gnn" or head in ("residual", "softmax")
    )
    for kind in ("rotation", "reflection", "translation"):
        with pytest.raises(AssertionError, match=f"^{kind}, near the origin"):
            assert_equivariant(function, *data, kinds=(kind,), **uses)


@as_dtype
def test_gnn_is_permutation_equivariant(x64):
    data = make_data(channels=2, dtype=x64)
    _, function = bind(MODELS["gnn"], *data)
    assert_equivariant(function, *data, kinds=("permutation",))


@pytest.mark.parametrize("name", ["stgcn", "stag", "agl_stan"])
def test_networks_that_know_nodes_apart_are_not_permutation_equivariant(name):
    data = make_data()
    _, function = bind(MODELS[name], *data)
    with pytest.raises(AssertionError, match="^permutation, near the origin"):
        assert_equivariant(function, *data, kinds=("permutation",), uses_edges=False)


@pytest.mark.parametrize("name, matters", [("stgcn", True), ("stag", True), ("agl_stan", False)])
def test_which_networks_look_at_the_graph(name, matters):
    # assert_equivariant turns an edge round, which a symmetric adjacency does not see.
    history, features, graph = make_data()
    _, function = bind(MODELS[name], history, features, graph)
    fewer = Topology(graph.senders[2:], graph.receivers[2:], 5)
    changed = np.abs(function(history, features, fewer) - function(history, features, graph))
    assert (changed.max() > 1e-3) == matters


@pytest.mark.parametrize("frame, seen", [("first", 0), ("middle", 4), ("last", 9)])
def test_only_the_named_frame_is_seen(frame, seen):
    history, features, graph = make_data(past=10)
    _, function = bind(MODELS[f"egnn-{frame}"], history, features, graph)
    jacobian = jax.jacobian(lambda x: function(x, features, graph))(jnp.asarray(history))
    depends = np.abs(jacobian).max(axis=(0, 1, 2, 3, 5, 6)) > 0
    np.testing.assert_array_equal(depends, np.arange(10) == seen)
    still = Egnn(EgnnConfig(frame, layers=0))
    copied = bind(still, history, features, graph)[1](history, features, graph)
    np.testing.assert_allclose(copied, history[:, seen], atol=1e-6)


# Degenerate systems.


@every_model
def test_output_and_gradients_are_finite(name):
    history, features, graph = make_data(channels=2)

    def check(histories, features, graph):
        variables, _ = bind(MODELS[name], histories[0], features, graph)

        @jax.jit
        @partial(jax.grad, argnums=(0, 1), has_aux=True)
        def gradients(params, history):
            out = MODELS[name].apply(variables | {"params": params}, history, features, graph)
            return jnp.sum(out**2), out

        for history in histories:
            gradient, out = gradients(variables["params"], history)
            assert out.shape == (len(history), 2, 3) and out.dtype == history.dtype
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, out)))

    coinciding = np.repeat(history[:1], 5, axis=0)
    still = np.repeat(history[:, :1], 6, axis=1)
    check([coinciding, still, 0 * history], features, graph)
    check([history], features[:, :0], Topology([], [], 5, np.zeros((0, 1), np.float32)))
    check([history[:1]], features[:1], Topology([], [], 1))


@every_model
def test_float64_stays_float64(name):
    with jax.enable_x64(True):
        data = make_data(dtype=np.float64)
        variables = jax.eval_shape(MODELS[name].init, jax.random.key(0), *data)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float64")}
        assert bind(MODELS[name], *data)[1](*data).dtype == np.float64


# Heads: y is what the network puts out, read from the heads that pass it on.


@pytest.mark.parametrize("name", ["egnn-middle", "stgcn", "agl_stan", "stag", "gnn"])
def test_every_head_ends_as_heads_say(name):
    with jax.enable_x64(True):
        data = make_data(channels=2, dtype=np.float64)
        x = data[0]
        variables, _ = bind(with_head(name, "absolute"), *data)
        weights, logits = np.linspace(-0.4, 0.7, 5), np.linspace(-1, 1, 6)
        pooling = {"residual": {"weights": weights}, "softmax": {"logits": logits}}

        def predict(head):
            own = {"pooling": pooling[head]} if head in pooling else {}
            state = variables | {"params": variables["params"] | own}
            return np.asarray(jax.jit(with_head(name, head).apply)(state, *data))

        y = predict("last") - x[:, -1]
        absolute = x[:, 2] + y if name == "egnn-middle" else y
        np.testing.assert_allclose(predict("absolute"), absolute, atol=1e-12)
        past = np.einsum("t,ntcx->ncx", weights, x[:, :-1] - x[:, -1:])
        share = np.exp(logits) / np.exp(logits).sum()
        mean = np.einsum("t,ntcx->ncx", share, x)
        if name == "gnn":  # it has an output for every frame; y is the last one's
            assert np.abs(predict("softmax") - (mean + y)).max() > 1e-3
            assert np.abs(predict("residual") - (x[:, -1] + y + past)).max() > 1e-3
        else:
            np.testing.assert_allclose(predict("residual"), x[:, -1] + y + past, atol=1e-12)
            np.testing.assert_allclose(predict("softmax"), mean + y, atol=1e-12)


def test_gnn_combines_the_outputs_of_all_frames():
    with jax.enable_x64(True):
        history, features, graph = make_data(dtype=np.float64)
        variables, _ = bind(with_head("gnn", "absolute"), history, features, graph)
        params = variables["params"]
        apply = {head: jax.jit(with_head("gnn", head).apply) for head in HEADS}
        numbers = []  # with the window rolled, each frame (and its time embedding) is the last once
        for t in range(6):
            time = np.roll(params["time"], 5 - t, axis=0)
            rolled = {"params": params | {"time": time}}
            x = np.roll(history, 5 - t, axis=1)
            numbers.append(apply["absolute"](rolled, x, features, graph))
        z, logits = np.stack(numbers, axis=1), np.linspace(-1, 1, 6)
        share, weights = np.exp(logits) / np.exp(logits).sum(), np.linspace(-0.5, 0.5, 5)
        state = {"params": params | {"pooling": {"logits": logits}}}
        out = apply["softmax"](state, history, features, graph)
        np.testing.assert_allclose(out, np.einsum("t,ntcx->ncx", share, z), atol=1e-12)
        state = {"params": params | {"pooling": {"weights": weights}}}
        out = apply["residual"](state, history, features, graph)
        z = history + z
        expected = z[:, -1] + np.einsum("t,ntcx->ncx", weights, z[:, :-1] - z[:, -1:])
        np.testing.assert_allclose(out, expected, atol=1e-12)


# Single layers against loops in NumPy.


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


# Batch statistics and dropout.


@pytest.mark.parametrize("name", NORMED)
def test_batch_statistics(name):
    model, (history, features, graph) = MODELS[name], make_data()
    histories = jnp.asarray(history + np.random.default_rng(0).normal(size=(7, *history.shape)))
    variables = jax.jit(model.init)(jax.random.key(0), history, features, graph)
    params, start = variables["params"], variables["batch_stats"]
    assert {leaf.shape for leaf in jax.tree.leaves(start)} == {(5,)}, "one statistic per node"

    @jax.jit
    def train(statistics, histories):
        def one(x):
            state = {"params": params, "batch_stats": statistics}
            return model.apply(state, x, features, graph, mutable=["batch_stats"])

        return jax.vmap(one, out_axes=(0, None), axis_name=WINDOWS)(histories)

    @jax.jit
    def evaluate(statistics, histories):
        state = {"params": params, "batch_stats": statistics}
        return jax.vmap(lambda x: model.apply(state, x, features, graph))(histories)

    out, updated = train(start, histories)
    others = histories.at[1:].add(1.0)
    assert np.abs(train(start, others)[0][0] - out[0]).max() > 1e-4  # training: of the batch
    np.testing.assert_array_equal(evaluate(start, others)[0], evaluate(start, histories)[0])
    statistics = updated["batch_stats"]
    for _ in range(200):
        statistics = train(statistics, histories)[1]["batch_stats"]
    # After many steps the running statistics are those of the batch.
    np.testing.assert_allclose(evaluate(statistics, histories), out, atol=1e-4)
    assert np.abs(evaluate(start, histories) - out).max() > 1e-2


def test_first_running_mean_of_stag():
    history, features, graph = make_data(past=3)
    model, variables = MODELS["stag"], bind(MODELS["stag"], history, features, graph)[0]
    zero = jax.tree.map(np.zeros_like, variables["batch_stats"])
    histories = np.stack([history, 2 * history])

    def one(x):
        state = {"params": variables["params"], "batch_stats": zero}
        return model.apply(state, x, features, graph, mutable=["batch_stats"])

    _, new = jax.jit(jax.vmap(one, out_axes=(0, None), axis_name=WINDOWS))(histories)
    a = np.asarray(normalized_adjacency(graph, np.float32))
    f = np.repeat(features[:, None], 3, axis=1)
    x = [np.concatenate([f, h.reshape(5, 3, 3)], axis=-1) for h in histories]
    theta = variables["params"]["graph"]["theta"]
    convolved = np.maximum(np.einsum("ij,wjtc->witc", a, x) @ theta, 0)
    mean = new["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * convolved.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_dropout_needs_a_key():
    data = make_data()
    variables, function = bind(MODELS["stag"], *data)

    def drop(model, seed):
        apply = jax.jit(lambda key: model.apply(variables, *data, rngs={"dropout": key}))
        return apply(jax.random.key(seed))

    still = function(*data)
    np.testing.assert_allclose(drop(Stag(StagConfig(dropout=0.0)), 0), still, atol=1e-6)
    first, second = drop(MODELS["stag"], 0), drop(MODELS["stag"], 1)
    assert np.abs(first - still).max() > 1e-3 and np.abs(first - second).max() > 1e-3


# Bad input.


def test_impossible_configurations():
    with pytest.raises(ValueError, match="frame is 'next'"):
        EgnnConfig("next")
    for config in (EgnnConfig, GnnConfig, StgcnConfig, StagConfig, AglStanConfig):
        with pytest.raises(ValueError, match="hidden=0"):
            config(hidden=0)
        with pytest.raises(ValueError, match="layers=-1"):
            config(layers=-1)
    with pytest.raises(ValueError, match="order=0"):
        AglStanConfig(order=0)
    with pytest.raises(ValueError, match="not a multiple of heads=3"):
        StagConfig(heads=3)
    with pytest.raises(ValueError, match="dropout=1"):
        StagConfig(dropout=1)


def test_a_window_too_short_for_stgcn():
    data = make_data(past=5)
    with pytest.raises(ValueError, match="needs 6 past frames, the window has 5"):
        jax.eval_shape(Stgcn().init, jax.random.key(0), *data)
    data = make_data(past=6)
    assert jax.eval_shape(Stgcn().init, jax.random.key(0), *data)
