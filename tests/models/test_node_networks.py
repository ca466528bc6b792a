"""STGCN, STAG, AGL-STAN and siMLPe: what symmetry they lack, heads, batch statistics, dropout, bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import bind, make_data, with_head
from helpers.node_networks import NODE_NETWORKS

from estag_jax.graph import Graph, stack
from estag_jax.models.agl_stan import AglStanConfig
from estag_jax.models.simlpe import SiMlpeConfig
from estag_jax.models.stag import StagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.nn.node_networks import normalized_adjacency
from estag_jax.testing import assert_equivariant, assert_windows_independent

HEADS = ("residual", "softmax", "absolute", "last")
every_network = pytest.mark.parametrize("name", NODE_NETWORKS)
with_statistics = pytest.mark.parametrize("name", ["stgcn", "stag"])


# Symmetry: that what does not hold is not claimed.


@pytest.mark.parametrize("head", HEADS)
@every_network
def test_not_equivariant(name, head):
    data = make_data()
    _, function = bind(with_head(NODE_NETWORKS[name], head), *data)
    # siMLPe sees positions about the centroid, to which the head absolute adds nothing.
    moves_along = name == "simlpe" and head != "absolute"
    for kind in ("rotation", "reflection", *["translation"] * (not moves_along)):
        with pytest.raises(AssertionError, match=f"^{kind}, near the origin"):
            assert_equivariant(function, *data, kinds=(kind,), uses_edges=False)


@every_network
def test_not_permutation_equivariant(name):
    data = make_data()
    _, function = bind(NODE_NETWORKS[name], *data)
    with pytest.raises(AssertionError, match="^permutation, near the origin"):
        assert_equivariant(function, *data, kinds=("permutation",), uses_edges=False)


@every_network
def test_which_networks_look_at_the_graph(name):
    # assert_equivariant turns an edge round, which a symmetric adjacency does not see.
    history, features, graph = make_data()
    _, function = bind(NODE_NETWORKS[name], history, features, graph)
    fewer = Graph(graph.senders[0, 2:], graph.receivers[0, 2:], 5)
    changed = np.abs(function(history, features, fewer) - function(history, features, graph))
    assert (changed.max() > 1e-3) == (name in ("stgcn", "stag"))


# Batches.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_network
def test_other_windows_change_nothing(name, dtype):
    with jax.enable_x64(dtype == np.float64):
        history, features, graph = make_data(channels=2, batch=3, dtype=dtype)
        variables, _ = bind(NODE_NETWORKS[name], history, features, graph)
        # With larger parameters: else STGCN puts out nearly the same for every window.
        larger = variables | {"params": jax.tree.map(lambda p: 3 * p, variables["params"])}
        function = jax.jit(partial(NODE_NETWORKS[name].apply, larger))
        assert_windows_independent(function, history, features, graph)
        # One graph a window, with equally many edges: no padding.
        graphs = stack([graph.permute(np.roll(np.arange(5), i)) for i in range(3)])
        assert graphs.node_mask is None
        own = np.concatenate([features, -features, 2 * features])
        assert_windows_independent(function, history, own, graphs)


@every_network
def test_padded_graphs_are_refused(name):
    history, features, graph = make_data()
    model = NODE_NETWORKS[name]
    assert model.refuse(1, graph) is None
    padded = graph.pad(6, graph.num_edges)
    message = "has parameters of single nodes and takes no padded graphs"
    assert message in model.refuse(1, padded)
    grown = [np.pad(a, [(0, 0), (0, 1)] + [(0, 0)] * (a.ndim - 2)) for a in (history, features)]
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), *grown, padded)


@with_statistics
def test_batch_statistics(name):
    model, (history, features, graph) = NODE_NETWORKS[name], make_data()
    noise = np.random.default_rng(0).normal(size=(7, *history.shape[1:]))
    histories = jnp.asarray(history + noise, jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), history, features, graph)
    params, start = variables["params"], variables["batch_stats"]
    assert {leaf.shape for leaf in jax.tree.leaves(start)} == {(5,)}, "one statistic per node"

    @jax.jit
    def train(statistics, histories):
        state = {"params": params, "batch_stats": statistics}
        return model.apply(state, histories, features, graph, mutable=["batch_stats"])

    @jax.jit
    def evaluate(statistics, histories):
        state = {"params": params, "batch_stats": statistics}
        return model.apply(state, histories, features, graph)

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
    histories, features, graph = make_data(past=3, batch=2)
    model = NODE_NETWORKS["stag"]
    variables, _ = bind(model, histories, features, graph)
    zero = jax.tree.map(np.zeros_like, variables["batch_stats"])
    state = {"params": variables["params"], "batch_stats": zero}
    train = jax.jit(partial(model.apply, mutable=["batch_stats"]))
    _, new = train(state, histories, features, graph)
    (a,) = np.asarray(normalized_adjacency(graph, np.float32))
    f = np.repeat(features[0][:, None], 3, axis=1)
    x = [np.concatenate([f, h.reshape(5, 3, 3)], axis=-1) for h in histories]
    theta = variables["params"]["graph"]["theta"]
    convolved = np.maximum(np.einsum("ij,wjtc->witc", a, x) @ theta, 0)
    mean = new["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * convolved.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_dropout_needs_a_key():
    data = make_data(batch=2)
    data = np.repeat(data[0][:1], 2, axis=0), *data[1:]
    variables, function = bind(NODE_NETWORKS["stag"], *data)

    def drop(model, seed):
        apply = jax.jit(lambda key: model.apply(variables, *data, rngs={"dropout": key}))
        return apply(jax.random.key(seed))

    still = function(*data)
    np.testing.assert_allclose(drop(StagConfig(dropout=0.0).build(), 0), still, atol=1e-6)
    first, second = (drop(NODE_NETWORKS["stag"], seed) for seed in (0, 1))
    assert np.abs(first - still).max() > 1e-3 and np.abs(first - second).max() > 1e-3
    assert np.abs(first[0] - first[1]).max() > 1e-3, "every window drops its own"


# Degenerate systems.


@every_network
def test_output_and_gradients_are_finite(name):
    history, features, graph = make_data(channels=2)

    def check(histories, features, graph):
        variables, _ = bind(NODE_NETWORKS[name], histories, features, graph)

        @jax.jit
        @partial(jax.grad, argnums=(0, 1), has_aux=True)
        def gradients(params, history):
            state = variables | {"params": params}
            out = NODE_NETWORKS[name].apply(state, history, features, graph)
            return jnp.sum(out**2), out

        gradient, out = gradients(variables["params"], histories)
        assert out.shape == (*histories.shape[:2], 2, 3) and out.dtype == histories.dtype
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, out)))

    coinciding = np.repeat(history[:, :1], 5, axis=1)
    still = np.repeat(history[:, :, :1], 6, axis=2)
    check(np.concatenate([coinciding, still, 0 * history]), features, graph)
    check(history, features[..., :0], Graph([], [], 5, np.zeros((0, 1), np.float32)))
    check(history[:, :1], features[:, :1], Graph([], [], 1))


@every_network
def test_float64_stays_float64(name):
    with jax.enable_x64(True):
        data = make_data(dtype=np.float64)
        variables = jax.eval_shape(NODE_NETWORKS[name].init, jax.random.key(0), *data)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float64")}
        assert bind(NODE_NETWORKS[name], *data)[1](*data).dtype == np.float64


# Heads: y is what the network puts out, read from the heads that pass it on.


@every_network
def test_every_head_ends_as_heads_say(name):
    with jax.enable_x64(True):
        data = make_data(channels=2, dtype=np.float64)
        x, model = data[0], NODE_NETWORKS[name]
        variables, _ = bind(with_head(model, "absolute"), *data)
        weights, logits = np.linspace(-0.4, 0.7, 5), np.linspace(-1, 1, 6)
        pooling = {"residual": {"weights": weights}, "softmax": {"logits": logits}}

        def predict(head):
            own = {"pooling": pooling[head]} if head in pooling else {}
            state = variables | {"params": variables["params"] | own}
            return np.asarray(jax.jit(with_head(model, head).apply)(state, *data))

        last = x[:, :, -1]
        y = predict("last") - last
        np.testing.assert_allclose(predict("absolute"), y, atol=1e-12)
        past = np.einsum("t,bntcx->bncx", weights, x[:, :, :-1] - last[:, :, None])
        share = np.exp(logits) / np.exp(logits).sum()
        mean = np.einsum("t,bntcx->bncx", share, x)
        np.testing.assert_allclose(predict("residual"), last + y + past, atol=1e-12)
        np.testing.assert_allclose(predict("softmax"), mean + y, atol=1e-12)


# Bad input.


def test_impossible_configurations():
    for config in (StgcnConfig, StagConfig, AglStanConfig, SiMlpeConfig):
        with pytest.raises(ValueError, match="hidden=0"):
            config(hidden=0)
        with pytest.raises(ValueError, match="layers=-1"):
            config(layers=-1)
    with pytest.raises(ValueError, match="gated=0"):
        StgcnConfig(gated=0)
    with pytest.raises(ValueError, match="order=0"):
        AglStanConfig(order=0)
    with pytest.raises(ValueError, match="not a multiple of heads=3"):
        StagConfig(heads=3)
    with pytest.raises(ValueError, match="dropout=1"):
        StagConfig(dropout=1)


def test_a_window_too_short_for_stgcn():
    stgcn, data = StgcnConfig().build(), make_data(past=5)
    with pytest.raises(ValueError, match="needs 6 past frames, the window has 5"):
        jax.eval_shape(stgcn.init, jax.random.key(0), *data)
    assert jax.eval_shape(stgcn.init, jax.random.key(0), *make_data(past=6))
