"""Forecasters: pure functions for other JAX code."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.forecasters import histories, with_random_weights
from helpers.springs import QUICK, frames, task, training

from estag_jax.data.settings import WindowConfig
from estag_jax.models import compiled
from estag_jax.models.base import Network
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.training.fit import fit


class Counting(nn.Module):
    """The last frame and a learnt multiple of the last step; says when it is traced."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        weight = self.param("weight", nn.initializers.ones, (), history.dtype)
        if isinstance(history, jax.core.Tracer):
            TRACES.append(isinstance(weight, jax.core.Tracer))
        return history[:, :, -1] + weight * (history[:, :, -1] - history[:, :, -2])


TRACES = []


def test_jit_over_a_forecaster_neither_retraces_nor_bakes_weights_in():
    of = task()
    forecaster = fit(Network(Counting()), of, train=training(1)).forecaster
    history = jnp.asarray(histories(of)[0])
    run = jax.jit(lambda f, h: f.predict(h))
    TRACES.clear()
    first = run(forecaster, history)
    assert TRACES == [True]
    found = {}
    for scale in (0.0, 2.0):
        other = jax.tree.map(lambda leaf: leaf * 0 + scale, forecaster.predictor)  # noqa: B023
        found[scale] = run(dataclasses.replace(forecaster, predictor=other), history)
    assert TRACES == [True]  # not traced again, and the weight was no constant
    last, before = history[:, -1], history[:, -2]
    np.testing.assert_allclose(found[0.0], last, rtol=1e-6)
    np.testing.assert_allclose(found[2.0], 3 * last - 2 * before, rtol=1e-5, atol=1e-6)
    assert np.abs(first - found[0.0]).max() > 1e-3


def test_arrays_of_numpy_are_converted_once_for_each_precision():
    """First within a trace, whose values do not outlive it."""
    of = task()
    bound = fit(FrameKernel(steps=(0, 0), samples=40), of).forecaster
    history = histories(of)[0].astype(np.float32)
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(bound.predictor))
    traced = jax.jit(lambda h: bound.predict(h))(history)
    np.testing.assert_allclose(bound.predict(history), traced, atol=1e-5)
    assert compiled.placed(bound) is compiled.placed(bound)
    with jax.enable_x64(True):
        exact = bound.predict(history.astype(np.float64))
        assert compiled.placed(bound).alpha.dtype == np.float64
    np.testing.assert_allclose(exact, bound.predictor.predict(history), atol=1e-9)
    assert compiled.placed(bound).alpha.dtype == np.float32


def test_everything_that_is_an_array_is_a_leaf(network):
    leaves = jax.tree.leaves(network)
    sizes = sum(np.size(leaf) for leaf in leaves)
    graph, features = network.system.graph, network.system.inputs()
    ends = graph.senders.size + graph.receivers.size
    assert sizes >= network.predictor.parameters + features.size + ends
    compiled = jax.jit(lambda f, h: f.predict(h)).lower(network, histories_like(network))
    assert "dense_resource" not in compiled.as_text()
    again = jax.tree.unflatten(jax.tree.structure(network), leaves)
    assert again.system is network.system and again.method == network.method


def histories_like(forecaster):
    shape = forecaster.system.num_nodes, forecaster.past, forecaster.system.channels, 3
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_vmap_and_batches_are_single_calls(network, molecule):
    batch = jnp.asarray(histories(molecule)[:3])
    predict, roll = jax.jit(network.predict), jax.jit(lambda h: network.rollout(h, 3))
    single = np.stack([predict(window) for window in batch])
    for many in (predict(batch), jax.jit(jax.vmap(network.predict))(batch)):
        np.testing.assert_allclose(many, single, rtol=1e-5, atol=1e-5)
    rolled = np.stack([roll(window) for window in batch], axis=1)
    np.testing.assert_allclose(roll(batch), rolled, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_differences(x64):
    of = task(dtype=np.float64)
    forecaster = with_random_weights(QUICK, of)
    history = jnp.asarray(histories(of)[0])
    rng = np.random.default_rng(2)
    towards = jnp.asarray(rng.normal(size=history.shape))

    @jax.jit
    def loss(f, h):
        return (f.rollout(h, 2) ** 2).mean()

    slope = jnp.vdot(jax.jit(jax.grad(loss, 1))(forecaster, history), towards)
    ahead, back = (loss(forecaster, history + s * 1e-5 * towards) for s in (1, -1))
    np.testing.assert_allclose(slope, (ahead - back) / 2e-5, rtol=1e-5)

    def of_weights(variables):
        predictor = dataclasses.replace(forecaster.predictor, variables=variables)
        return loss(dataclasses.replace(forecaster, predictor=predictor), history)

    variables = forecaster.predictor.variables
    along = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), variables)
    slope = jax.jit(lambda v, a: jax.jvp(of_weights, (v,), (a,))[1])(variables, along)
    ahead, back = (
        of_weights(jax.tree.map(lambda v, a: v + s * 1e-5 * a, variables, along))  # noqa: B023
        for s in (1, -1)
    )
    np.testing.assert_allclose(slope, (ahead - back) / 2e-5, rtol=1e-4)
    assert abs(slope) > 1e-6


