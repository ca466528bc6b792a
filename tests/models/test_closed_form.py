"""Closed forms, held against independent computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.walks import random_windows, task_of

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.autoregression import ArLs, ArLsPerNode
from estag_jax.models.catalog import METHODS, YARDSTICKS
from estag_jax.models.copies import (
    ConstantAcceleration,
    ConstantVelocity,
    FirstFrame,
    LastFrame,
    MiddleFrame,
)
from estag_jax.models.linear import LinearPredictor
from estag_jax.models.ridge import VarRidge

pytestmark = pytest.mark.optimised

SHAPES = [(3, 1), (2, 4)]  # (N, C)
METHOD = {name: METHODS[name].config(1) for name in YARDSTICKS}
METHOD = {name: method for name, method in METHOD.items() if not method.vectors}


def all_predictors(nodes=3, frames=5, channels=1):
    """Every closed form that can be fitted, by name."""
    task = task_of(
        random_windows(60, nodes, frames, channels, seed=1),
        random_windows(30, nodes, frames, channels, seed=2),
    )
    return {name: m.fit(task) for name, m in METHOD.items() if m.refuse(task) is None}


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_fixed_forecasts_are_what_their_names_say(nodes, channels):
    x, target = random_windows(4, nodes, 10, channels)
    expected = {
        FirstFrame(): x[:, :, 0],
        MiddleFrame(): x[:, :, 4],
        LastFrame(): x[:, :, 9],
        ConstantVelocity(): 2 * x[:, :, 9] - x[:, :, 8],
        ConstantAcceleration(): 3 * x[:, :, 9] - 3 * x[:, :, 8] + x[:, :, 7],
    }
    for method, value in expected.items():
        predictor = method.fit(task_of((x, target)))
        np.testing.assert_allclose(predictor.predict(x), value, atol=1e-12)
        assert predictor.parameters == 0


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
@pytest.mark.parametrize("horizon", [1, 3])
def test_constant_motion_is_extrapolated_exactly(nodes, channels, horizon):
    """Polynomials of degree 1 and 2, one and several steps ahead."""
    rng = np.random.default_rng(3)
    start, velocity, acceleration = rng.normal(size=(3, nodes, channels, 3))
    t = np.arange(120.0)[:, None, None, None]
    uniform = start + velocity * t
    falling = uniform + acceleration * t**2 / 2
    window = WindowConfig(past=4, delta=2, horizons=(horizon,))

    def error(method, x):
        task = Task(Trajectory.from_arrays(x), window, SplitConfig(), GraphConfig(kind="full"))
        (windows,) = task.windows("train")
        return method.fit(task).predict(windows.history) - windows.target[:, 0]

    np.testing.assert_allclose(error(ConstantVelocity(), uniform), 0, atol=1e-9)
    np.testing.assert_allclose(error(ConstantAcceleration(), uniform), 0, atol=1e-9)
    np.testing.assert_allclose(error(ConstantAcceleration(), falling), 0, atol=1e-9)
    missed = -4 * acceleration * horizon * (horizon + 1) / 2  # of steps of two frames
    off = error(ConstantVelocity(), falling)
    np.testing.assert_allclose(off, np.broadcast_to(missed, off.shape), atol=1e-9)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_forecasts_are_equivariant(nodes, channels):
    rng = np.random.default_rng(10)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= -np.sign(np.linalg.det(rotation))  # improper: a reflection is in it
    shift = 5 * rng.normal(size=3)
    history, _ = random_windows(7, nodes, 5, channels)
    moved = history @ rotation.T + shift
    for name, predictor in all_predictors(nodes, 5, channels).items():
        expected = predictor.predict(history) @ rotation.T + shift
        np.testing.assert_allclose(predictor.predict(moved), expected, atol=1e-11, err_msg=name)
        assert np.abs(expected - predictor.predict(history)).max() > 1


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_jit_numpy_and_single_windows_agree(nodes, channels):
    history, _ = random_windows(6, nodes, 5, channels)
    for predictor in all_predictors(nodes, 5, channels).values():
        predict = predictor.predict
        expected = predict(history)
        assert expected.dtype == np.float64 and expected.shape == (6, nodes, channels, 3)
        nested = predict(history.reshape(2, 3, *history.shape[1:]))
        np.testing.assert_allclose(nested.reshape(expected.shape), expected, atol=1e-12)
        np.testing.assert_allclose(predict(history[0]), expected[0], atol=1e-12)
        single = jnp.asarray(history, jnp.float32)
        for run in (jax.jit(predict), jax.vmap(predict), jax.jit(jax.vmap(predict))):
            assert run(single).dtype == jnp.float32
            np.testing.assert_allclose(run(single), expected, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_predictors_are_differentiated_in_history_and_weights(nodes, channels, x64):
    """Forecasts are linear in both: a finite difference of any size is the derivative."""
    rng = np.random.default_rng(3)
    history, _ = random_windows(3, nodes, 5, channels)
    towards = rng.normal(size=history.shape)
    for name, predictor in all_predictors(nodes, 5, channels).items():
        if not isinstance(predictor, LinearPredictor):
            continue
        predictor = jax.tree.map(jnp.asarray, predictor)
        found = jax.jvp(predictor.predict, (jnp.asarray(history),), (jnp.asarray(towards),))[1]
        expected = predictor.predict(history + towards) - predictor.predict(history)
        np.testing.assert_allclose(found, expected, atol=1e-11, err_msg=name)
        slope = jax.grad(lambda p: p.predict(jnp.asarray(history)).sum())(predictor)
        doubled = LinearPredictor(2 * np.asarray(predictor.weights))
        change = doubled.predict(history).sum() - np.asarray(predictor.predict(history)).sum()
        np.testing.assert_allclose((slope.weights * predictor.weights).sum(), change, atol=1e-9)


def test_closed_forms_are_in_table_order_and_refuse_too_few_frames():
    assert ", ".join(all_predictors()) == (
        "First frame, Middle frame, Last frame, Constant velocity, Constant acceleration, AR-LS, "
        "AR-LS per node, In-context AR, VAR ridge, Frame ridge, Body ridge"
    )
    short = {"Constant acceleration", "In-context AR"}
    assert [*all_predictors(frames=2)] == [n for n in METHOD if n not in short]
    single = all_predictors(frames=1)
    assert [*single] == list(METHOD)[:3]
    history, _ = random_windows(4, frames=1)
    for predictor in single.values():
        np.testing.assert_array_equal(predictor.predict(history), history[:, :, 0])


def test_numpy_input_of_float32_is_predicted_in_float64():
    history, _ = random_windows(5)
    rounded = np.asarray(history + 1e4, np.float32)
    for predictor in all_predictors().values():
        found = predictor.predict(rounded)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, predictor.predict(rounded.astype(np.float64)))


def test_a_node_that_never_moves_stays():
    history, target = random_windows(30)
    history[:, 0], target[:, 0] = 1.0, 1.0
    for method in (ArLs(), ArLsPerNode()):
        predictor = method.fit(task_of((history, target)))
        np.testing.assert_array_equal(predictor.predict(history)[:, 0], 1.0)
    still = np.ones_like(history), np.ones_like(target)
    assert np.isfinite(VarRidge().fit(task_of(still)).weights).all()


def test_wrong_input_is_refused_in_one_line():
    history, target = random_windows(8)
    bad = history.copy()
    bad[0, 0, 0, 0, 0] = np.nan
    good = task_of((history, target))
    one = task_of((history[:, :, :1], target))
    two = task_of((history[:, :, :2], target))
    cases = [
        (lambda: ArLs().fit(one), "at least 2 past frames"),
        (lambda: ArLsPerNode().fit(one), "at least 2 past frames"),
        (lambda: VarRidge().fit(one), "needs 2 past frames, T is 1"),
        (lambda: task_of((history[:0], target[:0]), (history, target)), "train: there are no win"),
        (lambda: ConstantVelocity().fit(one), "needs 2 past frames, T is 1"),
        (lambda: ConstantAcceleration().fit(two), "needs 3 past frames, T is 2"),
        (lambda: task_of((history[0], target)), "expected"),
        (lambda: task_of((history, target[:, :1])), "expected"),
        (lambda: task_of((history, target), (history[:, :, 1:], target)), "different shapes"),
        (lambda: ArLs().fit(task_of((bad, target))), "not finite"),
        (lambda: VarRidge().fit(task_of((history, target), (bad, target))), "not finite"),
        (lambda: LastFrame().fit(good).predict(history[:, :, 1:]), "do not fit"),
        (lambda: LastFrame().fit(good).predict(history[..., 0]), "expected"),
        (lambda: ArLsPerNode().fit(good).predict(history[:, :2]), "do not fit"),
        (lambda: VarRidge().fit(good).predict(history[:, :2]), "do not fit"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
