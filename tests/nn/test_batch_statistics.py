"""STGCN and STAG: batch statistics, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.baselines import bind, make_data
from helpers.node_networks import NODE_NETWORKS
from helpers.springs import task, training

from estag_jax.data.settings import WindowConfig
from estag_jax.models.stag import StagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.nn.node_networks import normalized_adjacency
from estag_jax.training.fit import fit
from estag_jax.training.loop import Loop

NORMED = ("stgcn", "stag")


@pytest.mark.parametrize("name", NORMED)
def test_batch_statistics(name):
    model, (history, features, graph) = NODE_NETWORKS[name], make_data(batch=7)
    histories = jnp.asarray(history)
    variables = jax.jit(model.init)(jax.random.key(0), histories[:1], features, graph)
    params, start = variables["params"], variables["batch_stats"]
    assert {leaf.shape for leaf in jax.tree.leaves(start)} == {(5,)}, "one statistic per node"

    @jax.jit
    def train(statistics, histories):
        state = {"params": params, "batch_stats": statistics}
        return model.apply(state, histories, features, graph, mutable=["batch_stats"])

    @jax.jit
    def evaluate(statistics, histories):
        return model.apply(
            {"params": params, "batch_stats": statistics}, histories, features, graph
        )

    out, updated = train(start, histories)
    others = histories.at[1:].add(1.0)
    assert np.abs(train(start, others)[0][0] - out[0]).max() > 1e-4  # training: of the batch
    np.testing.assert_allclose(
        evaluate(start, others)[0], evaluate(start, histories)[0], rtol=1e-5, atol=1e-6
    )
    statistics = updated["batch_stats"]
    for _ in range(200):
        statistics = train(statistics, histories)[1]["batch_stats"]
    # After many steps the running statistics are those of the batch.
    np.testing.assert_allclose(evaluate(statistics, histories), out, atol=1e-4)
    assert np.abs(evaluate(start, histories) - out).max() > 1e-2


def test_first_running_mean_of_stag():
    history, features, graph = make_data(past=3)
    model = NODE_NETWORKS["stag"]
    variables = bind(model, history, features, graph)[0]
    zero = jax.tree.map(np.zeros_like, variables["batch_stats"])
    histories = np.concatenate([history, 2 * history])
    state = {"params": variables["params"], "batch_stats": zero}
    _, new = jax.jit(lambda x: model.apply(state, x, features, graph, mutable=["batch_stats"]))(
        histories
    )
    a = np.asarray(normalized_adjacency(graph, np.float32))[0]
    f = np.repeat(features[0][:, None], 3, axis=1)
    x = [np.concatenate([f, h.reshape(5, 3, 3)], axis=-1) for h in histories]
    theta = variables["params"]["graph"]["theta"]
    convolved = np.maximum(np.einsum("ij,wjtc->witc", a, x) @ theta, 0)
    mean = new["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * convolved.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_dropout_needs_a_key():
    data, model = make_data(), NODE_NETWORKS["stag"]
    variables, function = bind(model, *data)

    def drop(model, seed):
        apply = jax.jit(lambda key: model.apply(variables, *data, rngs={"dropout": key}))
        return apply(jax.random.key(seed))

    still = function(*data)
    np.testing.assert_allclose(drop(StagConfig(dropout=0.0).build(), 0), still, atol=1e-6)
    first, second = drop(model, 0), drop(model, 1)
    assert np.abs(first - still).max() > 1e-3 and np.abs(first - second).max() > 1e-3


def test_dropout_acts_in_training_alone():
    """Another key of the epoch is another loss for the same windows, and validation knows of none."""
    of, frozen = task(window=WindowConfig(past=4, delta=1)), optax.sgd(0.0)
    fits = {
        (rate, seed): fit(
            StagConfig(dropout=rate), of, train=training(2, batch=100), optimizer=frozen, seeds=(1,)
        )
        for rate, seed in ((0.5, 1), (0.0, 1))
    }
    noisy, still = fits[0.5, 1].log, fits[0.0, 1].log
    assert abs(noisy[0]["train_loss"] - still[0]["train_loss"]) > 1e-3 * still[0]["train_loss"]
    loop = Loop("STAG", StagConfig(dropout=0.5), of, (1,), training(4, batch=100), None, frozen)
    losses = [entry["train_loss"] for entry in loop.run([]).log]
    assert abs(losses[0] - losses[1]) > 1e-4 * losses[0]


def test_running_statistics_are_learnt_and_used():
    method = StgcnConfig(layers=1)
    of = task(window=WindowConfig(past=6, delta=1))
    loop = Loop("STGCN", method, of, (1,), training(4))
    before = jax.tree.map(np.asarray, loop.state.variables["batch_stats"])
    after = loop.run([]).predictor.variables["batch_stats"]
    moved = [
        float(np.abs(b[0] - a).max())
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True)
    ]
    assert min(moved) > 0
