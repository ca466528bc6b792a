"""AR-LS and VAR ridge, held against explicit design matrices."""

import numpy as np
import pytest
from helpers.walks import random_windows, task_of

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation import metrics
from estag_jax.models import autoregression
from estag_jax.models.autoregression import ArLs, ArLsPerNode
from estag_jax.models.linear import LinearPredictor
from estag_jax.models.ridge import VarRidge

pytestmark = pytest.mark.optimised

SHAPES = [(3, 1), (2, 4)]  # (N, C)


def oscillator_windows(windows, frames, nodes=4, channels=1, seed=0):
    """Points on springs to each other, free to drift: exact solutions at a fixed step.

    x(t) = offset + drift t + sum_k cos(ω_k t) a_k + sin(ω_k t) b_k along the normal modes k; the
    velocities v(t) = x(t+1) - x(t) obey v(t+1) = 2 cos(Ω) v(t) - v(t-1) with a coupled matrix Ω.
    """
    rng = np.random.default_rng(seed)
    points = nodes * channels
    springs = np.random.default_rng(99).uniform(0.2, 1.0, (points, points))
    springs = np.triu(springs, 1) + np.triu(springs, 1).T
    squares, modes = np.linalg.eigh(np.diag(springs.sum(1)) - springs)
    omega = 0.5 * np.sqrt(np.maximum(squares, 0))
    t = np.arange(frames + 1)
    a, b = rng.normal(size=(2, windows, points, 3))
    swing = a[:, :, None] * np.cos(omega[:, None] * t)[..., None]
    swing = swing + b[:, :, None] * np.sin(omega[:, None] * t)[..., None]
    x = np.einsum("pk,wktx->wptx", modes, swing)
    rest = np.random.default_rng(98).normal(size=(points, 1, 3))
    x = x + rest + rng.normal(size=(windows, 1, 1, 3)) * t[:, None]
    x = np.moveaxis(x.reshape(windows, nodes, channels, frames + 1, 3), 2, 3)
    return x[:, :, :-1], x[:, :, -1]


def ar_rows(history, target):
    """Designs and steps of AR-LS spelled out, and whose node and channel each row is."""
    windows, nodes, frames, channels, _ = history.shape
    rows, steps, owner = [], [], []
    for w, i, c, axis in np.ndindex(windows, nodes, channels, 3):
        path = history[w, i, :, c, axis].astype(np.float64)
        rows.append([path[t] - path[-1] for t in range(frames - 1)])
        steps.append(target[w, i, c, axis] - path[-1])
        owner.append((i, c))
    return np.array(rows), np.array(steps), np.array(owner)


def test_ar_is_lstsq_on_an_explicit_design_matrix():
    for nodes, channels in SHAPES:
        windows = random_windows(12, nodes, 4, channels)
        rows, steps, owner = ar_rows(*windows)
        shared, own = (method.fit(task_of(windows)) for method in (ArLs(), ArLsPerNode()))
        np.testing.assert_allclose(shared.weights, np.linalg.lstsq(rows, steps)[0], rtol=1e-10)
        for i, c in np.ndindex(nodes, channels):
            mine = (owner == (i, c)).all(1)
            expected = np.linalg.lstsq(rows[mine], steps[mine])[0]
            np.testing.assert_allclose(own.weights[i, c], expected, rtol=1e-10)
        assert (shared.parameters, own.parameters) == (3, 3 * nodes * channels)
        history, target = windows
        assert metrics.mse(own.predict(history), target) < metrics.mse(
            shared.predict(history), target
        )


@pytest.mark.parametrize("block", [1, 8 * 3 * 5 * 3 * 7, 8 * 3 * 5 * 40])
def test_fits_in_blocks_are_fits_of_all_at_once(block, monkeypatch):
    """Of single windows and nodes, of 7 of 40 windows, and of one node and then the last ones."""
    windows = random_windows(40, nodes=5, frames=5)
    whole = ArLsPerNode().fit(task_of(windows)).weights
    monkeypatch.setattr(autoregression, "_BLOCK", block)
    rows, steps, _ = ar_rows(*windows)
    expected = np.linalg.lstsq(rows, steps)[0]
    np.testing.assert_allclose(ArLs().fit(task_of(windows)).weights, expected, rtol=1e-10)
    np.testing.assert_array_equal(ArLsPerNode().fit(task_of(windows)).weights, whole)


def test_ar_shares_its_weights_among_systems_of_different_sizes():
    walks = [np.random.default_rng(n).normal(size=(90, n, 3)).cumsum(0) for n in (3, 5)]
    walks[1] = walks[1] + 0.5 * np.roll(walks[1], 1, axis=0)  # with a memory of its own
    given = [Trajectory.from_arrays(walk) for walk in walks]
    of = Task(given, WindowConfig(past=4, delta=1), SplitConfig(), GraphConfig(kind="full"))
    parts = [ar_rows(w.history, w.target[:, 0])[:2] for w in of.windows("train")]
    rows, steps = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    fitted = ArLs().fit(of)
    np.testing.assert_allclose(fitted.weights, np.linalg.lstsq(rows, steps)[0], rtol=1e-9)
    for part in parts:
        assert np.abs(fitted.weights - np.linalg.lstsq(*part)[0]).max() > 1e-3
    for windows in of.windows("test"):
        assert fitted.predict(windows.history).shape == windows.target[:, 0].shape
    for method in (ArLsPerNode(), VarRidge()):
        assert "one system and the task has several" in method.refuse(of)


