"""Frame kernel: the solution spelled out, symmetry, precision, and what data ask for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.kernels import parity_kernels
from helpers.walks import random_windows, task_of

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.frames import rings_of
from estag_jax.npz import read_npz
from estag_jax.sources.catalog import load
from estag_jax.testing.symmetry import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

QUICK = FrameKernel(steps=(6, 4))


def molecule(count=900, seed=0):
    """Three bonded bodies whose springs are far from linear, turning and drifting; reversible."""
    rng = np.random.default_rng(seed)
    x = np.array([[0, 0, 0], [1.1, 0, 0], [1.5, 1.0, 0.0]]) + 0.2 * rng.normal(size=(3, 3))
    v = 0.35 * rng.normal(size=(3, 3))
    v -= v.mean(axis=0)
    found = []

    def force(x):
        total = np.zeros((3, 3))
        for i, j in ((0, 1), (1, 2), (0, 2)):
            d = x[j] - x[i]
            r = np.linalg.norm(d)
            strength = 2 * (np.exp(-(r - 1.2)) - np.exp(-2 * (r - 1.2))) * d / r
            total[i] += strength
            total[j] -= strength
        return total

    for step in range(8 * count):
        v = v + 0.025 * force(x) / 2
        x = x + 0.025 * v
        v = v + 0.025 * force(x) / 2
        if step % 8 == 0:
            found.append(x.copy())
    return np.array(found)


def bonded(dtype=np.float64, train=60):
    trajectory = Trajectory.from_arrays(molecule().astype(dtype), bonds=np.array([[0, 1], [1, 2]]))
    split = SplitConfig(train=train, validation=60, test=60)
    return Task(trajectory, WindowConfig(past=4, delta=2), split, GraphConfig(kind="bonds"))


@pytest.fixture(scope="module")
def task():
    return bonded()


@pytest.fixture(scope="module")
def predictor(task):
    return QUICK.fit(task)


def histories(task, part="test"):
    (windows,) = task.windows(part)
    return windows.history


def test_it_is_ahead_of_the_linear_map_where_forces_are_not_linear(task, predictor):
    errors = {}
    for name, fitted in (("kernel", predictor), ("ridge", FrameRidge().fit(task))):
        with jax.enable_x64(True):
            errors[name] = evaluate({name: fitted}, task).rows[0].mse
    assert errors["kernel"] < 0.5 * errors["ridge"]
    assert predictor.chosen == {"reversible": True, "degenerate frames": 0.0, "samples": 360}


def test_forecasts_are_kernel_regression_spelled_out(task, x64):
    """(K + σ²) α = y with the whole kernel, no part of it collapsed."""
    found = dataclasses.replace(QUICK, samples=120, cut=0.0).fit(
        task
    )  # no room for further windows
    assert found.chosen["samples"] == 120
    linear, scales = found.linear, found.scales
    (train,), history = task.windows("train"), histories(task)[:10]
    run = np.concatenate([train.history, train.target[:, 0][:, :, None]], axis=2)
    run = np.concatenate([run, run[:, :, ::-1]])
    past, target = run[:, :, :-1, 0], run[:, :, -1, 0]
    np.testing.assert_array_equal(found.windows[..., 0, :], past)
    orders = np.array([[0, 0, 0, 1], [0, 0, -1, 1], [0, 1, -2, 1], [-1, 3, -3, 1.0]])
    size = np.sqrt(np.mean(np.square(target[:60] - past[:60, :, -1])))
    orders[0] /= 4 * size
    for m in (1, 2, 3):
        orders[m] /= np.sqrt(np.mean(np.einsum("t,bntx->bnx", orders[m], past) ** 2))
    np.testing.assert_allclose(1 / found.sizes, np.abs(orders[:, -1]), rtol=1e-9)

    def seen(x, node):
        axes = x[:, linear.axes[:, node], -1]
        e1 = axes[:, 1] - axes[:, 0]
        e1 /= np.linalg.norm(e1, axis=1, keepdims=True)
        e2 = axes[:, 2] - axes[:, 0]
        softening = 1e-6 * np.sum(e2**2, axis=1, keepdims=True)
        e2 = e2 - np.sum(e2 * e1, axis=1, keepdims=True) * e1
        e2 /= np.sqrt(np.sum(e2**2, axis=1, keepdims=True) + softening)
        frames = np.stack([e1, e2, np.cross(e1, e2)], axis=1)
        near = x[:, linear.neighbours[node]]
        z = np.einsum("mt,bntx->bnmx", orders, near - x[:, node, None, -1:])
        return frames, np.einsum("bax,bnmx->bnma", frames, z)

    def base(x):
        return x[:, :, -1] + np.einsum("t,bntx->bnx", linear.base, x[:, :, :-1] - x[:, :, -1:])

    predicted, moves = base(history[..., 0, :]), []
    for node in range(3):
        frames, _ = seen(past, node)
        moves.append(np.einsum("bax,bx->ba", frames, target[:, node] - base(past)[:, node]))
    size = np.sqrt(np.mean(np.square(moves)))
    np.testing.assert_allclose(found.size, size, rtol=1e-6)
    for node in range(3):
        (_, z), (frames, other) = seen(past, node), seen(history[..., 0, :], node)
        mean = z[:, :, 0, :2].mean(axis=0)
        z[:, :, 0, :2] -= mean
        other[:, :, 0, :2] -= mean
        rings = found.rings[node]
        own, cross = (parity_kernels(scales, a, z, rings) for a in (z, other))
        step = []
        for parity, columns in ((0, [0, 1]), (1, [2])):
            matrix = np.asarray(own[parity] + own[parity + 2])
            matrix = matrix + np.exp(scales.noise[parity]) * np.eye(len(z))
            alpha = np.linalg.solve(matrix, moves[node][:, columns] / size)
            step.append(np.asarray(cross[parity] + cross[parity + 2]) @ alpha * size)
        predicted[:, node] += np.einsum("ba,bax->bx", np.concatenate(step, axis=1), frames)
    np.testing.assert_allclose(found.predict(history)[..., 0, :], predicted, atol=1e-7)


@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_forecasts_turn_with_the_history(task, predictor, kind, x64):
    history = histories(task)[:9]
    symmetry = random_symmetry(1, 3, kind, distance=1.0)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(3))
    found = np.asarray(predictor.predict(history))
    moved = predictor.predict(symmetry.on_positions(history))
    expected = symmetry.on_positions(found)
    assert np.abs(expected - found).max() > 0.1
    np.testing.assert_allclose(moved, expected, atol=1e-7)
    # Negative control: a frame of the other hand in the odd kernel is found.
    mirrored = dataclasses.replace(symmetry, matrix=symmetry.matrix @ np.diag([1, 1, -1.0]))
    assert np.abs(np.asarray(moved) - mirrored.on_positions(found)).max() > 0.1


def test_a_process_in_float32_loses_less_than_a_hundredth(task, predictor):
    truth = next(task.windows("test")).target[:, 0]
    exact = predictor.predict(histories(task))
    history = jnp.asarray(histories(task), jnp.float32)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), predictor
    )
    predict = jax.jit(lambda p, h: p.predict(h))
    loss = np.mean((exact - truth) ** 2)
    for found in (predict(single, history), jax.jit(jax.vmap(single.predict))(history)):
        assert found.dtype == jnp.float32
        assert abs(np.mean((np.asarray(found, float) - truth) ** 2) - loss) < 1e-2 * loss


def test_a_molecule_in_float32_loses_less_than_a_hundredth():
    """The linear part alone is sums of numbers that cancel to four digits, at 4 Å from the origin."""
    split = SplitConfig(train=100, validation=50, test=50)
    task = Task(load("demo"), WindowConfig(past=10, delta=10), split)
    found = dataclasses.replace(QUICK, steps=(0, 0), samples=200).fit(task)
    windows = next(task.windows("test"))
    history, truth = windows.history, windows.target[:, 0]
    exact = found.predict(history)
    for predictor in (found, found.linear):
        given = jnp.asarray(history)
        assert given.dtype == jnp.float32
        rounded = np.asarray(jax.jit(predictor.predict)(given), float)
        expected = exact if predictor is found else found.linear.predict(history)
        gap, loss = np.mean((rounded - expected) ** 2), np.mean((exact - truth) ** 2)
        assert gap < 1e-4 * loss


def test_nystrom_is_near_the_whole_solution_in_float32_too(task, predictor, tmp_path):
    """Under jit, vmap and grad; its coefficients stay small, so nothing cancels."""
    method = dataclasses.replace(QUICK, exact=200)
    fitted = fit(method, bonded(np.float32))
    found = fitted.predictor
    assert found.chosen["samples"] == 360 and found.chosen["inducing samples"] == 100
    assert found.alpha.shape[1] == len(found.windows) == 100
    (windows,) = task.windows("test")
    history, truth = windows.history, windows.target[:, 0]
    errors = [np.mean((p.predict(history) - truth) ** 2) for p in (predictor, found)]
    assert errors[1] < 1.5 * errors[0]
    given = jnp.asarray(history, jnp.float32)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), found
    )
    for one in (jax.jit(single.predict)(given), jax.jit(jax.vmap(single.predict))(given)):
        assert one.dtype == jnp.float32
        loss = np.mean((np.asarray(one, float) - truth) ** 2)
        assert abs(loss - errors[1]) < 1e-2 * errors[1]
    slope = jax.jit(jax.grad(lambda h: jnp.sum(single.predict(h) ** 2)))(given)
    towards = np.random.default_rng(0).normal(size=history.shape)
    ahead, behind = (np.sum(found.predict(history + s * towards) ** 2) for s in (1e-5, -1e-5))
    exact, moved = (ahead - behind) / 2e-5, np.sum(np.asarray(slope, float) * towards)
    assert moved == pytest.approx(exact, rel=1e-2)
    fitted.forecaster.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    assert loaded.chosen == fitted.chosen
    np.testing.assert_array_equal(loaded.predict(given), fitted.forecaster.predict(given))


def test_the_derivative_is_that_of_finite_differences(task, predictor, x64):
    history = jnp.asarray(histories(task)[:4])
    towards = np.random.default_rng(0).normal(size=history.shape)
    slope = jax.jvp(predictor.predict, (history,), (jnp.asarray(towards),))[1]
    ahead, behind = (predictor.predict(history + s * towards) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-6)


def test_a_file_keeps_it(task, tmp_path):
    fitted = fit(QUICK, bonded(np.float32))
    fitted.forecaster.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    history = histories(task).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(history), fitted.forecaster.predict(history))
    np.testing.assert_array_equal(loaded.predictor.windows, fitted.predictor.windows)
    kept = read_npz(tmp_path / "f.npz")
    samples, past = kept["fitted/windows"].shape
    assert past == 4 and len(kept["fitted/frames"]) < 0.6 * samples * past
    assert loaded.method == QUICK and loaded.predictor.parameters == fitted.predictor.parameters
    assert loaded.rollout(history[0], 3).shape == (3, 3, 1, 3)


def test_few_windows_and_motion_without_a_way_back():
    few = task_of(random_windows(12, 3, 4))
    history, _ = random_windows(3, 3, 4)
    found = QUICK.fit(few)
    assert np.isfinite(found.predict(history)).all()
    t = np.arange(400.0)[:, None, None]
    burst = np.random.default_rng(0).normal(size=(3, 3)) * np.exp(0.01 * t)
    window, split = WindowConfig(past=4, delta=2), SplitConfig(train=40)
    one_way = Task(Trajectory.from_arrays(burst), window, split, GraphConfig(kind="full"))
    assert QUICK.fit(one_way).chosen["samples"] <= 80
    still = np.ones((20, 3, 4, 1, 3)), np.ones((20, 3, 1, 3))
    assert np.isfinite(QUICK.fit(task_of(still)).predict(still[0])).all()


def test_samples_are_bounded_and_bad_settings_are_refused(task):
    found = dataclasses.replace(QUICK, samples=50, steps=(0, 0)).fit(task)
    assert len(found.windows) == 50
    with pytest.raises(ValueError, match="samples is 1"):
        FrameKernel(samples=1)
    why = dataclasses.replace(QUICK, memory=10**5).refuse(task)
    assert "3 nodes and 360 samples" in why and "lower samples" in why
    short = task_of(random_windows(9, 3, 1))
    assert FrameKernel().refuse(short) == "needs 2 past frames, T is 1"


def test_rings_count_bonds_or_neighbours():
    chain = System(tuple("abcdefgh"), bonds=np.array([[i, i + 1] for i in range(7)]), channels=1)
    near = np.tile(np.arange(8), (8, 1))
    last = np.zeros((1, 8, 1, 3))
    last[0, :, 0, 0] = np.arange(8) * 1.5
    expected = np.minimum(np.abs(np.subtract.outer(np.arange(8), np.arange(8))), 5)
    np.testing.assert_array_equal(rings_of(chain, last, near, np.arange(8)), expected)
    free = System(tuple("abcdefgh"))
    np.testing.assert_array_equal(rings_of(free, last, near, np.arange(8)), expected)
