"""Closed-form predictors, held against independent computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation import metrics
from estag_jax.models import autoregression, catalog, copies
from estag_jax.models.autoregression import ArLs, ArLsPerNode
from estag_jax.models.linear import LinearPredictor
from estag_jax.models.ridge import VarRidge

SHAPES = [(3, 1), (2, 4)]  # (N, C)


class Forecast:
    """A predictor that is called with a history alone, as these need no system."""

    def __init__(self, name, predictor):
        self.name, self.predictor = name, predictor

    def __call__(self, history):
        return self.predictor.predict(history)

    def __getattr__(self, name):
        return getattr(self.predictor, name)


def task_of(train, validation=None):
    validation = train if validation is None else validation
    parts = {"train": train, "validation": validation, "test": validation}
    return Task.from_windows(graph=GraphConfig("full"), **parts)


def fitted(method, *parts):
    return Forecast(type(method).__name__, method.fit(task_of(*parts)))


def fit_ar(history, target):
    return fitted(ArLs(), (history, target))


def fit_per_node(history, target):
    return fitted(ArLsPerNode(), (history, target))


def fit_var_ridge(history, target, val_history, val_target, centred=True):
    return fitted(VarRidge(centred), (history, target), (val_history, val_target))


def fit_all(*windows):
    task = task_of(windows[:2], windows[2:])
    methods = {name: catalog.settings(name, task) for name in catalog.CLOSED_FORMS}
    return [Forecast(n, m.fit(task)) for n, m in methods.items() if m.refuse(task) is None]


def fixed(kind, frames):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 1, frames + 1, 1, 3))
    return fitted(kind(), (x[:, :, :-1], x[:, :, -1]))


def random_windows(windows=40, nodes=3, frames=5, channels=1, seed=0):
    """Random walks far from the origin: (history [W, N, T, C, 3], target [W, N, C, 3])."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=(windows, nodes, frames + 1, channels, 3)), axis=2) + 7.0
    return x[:, :, :-1], x[:, :, -1]


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


def all_forecasts(nodes=3, frames=5, channels=1):
    train = random_windows(60, nodes, frames, channels, seed=1)
    return fit_all(*train, *random_windows(30, nodes, frames, channels, seed=2))


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_fixed_forecasts_are_what_their_names_say(nodes, channels):
    x, _ = random_windows(4, nodes, 10, channels)
    expected = {
        copies.FirstFrame: x[:, :, 0],
        copies.MiddleFrame: x[:, :, 4],
        copies.LastFrame: x[:, :, 9],
        copies.ConstantVelocity: 2 * x[:, :, 9] - x[:, :, 8],
        copies.ConstantAcceleration: 3 * x[:, :, 9] - 3 * x[:, :, 8] + x[:, :, 7],
    }
    for make, value in expected.items():
        np.testing.assert_allclose(fixed(make, 10)(x), value, atol=1e-12)
        assert fixed(make, 10).parameters == 0


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_constant_motion_is_extrapolated_exactly(nodes, channels):
    rng = np.random.default_rng(3)
    start, velocity, acceleration = rng.normal(size=(3, 6, nodes, 1, channels, 3))
    t = np.arange(5.0)[:, None, None]
    uniform = start + velocity * t
    falling = uniform + acceleration * t**2 / 2
    for make, x in (
        (copies.ConstantVelocity, uniform),
        (copies.ConstantAcceleration, uniform),
        (copies.ConstantAcceleration, falling),
    ):
        np.testing.assert_allclose(fixed(make, 4)(x[:, :, :4]), x[:, :, 4], atol=1e-12)
    off = fixed(copies.ConstantVelocity, 4)(falling[:, :, :4]) - falling[:, :, 4]
    np.testing.assert_allclose(off, -acceleration[:, :, 0], atol=1e-12)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_ar_is_lstsq_on_an_explicit_design_matrix(nodes, channels):
    history, target = random_windows(12, nodes, 4, channels)
    rows, steps = [], []
    for w, i, c, axis in np.ndindex(12, nodes, channels, 3):
        path = history[w, i, :, c, axis]
        rows.append([path[t] - path[3] for t in range(3)])
        steps.append(target[w, i, c, axis] - path[3])
    rows, steps = np.array(rows), np.array(steps)
    shared = fit_ar(history, target)
    np.testing.assert_allclose(shared.weights, np.linalg.lstsq(rows, steps)[0], rtol=1e-12)

    own = fit_per_node(history, target)
    owner = np.array([(i, c) for _, i, c, _ in np.ndindex(12, nodes, channels, 3)])
    for i, c in np.ndindex(nodes, channels):
        mine = (owner == (i, c)).all(1)
        expected = np.linalg.lstsq(rows[mine], steps[mine])[0]
        np.testing.assert_allclose(own.weights[i, c], expected, rtol=1e-12)
    assert (shared.parameters, own.parameters) == (3, 3 * nodes * channels)
    assert metrics.mse(own(history), target) < metrics.mse(shared(history), target)


