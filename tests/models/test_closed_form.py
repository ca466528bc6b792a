"""Closed forms, held against independent computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation import metrics
from estag_jax.models import autoregression
from estag_jax.models.autoregression import ArLs, ArLsPerNode
from estag_jax.models.catalog import CLOSED_FORMS, METHODS
from estag_jax.models.copies import (
    ConstantAcceleration,
    ConstantVelocity,
    FirstFrame,
    LastFrame,
    MiddleFrame,
)
from estag_jax.models.linear import LinearPredictor
from estag_jax.models.ridge import VarRidge

SHAPES = [(3, 1), (2, 4)]  # (N, C)
METHOD = {name: METHODS[name].config(1) for name in CLOSED_FORMS}


def task_of(train, validation=None, test=None):
    """A task of windows (history [W, N, T, C, 3], target [W, N, C, 3])."""
    parts = {"train": train, "validation": validation or train, "test": test or train}
    return Task.from_windows(**parts, graph=GraphConfig(kind="full"))


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
        "AR-LS per node, VAR ridge"
    )
    assert [*all_predictors(frames=2)] == [n for n in CLOSED_FORMS if "accel" not in n]
    single = all_predictors(frames=1)
    assert [*single] == list(CLOSED_FORMS[:3])
    history, _ = random_windows(4, frames=1)
    for predictor in single.values():
        np.testing.assert_array_equal(predictor.predict(history), history[:, :, 0])


def test_fits_form_differences_in_float64():
    rounded = [np.asarray(a + 1e4, np.float32) for a in random_windows(30)]
    exact = [a.astype(np.float64) for a in rounded]
    for method in (ArLs(), ArLsPerNode(), VarRidge()):
        fits = [method.fit(task_of(tuple(pair))).weights for pair in (rounded, exact)]
        np.testing.assert_array_equal(*fits)


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
