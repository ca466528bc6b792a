"""Frame ridge: exact symmetry, an exact fit, degenerate frames, and one node spelled out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.walks import random_windows, task_of

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.models.frame_regressions import RIDGES
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.frames import choose_axes
from estag_jax.models.ridge import VarRidge
from estag_jax.ops.frames import local_frames
from estag_jax.testing.symmetry import random_symmetry

pytestmark = pytest.mark.optimised

SHAPES = [(4, 1), (2, 4)]  # (N, C)


def turning(windows, nodes, channels, frames=4, seed=0):
    """Nodes that move by a linear map in their own frame, while the whole is turned anyhow.

    A step is R_i^T (A y_i + k) with R_i the frame of the node's first three channels at the last frame,
    and A, k the same in every window: no map with scalar weights can do it.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    points = nodes * channels
    even = 0.3 * fixed.normal(size=(points, 2, points, frames, 2))
    odd = 0.3 * fixed.normal(size=(points, points, frames))
    constant = fixed.normal(size=(points, 2))
    x = 2 * fixed.normal(size=(points, 1, 3)) + 0.1 * rng.normal(size=(windows, points, frames, 3))
    rotations = np.linalg.qr(rng.normal(size=(windows, 3, 3)))[0]
    x = x @ rotations[:, None] + 5 * rng.normal(size=(windows, 1, 1, 3))
    target = x[:, :, -1].copy()
    for node in range(nodes):
        own = np.arange(channels) + node * channels
        last = x[:, :, -1]
        frame = local_frames(np, *(last[:, point] for point in own[:3]))
        y = (x - last[:, own[:1], None]) @ np.swapaxes(frame, 1, 2)[:, None]
        flat = np.einsum("paqte,wqte->wpa", even[own], y[..., :2]) + constant[own]
        third = np.einsum("pqt,wqt->wp", odd[own], y[..., 2])
        target[:, own] += np.concatenate([flat, third[..., None]], axis=-1) @ frame
    x = np.moveaxis(x.reshape(windows, nodes, channels, frames, 3), 2, 3)
    return x, target.reshape(windows, nodes, channels, 3)


def error(method, train, test):
    return float(per_window_mse(method.fit(task_of(train, test)).predict(test[0]), test[1]).mean())


@pytest.mark.parametrize(("nodes", "channels"), [(1, 3), (2, 4)])
def test_a_linear_map_in_a_frame_is_found_and_scalar_weights_do_not_find_it(nodes, channels):
    train = turning(300, nodes, channels, seed=1)
    test = turning(50, nodes, channels, seed=2)
    moved = float(per_window_mse(test[0][:, :, -1], test[1]).mean())
    assert error(FrameRidge(), train, test) < 1e-8 * moved
    assert error(VarRidge(), train, test) > 1e-3 * moved


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_forecasts_turn_with_the_history(nodes, channels, kind):
    """Exactly; without the parity of the third component a reflection is not followed."""
    predictor = FrameRidge().fit(task_of(random_windows(60, nodes, 5, channels)))
    history, _ = random_windows(7, nodes, 5, channels, seed=3)
    symmetry = random_symmetry(1, nodes, kind)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(nodes))
    moved = symmetry.on_positions(history)

    def gap(predictor):
        expected = symmetry.on_positions(predictor.predict(history))
        return np.abs(predictor.predict(moved) - expected).max()

    assert np.abs(predictor.predict(history) - history[:, :, -1]).max() > 0.1
    assert gap(predictor) < 1e-9
    mixed = dataclasses.replace(
        predictor, constant=predictor.constant + 0.3, odd=np.flip(predictor.odd, -1) + 0.1
    )
    assert gap(mixed) < 1e-9  # any weights are equivariant as long as parity is kept
    mirrored = symmetry.matrix @ np.diag([1, 1, -1.0])
    without = dataclasses.replace(symmetry, matrix=mirrored)
    wrong = without.on_positions(predictor.predict(history))
    assert np.abs(predictor.predict(moved) - wrong).max() > 1e-2


def test_a_frame_of_the_wrong_hand_is_found():
    """Negative control: with |e3| in place of e3 the test above would fail."""
    predictor = FrameRidge().fit(task_of(random_windows(60, 4, 5)))
    history, _ = random_windows(7, 4, 5, seed=3)
    symmetry = random_symmetry(1, 4, "reflection")
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(4))
    # An odd constant: a step along e3 that no reflection takes along.
    last = history[:, :, -1, 0]
    origin, first, second = (last[:, which] for which in predictor.axes)
    third = local_frames(np, origin, first, second)[..., 2, :][:, :, None]
    moved = symmetry.on_positions(history)
    last = moved[:, :, -1, 0]
    origin, first, second = (last[:, which] for which in predictor.axes)
    third_moved = local_frames(np, origin, first, second)[..., 2, :][:, :, None]
    expected = symmetry.on_positions(predictor.predict(history) + third)
    assert np.abs(predictor.predict(moved) + third_moved - expected).max() > 1