def test_training_loss_is_stationary_at_the_ar_weights():
    history, target = random_windows(20)
    fitted = ArLs().fit(task_of((history, target)))

    def loss(weights):
        return metrics.mse(LinearPredictor(weights).predict(history), target)

    for unit in np.eye(4):
        step = 1e-4 * unit
        # The loss is quadratic in the weights, so the central difference is its exact derivative.
        slope = (loss(fitted.weights + step) - loss(fitted.weights - step)) / 2e-4
        away = (loss(fitted.weights + 1.1 * unit) - loss(fitted.weights + 0.9 * unit)) / 0.2
        assert abs(slope) < 1e-9 < 1e-2 < away


def explicit_rows(history, target, centred):
    """The regression of VAR ridge spelled out, a row for each window and coordinate."""
    windows, nodes, frames, channels, _ = history.shape
    rows, steps = [], []
    for w, axis in np.ndindex(windows, 3):
        x, row = history[w, ..., axis], []
        for i, c in np.ndindex(nodes, channels):
            row += [x[i, t, c] - x[i, -1, c] for t in range(frames - 1)]
            row += [x[i, -1, c] - x[:, -1].mean()] * centred
        rows.append(row)
        steps.append((target[w, ..., axis] - x[:, -1]).ravel())
    return np.array(rows), np.array(steps)


def explicit_ridge(rows, steps, ridge):
    gram = rows.T @ rows
    return np.linalg.solve(gram + ridge * np.diag(gram).mean() * np.eye(len(gram)), rows.T @ steps)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
@pytest.mark.parametrize("centred", [True, False])
def test_var_ridge_is_ridge_on_explicit_rows(nodes, channels, centred):
    history, target = random_windows(30, nodes, 4, channels, seed=5)
    validation = random_windows(30, nodes, 4, channels, seed=6)
    fitted = VarRidge(centred=centred).fit(task_of((history, target), validation))
    rows, steps = explicit_rows(history, target, centred)
    expected = explicit_ridge(rows, steps, fitted.ridge)
    points = nodes * channels
    assert fitted.weights.shape == (points, points, 4) and fitted.parameters == expected.size
    used = fitted.weights if centred else fitted.weights[..., :-1]
    np.testing.assert_allclose(used.reshape(points, -1), expected.T, atol=1e-10)
    assert centred == bool(fitted.weights[..., -1].any())
    _, predicted = explicit_rows(history, fitted.predict(history), centred)
    np.testing.assert_allclose(predicted, rows @ expected, atol=1e-10)


def test_chosen_ridge_is_the_best_on_validation():
    rng = np.random.default_rng(7)
    train, validation = random_windows(25, seed=8), random_windows(200, seed=9)
    for history, target in (train, validation):
        target[:] = 2 * history[:, :, -1] - history[:, :, -2] + rng.normal(size=target.shape)
    rows, steps = explicit_rows(*train, True)
    val_rows, val_steps = explicit_rows(*validation, True)

    def error(ridge):
        return np.mean((val_rows @ explicit_ridge(rows, steps, ridge) - val_steps) ** 2)

    chosen = VarRidge().fit(task_of(train, validation)).ridge
    assert all(error(chosen) < error(chosen * 10.0**x) for x in (-3, -1, -0.2, 0.2, 1, 3))


@pytest.mark.parametrize(("nodes", "channels"), [(4, 1), (2, 4)])
@pytest.mark.parametrize("centred", [True, False])
def test_var_predicts_a_linear_system_exactly(nodes, channels, centred):
    # 30 rows; for 8 points these are fewer than the 32 or 40 features (dual), of rank 16 to 23.
    train = oscillator_windows(10, 5, nodes, channels, seed=1)
    validation, test = (oscillator_windows(50, 5, nodes, channels, seed=s) for s in (2, 3))
    fitted = VarRidge(centred=centred).fit(task_of(train, validation))
    np.testing.assert_allclose(fitted.predict(test[0]), test[1], atol=1e-10)
    assert fitted.ridge < 1e-10
    per_node = ArLsPerNode().fit(task_of(train)).predict(test[0])
    assert np.abs(per_node - test[1]).max() > 1e-2  # the coupling matters


def test_var_ridge_refuses_what_does_not_fit_into_memory():
    task = task_of(random_windows(30, nodes=7))
    assert VarRidge().refuse(task) is None
    small = VarRidge(memory=2**14)
    why = small.refuse(task)
    with pytest.raises(
        ValueError, match=r"\d+\.\d GiB for 7 nodes, more than the 0\.0 GiB allowed"
    ):
        small.fit(task)
    assert "\n" not in why and "7 nodes" in why
    # It grows with the square of the nodes: what suffices for 7 does not for 21.
    enough = next(2**k for k in range(10, 40) if VarRidge(memory=2**k).refuse(task) is None)
    assert "21 nodes" in VarRidge(memory=enough).refuse(task_of(random_windows(30, nodes=21)))


def test_fits_form_differences_in_float64():
    rounded = [np.asarray(a + 1e4, np.float32) for a in random_windows(30)]
    exact = [a.astype(np.float64) for a in rounded]
    for method in (ArLs(), ArLsPerNode(), VarRidge()):
        fits = [method.fit(task_of(tuple(pair))).weights for pair in (rounded, exact)]
        np.testing.assert_array_equal(*fits)
