"""STGCN and STAG: batch statistics, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from estag_jax.nn.layers import WINDOWS
from estag_jax.train.experiment import Experiment
from helpers.baselines import MODELS, bind, make_data

from estag_jax.data.splits import SplitConfig
from estag_jax.data.windows import WindowConfig
from estag_jax.models.stag import Stag, StagConfig
from estag_jax.models.stgcn import normalized_adjacency
from estag_jax.simulate.synthetic import SyntheticConfig
from estag_jax.sources.catalog import ReadConfig
from estag_jax.training import step
from estag_jax.training.settings import RunConfig
from estag_jax.training.step import init_state, make_epoch, make_errors

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


def test_dropout_acts_in_training_alone():
    """Another key of the epoch is another loss for the same windows, and the errors know of none."""
    window = WindowConfig(past=4, delta=1)
    experiment = Experiment.prepare(
        RunConfig(
            data="synthetic:springs",
            read=ReadConfig(synthetic=SyntheticConfig(runs=6, frames=40)),
            window=window,
            split=SplitConfig("by-trajectory", train=23, validation=15, test=15),
            model=StagConfig(dropout=0.5),
        )
    )
    data, starts = experiment.dataset, experiment.starts("train")
    variables = experiment.init_variables()
    frozen = optax.sgd(0.0)

    def losses(model):
        # One batch of all windows: their order does not matter.
        epoch = jax.jit(make_epoch(model, frozen, window, len(starts)))
        state = init_state(variables, frozen)
        return [float(epoch(state, jax.random.key(k), 0, starts, data)[1]) for k in (0, 1)]

    with_dropout, without = losses(experiment.model), losses(Stag(StagConfig(dropout=0.0)))
    assert without[0] == pytest.approx(without[1], rel=1e-5)
    assert abs(with_dropout[0] - with_dropout[1]) > 1e-3 * without[0]
    errors = [
        make_errors(model, window, 50)(variables, starts, data)
        for model in (experiment.model, Stag(StagConfig(dropout=0.0)))
    ]
    np.testing.assert_array_equal(*errors)


def test_a_batch_is_filled_up_with_other_windows():
    """Batch statistics see what fills it up: not one window many times."""
    rows, weights = step._fill(jnp.arange(10, 17), 2, 6, 5, jnp.float32)
    np.testing.assert_array_equal(rows, [[10, 11, 12, 13, 14, 10], [15, 16, 10, 11, 12, 10]])
    np.testing.assert_array_equal(weights, [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])