def test_names_of_nodes_do_not_matter():
    rng = np.random.default_rng(5)
    system = System(tuple("abcde"), bonds=np.array([[0, 1], [1, 2], [2, 3], [1, 4]]))
    history, target = random_windows(60, 5, 4)
    order = rng.permutation(5)
    place = np.argsort(order)
    renamed = System(tuple("abcde"), bonds=place[system.bonds])

    def fitted(system, *windows):
        task = Task.from_windows(system, train=windows, validation=windows, test=windows)
        return FrameRidge().fit(task)

    found = fitted(system, history, target).predict(history)
    other = fitted(renamed, history[:, order], target[:, order]).predict(history[:, order])
    np.testing.assert_allclose(other, found[:, order], atol=1e-7)


def test_one_node_is_ridge_regression_spelled_out():
    (history, target), ridge = random_windows(40, 4, 3, seed=8), None
    predictor = FrameRidge(reversible=False).fit(task_of((history, target)))
    ridge = float(predictor.ridge)
    assert ridge in RIDGES and not predictor.reversible
    x, y = history[..., 0, :], target[:, :, 0]
    steps = x[:, :, :-1] - x[:, :, -1:]
    rows = np.moveaxis(steps, 2, -1).reshape(-1, 2)
    base = np.linalg.lstsq(rows, (y - x[:, :, -1]).ravel(), rcond=None)[0]
    np.testing.assert_allclose(predictor.base, base, rtol=1e-8)
    node = 2
    frames = [local_frames(np, *x[w, predictor.axes[:, node], -1]) for w in range(40)]
    orders = np.array([[0, 0, 1], [0, -1, 1], [1, -2, 1]])
    spread = [np.sqrt(np.mean((np.einsum("t,wntx->wnx", o, x)) ** 2)) for o in orders[1:]]
    z = np.empty((40, 4, 3, 3))
    for w in range(40):
        for j in range(4):
            z[w, j, 0] = frames[w] @ (x[w, j, -1] - x[w, node, -1])
            for m in (1, 2):
                z[w, j, m] = frames[w] @ (orders[m] @ x[w, j]) / spread[m - 1]
    z[:, :, 0, :2] -= z[:, :, 0, :2].mean(axis=0)
    z[:, :, 0] /= np.sqrt(np.mean(z[:, :, 0, :2] ** 2))
    move = y[:, node] - x[:, node, -1] - np.einsum("t,wtx->wx", base, steps[:, node])
    local = np.einsum("wax,wx->wa", frames, move)
    step = np.empty((40, 3))
    even = np.concatenate([z[..., :2].reshape(40, -1), np.ones((40, 1))], axis=1)
    for design, columns in ((even, [0, 1]), (z[..., 2].reshape(40, -1), [2])):
        damped = np.sqrt(ridge * np.mean(np.sum(design**2, axis=0))) * np.eye(design.shape[1])
        rows = np.concatenate([design, damped])
        right = np.concatenate([local[:, columns], np.zeros((len(damped), len(columns)))])
        step[:, columns] = design @ np.linalg.lstsq(rows, right, rcond=None)[0]
    expected = y[:, node] - move + np.einsum("wax,wa->wx", frames, step)
    np.testing.assert_allclose(predictor.predict(history)[:, node, 0], expected, atol=1e-6)


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_few_nodes_and_collinear_ones_give_finite_equivariant_forecasts(nodes):
    rng = np.random.default_rng(0)
    history, target = random_windows(50, nodes, 5)
    if nodes == 3:  # on a line that turns
        line = rng.normal(size=(50, 1, 6, 1, 3))
        along = line * rng.uniform(1, 2, size=(50, 3, 6, 1, 1)).cumsum(axis=1) + history[:, :1, :1]
        history, target = along[:, :, :-1], along[:, :, -1]
    predictor = FrameRidge().fit(task_of((history, target)))
    assert predictor.chosen["degenerate frames"] == 1
    found = predictor.predict(history)
    assert np.isfinite(found).all()
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(predictor.predict(history @ turned.T), found @ turned.T, atol=1e-7)
    if nodes == 1:  # AR-LS is what is left
        steps = history[:, :, :-1] - history[:, :, -1:]
        expected = history[:, :, -1] + np.einsum("t,bntcx->bncx", predictor.base, steps)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nodes_at_one_place_and_frames_that_stand_still_are_finite():
    history, target = random_windows(50, 4, 5)
    history[:, 1], target[:, 1] = history[:, 0], target[:, 0]
    still = np.ones((20, 3, 5, 1, 3)), np.ones((20, 3, 1, 3))
    for train in ((history, target), still):
        predictor = FrameRidge().fit(task_of(train))
        assert np.isfinite(predictor.predict(train[0])).all()