def test_training_loss_is_stationary_at_the_ar_weights():
    history, target = random_windows(20)
    found = fit_ar(history, target)

    def loss(weights):
        return metrics.mse(LinearPredictor(weights).predict(history), target)

    for unit in np.eye(4):
        step = 1e-4 * unit
        # The loss is quadratic in the weights, so the central difference is its exact derivative.
        slope = (loss(found.weights + step) - loss(found.weights - step)) / 2e-4
        away = (loss(found.weights + 1.1 * unit) - loss(found.weights + 0.9 * unit)) / 0.2
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
    found = fit_var_ridge(history, target, *validation, centred=centred)
    rows, steps = explicit_rows(history, target, centred)
    expected = explicit_ridge(rows, steps, found.ridge)
    points = nodes * channels
    assert found.weights.shape == (points, points, 4) and found.parameters == expected.size
    used = found.weights if centred else found.weights[..., :-1]
    np.testing.assert_allclose(used.reshape(points, -1), expected.T, atol=1e-10)
    assert centred == bool(found.weights[..., -1].any())
    _, predicted = explicit_rows(history, found(history), centred)
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

    chosen = fit_var_ridge(*train, *validation).ridge
    assert all(error(chosen) < error(chosen * 10.0**x) for x in (-3, -1, -0.2, 0.2, 1, 3))


@pytest.mark.parametrize(("nodes", "channels"), [(4, 1), (2, 4)])
@pytest.mark.parametrize("centred", [True, False])
def test_var_predicts_a_linear_system_exactly(nodes, channels, centred):
    # 30 rows; for 8 points these are fewer than the 32 or 40 features (dual), of rank 16 to 23.
    train = oscillator_windows(10, 5, nodes, channels, seed=1)
    validation, test = (oscillator_windows(50, 5, nodes, channels, seed=s) for s in (2, 3))
    found = fit_var_ridge(*train, *validation, centred=centred)
    np.testing.assert_allclose(found(test[0]), test[1], atol=1e-10)
    assert found.ridge < 1e-10
    per_node = fit_per_node(*train)(test[0])
    assert np.abs(per_node - test[1]).max() > 1e-2  # the coupling matters


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_forecasts_are_equivariant(nodes, channels):
    rng = np.random.default_rng(10)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= -np.sign(np.linalg.det(rotation))  # improper: a reflection is in it
    shift = 5 * rng.normal(size=3)
    history, _ = random_windows(7, nodes, 5, channels)
    moved = history @ rotation.T + shift
    for forecast in all_forecasts(nodes, 5, channels):
        expected = forecast(history) @ rotation.T + shift
        np.testing.assert_allclose(forecast(moved), expected, atol=1e-11, err_msg=forecast.name)
        assert np.abs(expected - forecast(history)).max() > 1


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_jit_numpy_and_single_windows_agree(nodes, channels):
    history, _ = random_windows(6, nodes, 5, channels)
    for forecast in all_forecasts(nodes, 5, channels):
        expected = forecast(history)
        assert expected.dtype == np.float64 and expected.shape == (6, nodes, channels, 3)
        nested = forecast(history.reshape(2, 3, *history.shape[1:]))
        np.testing.assert_allclose(nested.reshape(expected.shape), expected, atol=1e-12)
        np.testing.assert_allclose(forecast(history[0]), expected[0], atol=1e-12)
        single = jnp.asarray(history, jnp.float32)
        for run in (jax.jit(forecast), jax.vmap(forecast), jax.jit(jax.vmap(forecast))):
            assert run(single).dtype == jnp.float32
            np.testing.assert_allclose(run(single), expected, rtol=3e-6, atol=1e-5)


def test_what_needs_more_frames_is_left_out():
    names = [f.name for f in all_forecasts()]
    assert ", ".join(names) == (
        "First frame, Middle frame, Last frame, Constant velocity, Constant acceleration, AR-LS, "
        "AR-LS per node, VAR ridge"
    )
    assert [f.name for f in all_forecasts(frames=2)] == [n for n in names if "accel" not in n]
    single = all_forecasts(frames=1)
    assert [f.name for f in single] == names[:3]
    history, _ = random_windows(4, frames=1)
    for forecast in single:
        np.testing.assert_array_equal(forecast(history), history[:, :, 0])


