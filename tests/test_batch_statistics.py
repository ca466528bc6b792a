"""STGCN and STAG: batch statistics, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from baselines_cases import MODELS, bind, make_data

from estag_jax.nn.layers import WINDOWS
from estag_jax.nn.stag import Stag, StagConfig
from estag_jax.nn.stgcn import (
    normalized_adjacency,
)

NORMED = ("stgcn", "stag")


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