def test_a_planar_system_has_frames():
    history, target = random_windows(80, 5, 4)
    history[..., 2], target[..., 2] = 0, 0
    predictor = FrameRidge().fit(task_of((history, target)))
    assert predictor.chosen["degenerate frames"] < 0.1
    np.testing.assert_allclose(predictor.predict(history)[..., 2], 0, atol=1e-12)


def test_time_is_reversed_where_the_dynamics_is_reversible():
    """Vibrations look alike backwards; an explosion does not."""
    t = np.arange(400.0)[:, None, None]
    rng = np.random.default_rng(0)
    rest, size, phase = rng.normal(size=(3, 5, 3))
    noise = 0.02 * rng.normal(size=(400, 5, 3))
    swing = 3 * rest + 0.2 * size * np.sin(rng.uniform(0.1, 1, size=(5, 3)) * t + 9 * phase) + noise
    burst = 3 * rest * np.exp(0.02 * t) + noise
    found = []
    for x in (swing, burst):
        window, split = WindowConfig(past=4, delta=2), SplitConfig(train=40)
        task = Task(Trajectory.from_arrays(x), window, split, GraphConfig(kind="full"))
        found.append(FrameRidge().fit(task).chosen["reversible"])
    assert found == [True, False]
    later = Task(
        Trajectory.from_arrays(swing), WindowConfig(past=4, delta=2, horizons=(2,)), split,
        GraphConfig(kind="full"),
    )  # fmt: skip
    assert not FrameRidge().fit(later).reversible  # such a window has no mirror image


def test_float32_jit_vmap_and_grad(x64):
    history, target = random_windows(60, 4, 5)
    predictor = FrameRidge().fit(task_of((history, target)))
    exact = predictor.predict(history)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), predictor
    )
    rounded = jax.jit(lambda p, h: p.predict(h))(single, jnp.asarray(history, jnp.float32))
    assert rounded.dtype == jnp.float32
    loss, rounded_loss = (
        float(per_window_mse(np.asarray(f), target).mean()) for f in (exact, rounded)
    )
    assert abs(rounded_loss - loss) < 1e-2 * loss
    mapped = jax.vmap(predictor.predict)(jnp.asarray(history))
    np.testing.assert_allclose(mapped, exact, atol=1e-9)
    direction = np.random.default_rng(0).normal(size=history.shape)
    slope = jax.jvp(predictor.predict, (jnp.asarray(history),), (jnp.asarray(direction),))[1]
    step = 1e-6
    ahead, behind = (predictor.predict(history + s * direction) for s in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)


def test_frames_follow_bonds_and_avoid_straight_ones():
    rng = np.random.default_rng(0)
    #      4        5 bonds of 1: 0, 2, 4; the pair (0, 2) is straight, so 4 makes the frame
    #  0 - 1 - 2 - 3
    rest = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2.7, 0.7, 0], [1, 1, 0]], float)
    system = System(tuple("abcde"), bonds=np.array([[0, 1], [1, 2], [2, 3], [1, 4]]))
    points = rest + 0.01 * rng.normal(size=(30, 5, 3))
    axes, flat = choose_axes(system, points)
    assert (axes.first[1], axes.second[1]) == (2, 4)  # 2 has most bonds
    assert (axes.first[3], axes.second[3]) == (2, 1)  # the neighbour, and its neighbour
    assert (axes.first[0], axes.second[0]) == (1, 4)  # 0, 1, 2 are on a line
    assert (flat == 0).all()
    free, _ = choose_axes(System(tuple("abcde")), points)
    assert (free.first[0], free.second[0]) == (1, 4)  # the nearest


def test_channels_make_the_frame_of_their_node():
    system = System(("r", "s"), channels=4, anchor=1)
    points = np.random.default_rng(0).normal(size=(30, 8, 3))
    axes, _ = choose_axes(system, points)
    np.testing.assert_array_equal(axes, [[1, 5], [0, 4], [2, 6]])


def test_neighbours_bound_the_cost_and_too_much_work_is_refused():
    history, target = random_windows(30, 100, 4)
    task = task_of((history, target))
    predictor = FrameRidge(neighbours=8).fit(task)
    assert predictor.even.shape == (100, 1, 2, 8, 4, 2)
    assert all(node in near for node, near in enumerate(predictor.neighbours))
    far = history.copy()
    outside = np.setdiff1d(np.arange(100), [*predictor.neighbours[0], *predictor.axes[:, 0]])
    far[:, outside] += 1.0
    np.testing.assert_allclose(
        predictor.predict(far)[:, 0], predictor.predict(history)[:, 0], atol=1e-12
    )
    assert "more than the 1e+03 allowed" in FrameRidge(operations=1000).refuse(task)
    with pytest.raises(ValueError, match="neighbours is 0"):
        FrameRidge(neighbours=0)
    with pytest.raises(ValueError, match="expected .*100, 4, 1, 3"):
        predictor.predict(history[:, :50])