def test_a_rollout_is_a_loop(network, molecule):
    history = histories(molecule)[0]
    expected, moving, predict = [], history, jax.jit(network.predict)
    for _ in range(5):
        expected.append(np.asarray(predict(moving)))
        moving = np.concatenate([moving[:, 1:], expected[-1][:, None]], axis=1)
    for roll in (jax.jit(lambda f, h: f.rollout(h, 5)), lambda f, h: f.rollout(h, 5)):
        found = roll(network, history)
        assert found.shape == (5, 4, 2, 3)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_rollout_of_numbers_takes_the_fast_path_and_a_traced_one_does_not(network, monkeypatch):
    taken, rolled = [], compiled.rollout

    def recorded(predictor, *rest):
        taken.append(predictor.module.features_first)
        return rolled(predictor, *rest)

    monkeypatch.setattr(compiled, "rollout", recorded)
    history = jnp.zeros((network.system.num_nodes, network.past, network.system.channels, 3))
    network.rollout(history, 1)
    jax.eval_shape(lambda h: network.rollout(h, 1), history)
    jax.eval_shape(lambda f: f.rollout(history, 1), network)
    assert taken == [True, False, False]


def test_a_forecaster_that_looks_further_cannot_be_rolled_out():
    of = task(window=WindowConfig(past=4, delta=2, horizons=(3,)))
    forecaster = fit("constant velocity", of).forecaster
    assert forecaster.horizon == 3
    with pytest.raises(ValueError, match=r"looks 3 steps ahead .*--window.horizons 1"):
        forecaster.rollout(histories(of)[0], 2)


def test_another_shape_is_refused_with_the_one_expected(network):
    good = histories_like(network)
    assert jax.eval_shape(network.predict, good).shape == (4, 2, 3)
    for bad in (good[:3], good[:, 1:], good[:, :, :1], good[..., :2], good[None, None], good[0]):
        with pytest.raises(ValueError, match=r"expected \(4, 4, 2, 3\), or \(windows") as raised:
            network.predict(bad)
        assert str(bad.shape) in str(raised.value)
    with pytest.raises(ValueError, match="expected"):
        network.rollout(good[:3], 2)


def test_histories_are_cut_from_frames(network, molecule):
    positions = molecule.trajectories[0].positions
    (windows,) = molecule.windows("test")
    start = int(windows.starts[3])
    np.testing.assert_array_equal(network.history(positions, start), windows.history[3])
    assert network.past == 4 and network.history(positions[:7]).shape == (4, 4, 2, 3)
    for call, message in (
        (lambda: network.history(positions[:6]), r"needs frames 0 to 6 .*T=4, Δ=2.* there are 6"),
        (lambda: network.history(positions, 394), "needs frames 394 to 400 .* there are 400"),
        (lambda: network.history(positions, -1), "from frame -1"),
        (lambda: network.history(positions[:, :3]), r"expected \(frames, \*\(4, 2, 3\)\)"),
        (lambda: network.history(positions[:, :, 0]), r"\(400, 4, 1, 3\), expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    single = fit("last frame", task()).forecaster
    np.testing.assert_array_equal(single.history(frames())[:, :, 0], frames()[:7:2].swapaxes(0, 1))


def test_a_forecaster_says_what_it_is_in_one_line(network):
    number = f"{network.predictor.parameters:,}"
    assert repr(network) == f"Forecaster(EgnnConfig, 4 nodes, T=4, Δ=2, {number} parameters)"
    named = fit("last frame", task()).forecaster
    assert repr(named) == "Forecaster(Last frame, 3 nodes, T=4, Δ=2, 0 parameters)"