def test_fits_form_differences_in_float64():
    history, target = random_windows(30)
    rounded = [np.asarray(a + 1e4, np.float32) for a in (history, target)]
    exact = [a.astype(np.float64) for a in rounded]
    for fit in (fit_ar, fit_per_node):
        np.testing.assert_array_equal(fit(*rounded).weights, fit(*exact).weights)
    ridges = [fit_var_ridge(*pair, *pair).weights for pair in (rounded, exact)]
    np.testing.assert_array_equal(*ridges)


def test_numpy_input_of_float32_is_predicted_in_float64():
    history, _ = random_windows(5)
    rounded = np.asarray(history + 1e4, np.float32)
    for forecast in all_forecasts():
        assert forecast(rounded).dtype == np.float64
        np.testing.assert_array_equal(forecast(rounded), forecast(rounded.astype(np.float64)))


def test_a_node_that_never_moves_stays():
    history, target = random_windows(30)
    history[:, 0], target[:, 0] = 1.0, 1.0
    for forecast in (fit_ar, fit_per_node):
        np.testing.assert_array_equal(forecast(history, target)(history)[:, 0], 1.0)
    still = (np.ones_like(history), np.ones_like(target))
    assert np.isfinite(fit_var_ridge(*still, *still).weights).all()


def test_wrong_input_is_refused_in_one_line():
    history, target = random_windows(8)
    bad = history.copy()
    bad[0, 0, 0, 0, 0] = np.nan
    cases = [
        (lambda: fit_ar(history[:, :, :1], target), "at least 2 past frames|needs 2"),
        (lambda: fit_ar(history[0], target), "expected"),
        (lambda: fit_ar(history, target[:, :1]), "expected"),
        (lambda: fit_ar(bad, target), "not finite"),
        (lambda: fit_var_ridge(history, target, history[:, :, 1:], target), "different shapes"),
        (lambda: fixed(copies.ConstantVelocity, 1), "needs 2 past frames, T is 1"),
        (lambda: fixed(copies.ConstantAcceleration, 2), "needs 3 past frames, T is 2"),
        (lambda: fixed(copies.LastFrame, 4)(history), "do not fit"),
        (lambda: fixed(copies.LastFrame, 5)(history[..., 0]), "expected"),
        (lambda: all_forecasts(nodes=2)[-1](history), "do not fit"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def two_systems():
    """A task of two random walks of different sizes."""
    rng = np.random.default_rng(4)
    walks = [np.cumsum(rng.normal(size=(800, n, 3)), axis=0) for n in (3, 5)]
    return Task([Trajectory.from_arrays(x) for x in walks], graph=GraphConfig("full"))


def test_ar_in_blocks_is_ar_at_once(monkeypatch):
    history, target = random_windows(50)
    whole = [fit(history, target).weights for fit in (fit_ar, fit_per_node)]
    monkeypatch.setattr(autoregression, "_BLOCK", 3000)
    for before, fit in zip(whole, (fit_ar, fit_per_node), strict=True):
        np.testing.assert_allclose(fit(history, target).weights, before, rtol=1e-9)


def test_ar_is_shared_by_systems_of_different_sizes_and_the_others_say_why_not():
    task = two_systems()
    rows = []
    for windows in task.windows("train"):
        past = windows.history - windows.history[:, :, -1:]
        step = windows.target[:, 0] - windows.history[:, :, -1]
        design = np.moveaxis(past[:, :, :-1], 2, -1).reshape(-1, task.window.past - 1)
        rows.append(np.concatenate([design, step.reshape(-1, 1)], axis=1))
    rows = np.concatenate(rows)
    expected = np.linalg.lstsq(rows[:, :-1], rows[:, -1])[0]
    np.testing.assert_allclose(ArLs().fit(task).weights, expected, rtol=1e-9)
    for method in (ArLsPerNode(), VarRidge()):
        assert "several" in method.refuse(task)


def test_what_cannot_be_afforded_is_refused_before_any_work():
    task = task_of(random_windows(10))
    assert VarRidge().refuse(task) is None
    why = VarRidge(memory=10_000).refuse(task)
    assert "GiB for 3 nodes" in why
    with pytest.raises(ValueError, match="VAR ridge would take"):
        VarRidge(memory=10_000).fit(task)
