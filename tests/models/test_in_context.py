"""In-context autoregression: weights of a window's own, held against least squares spelled out."""

import dataclasses

import numpy as np
import pytest
from helpers.springs import task
from helpers.walks import random_windows, task_of

from estag_jax.models.autoregression import ArLs
from estag_jax.models.in_context import STRENGTHS, InContextAr, InContextPredictor
from estag_jax.testing.symmetry import random_symmetry

pytestmark = pytest.mark.optimised


def swings(windows, nodes=4, frames=10, channels=1, seed=0):
    """Every window swings at a frequency of its own: x(t) = a cos(ωt) + b sin(ωt) + c."""
    rng = np.random.default_rng(seed)
    omega = rng.uniform(0.2, 2, size=(windows, 1, 1, 1, 1))
    a, b, c = rng.normal(size=(3, windows, nodes, 1, channels, 3))
    t = np.arange(frames + 1)[:, None, None]
    x = a * np.cos(omega * t) + b * np.sin(omega * t) + c
    return x[:, :, :-1], x[:, :, -1]


def test_windows_with_dynamics_of_their_own_are_forecast_exactly():
    train, test = swings(30, seed=1), swings(20, seed=2)
    predictor = InContextAr(order=2).fit(task_of(train))
    assert float(predictor.strength) == STRENGTHS[0]
    step = np.abs(test[1] - test[0][:, :, -1]).max()
    assert np.abs(predictor.predict(test[0]) - test[1]).max() < 1e-5 * step
    shared = ArLs().fit(task_of(train)).predict(test[0])
    assert np.abs(shared - test[1]).max() > 0.1 * step


@pytest.mark.parametrize("strength", [1e-9, 0.3, np.inf])
def test_weights_are_damped_least_squares_in_each_window(strength):
    history, _ = random_windows(5, 3, 8, channels=2)
    common = np.array([0.5, -0.2, 0.1])
    found = InContextPredictor(common, np.float64(strength)).predict(history)
    for w, x in enumerate(np.moveaxis(history, 2, 1)):
        v = np.diff(x, axis=0)
        rows = np.array([[v[t - k].ravel() for k in (1, 2, 3)] for t in range(3, 7)])
        design = np.moveaxis(rows, 1, 2).reshape(-1, 3)
        right = v[3:].reshape(-1)
        size = np.trace(design.T @ design) / 3
        weights = common
        if np.isfinite(strength):
            root = np.sqrt(strength * size) * np.eye(3)
            stacked = np.concatenate([design, root]), np.concatenate([right, root @ common])
            weights = np.linalg.lstsq(*stacked, rcond=None)[0]
        expected = x[-1] + sum(weights[k] * v[-1 - k] for k in range(3))
        np.testing.assert_allclose(found[w], expected, rtol=1e-7, atol=1e-7)


def test_common_weights_are_those_of_all_training_windows():
    history, target = random_windows(20, 3, 6)
    predictor = InContextAr().fit(task_of((history, target)))
    assert predictor.common.shape == (3,) and predictor.parameters == 4
    v = np.diff(history, axis=2)
    rows = np.stack([v[:, :, 3 - k : 5 - k].ravel() for k in (1, 2, 3)], axis=1)
    expected = np.linalg.lstsq(rows, v[:, :, 3:].ravel(), rcond=None)[0]
    np.testing.assert_allclose(predictor.common, expected, rtol=1e-8)


def test_it_is_equivariant_to_names_too_and_takes_several_systems():
    predictor = InContextAr().fit(task((3, 5)))
    symmetry = random_symmetry(0, 4, "reflection")
    history, _ = random_windows(6, 4, 4)
    found = predictor.predict(history)
    assert np.abs(symmetry.on_positions(found) - found).max() > 1
    moved = predictor.predict(symmetry.on_positions(history))
    np.testing.assert_allclose(moved, symmetry.on_positions(found), atol=1e-9)


def test_windows_that_stand_still_and_short_ones():
    still = np.ones((10, 2, 6, 1, 3))
    predictor = InContextAr().fit(task_of((still, still[:, :, 0])))
    np.testing.assert_array_equal(predictor.predict(still), still[:, :, 0])
    assert "needs 3 past frames, T is 2" in InContextAr().refuse(task_of(random_windows(9, 2, 2)))
    assert "needs 5 past frames" in InContextAr(order=3).refuse(task_of(random_windows(9, 2, 4)))
    with pytest.raises(ValueError, match="order is 0"):
        dataclasses.replace(InContextAr(), order=0)
    with pytest.raises(ValueError, match="with T > 3"):
        predictor.predict(still[:, :, :3])
