"""Mode ridge: exact symmetry, what it finds, its regressions spelled out, degenerate bodies, files."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import jolted, task
from helpers.walks import random_windows, task_of

import estag_jax
from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.models import mode_regressions
from estag_jax.models.in_context import InContextAr
from estag_jax.models.mode_regressions import principal_modes, regress
from estag_jax.models.mode_ridge import ModeRidge
from estag_jax.models.ridge import VarRidge
from estag_jax.ops.body_frames import THIN
from estag_jax.testing.symmetry import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

SHAPES = [(5, 1), (3, 2)]  # (N, C)


def bodies(windows, nodes=5, channels=1, frames=6, seed=0, turn=True):
    """Deformations of one structure by a linear map that mixes axes, each window turned anyhow."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    points = nodes * channels
    mean = 3 * fixed.normal(size=(points, 3))
    step = 0.95 * np.linalg.qr(fixed.normal(size=(3 * points, 3 * points)))[0]
    z = [0.2 * rng.normal(size=(windows, 3 * points))]
    for _ in range(frames):
        z.append(z[-1] @ step.T + 0.02 * rng.normal(size=z[0].shape))
    x = mean + np.stack(z, axis=1).reshape(windows, -1, points, 3)
    if turn:
        x = x @ np.linalg.qr(rng.normal(size=(windows, 1, 3, 3)))[0]
        x = x + 5 * rng.normal(size=(windows, 1, 1, 3))
    x = np.moveaxis(x.reshape(windows, -1, nodes, channels, 3), 1, 2)
    return x[:, :, :-1], x[:, :, -1]


def error(method, train, validation, test):
    return np.mean((method.fit(task_of(train, validation)).predict(test[0]) - test[1]) ** 2)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_maps_that_mix_axes_are_found_in_the_frame_alone(nodes, channels):
    parts = [bodies(n, nodes, channels, seed=s) for s, n in enumerate((300, 80, 80))]
    found = error(ModeRidge(reversible=False), *parts)
    assert found < 0.3 * error(InContextAr(), *parts)
    assert found < 0.5 * error(VarRidge(), *parts)


@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_forecasts_turn_with_the_history(nodes, channels, kind):
    predictor = ModeRidge().fit(task_of(bodies(60, nodes, channels)))
    history, _ = random_windows(7, nodes, 6, channels, seed=3)
    symmetry = random_symmetry(1, nodes, kind)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(nodes))
    expected = symmetry.on_positions(predictor.predict(history))
    prior = predictor.prior.predict(history)
    assert np.abs(predictor.predict(history) - prior).max() > 0.01 * np.abs(prior).max()
    moved = predictor.predict(symmetry.on_positions(history))
    np.testing.assert_allclose(moved, expected, atol=1e-8)


def test_a_proper_frame_would_not_follow_reflections(monkeypatch):
    """Negative control: with Kabsch's sign, det R = 1, the test above fails for reflections alone."""
    honest = mode_regressions.polar_frame

    def proper(*args):
        frames = honest(*args)
        sign = np.sign(np.linalg.det(frames))[:, None]
        return np.concatenate([frames[:, :2], (sign * frames[:, 2])[:, None]], axis=1)

    monkeypatch.setattr(mode_regressions, "polar_frame", proper)
    windows = bodies(60, turn=False)
    predictor = ModeRidge().fit(task_of(windows))
    gaps = {}
    for kind in ("rotation", "reflection"):
        symmetry = random_symmetry(1, 5, kind)
        symmetry = dataclasses.replace(symmetry, permutation=np.arange(5))
        expected = symmetry.on_positions(predictor.predict(windows[0]))
        gaps[kind] = np.abs(predictor.predict(symmetry.on_positions(windows[0])) - expected).max()
    assert gaps["rotation"] < 1e-8 and gaps["reflection"] > 1e-2


def test_a_forecast_spelled_out():
    predictor = ModeRidge(modes=7).fit(task_of(bodies(60, 3, 2)))
    assert predictor.modes.shape == (18, 7) and predictor.weights.shape == (6, 7, 7)
    history, _ = bodies(5, 3, 2, seed=4)
    found = predictor.predict(history)
    for window, frame in zip(history, found, strict=True):
        points = np.moveaxis(window, 1, 0).reshape(6, 6, 3)  # T, N * C
        m = predictor.mean.reshape(6, 3)
        matrix = sum(m.T @ (x - x.mean(axis=0)) for x in points) / (6 * np.sum(m**2))
        left, s, right = np.linalg.svd(matrix)
        turn = left @ np.diag(s / np.sqrt(s**2 + THIN**2)) @ right
        moved = np.zeros(7)
        for t, x in enumerate(points):
            z = ((x - points[-1].mean(axis=0)) @ turn.T - m).ravel() @ predictor.modes
            moved = moved + z @ predictor.weights[t]
        expected = (predictor.modes @ moved).reshape(6, 3) @ turn
        expected = predictor.prior.predict(window) + expected.reshape(3, 2, 3)
        np.testing.assert_allclose(frame, expected, atol=1e-10)


def test_the_regressions_spelled_out():
    rng = np.random.default_rng(0)
    variances = np.array([4.0, 1.0, 0.0])
    z, z_new = (rng.normal(size=(n, 4, 3)) * np.sqrt(variances) for n in (50, 20))
    truth = rng.normal(size=(4, 3, 3))
    y, y_new = (np.einsum("wtk,tkl->wl", a, truth) for a in (z, z_new))
    y, y_new = (a + 0.5 * rng.normal(size=a.shape) for a in (y, y_new))
    found, weights, (zeroth, first, second) = regress(z, y, z_new, y_new, variances)

    def ridge(design, response, strength):
        size = strength * np.sum(design**2) / design.shape[1]
        rows = np.concatenate([design, np.sqrt(size) * np.eye(design.shape[1])])
        right = np.concatenate([response, np.zeros((design.shape[1], *response.shape[1:]))])
        return np.linalg.lstsq(rows, right, rcond=None)[0]

    rows = np.concatenate([z[:, :, k] for k in range(3)])
    shared = ridge(rows, y.T.ravel(), zeroth)
    own = [shared + ridge(z[:, :, k], y[:, k] - z[:, :, k] @ shared, first) for k in range(3)]
    own = np.array(own)
    rest = y - np.einsum("wtk,kt->wk", z, own)
    scale = np.array([1.0, 0.25**-0.25, 0.0])
    everything = ridge((z * scale).reshape(50, -1), rest, second).reshape(4, 3, 3)
    expected = everything * scale[:, None]
    for k in range(3):
        expected[:, k, k] += own[k]
    np.testing.assert_allclose(weights, expected, atol=1e-8)
    missed = y_new - np.einsum("wtk,tkl->wl", z_new, weights)
    np.testing.assert_allclose(found, np.sum(missed**2), rtol=1e-9)


@pytest.mark.parametrize("rows", [5, 40])
def test_modes_are_principal_axes(rows):
    deviations = np.random.default_rng(0).normal(size=(rows, 9)) * np.arange(1, 10)
    modes, variances = principal_modes(deviations, 4)
    np.testing.assert_allclose(modes.T @ modes, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.mean((deviations @ modes) ** 2, axis=0), variances)
    values = np.linalg.svd(deviations, compute_uv=False)[:4] ** 2 / rows
    np.testing.assert_allclose(variances, values)


def test_windows_between_the_drawn_ones_are_fitted_and_no_other_frame_is_read():
    given = jolted()
    train = np.array([0, 4, 5, 60, 100])
    split = Split(train, given.splits[0].validation, given.splits[0].test, "given")
    x = given.trajectories[0].positions.copy()
    read = np.zeros(len(x), bool)
    for start in (*train, *split.validation):
        read[start : start + given.window.span + 1 : given.window.delta] = True
    assert 50 < read.sum() < len(x) - 500

    def fitted(positions):
        trajectory = given.trajectories[0].changed(positions=positions)
        return ModeRidge().fit(Task(trajectory, given.window, [split]))

    predictor = fitted(x)
    drawn = {start + 2 * k for start in train for k in range(5)}
    inside = [s for s in range(len(x) - 8) if {s + 2 * k for k in range(5)} <= drawn]
    starts = ModeRidge()._starts(Task(given.trajectories[0], given.window, [split]))
    assert len(inside) > len(train) and [*starts] == inside
    x[~read] = 1e6
    np.testing.assert_array_equal(fitted(x).weights, predictor.weights)


PLANE = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [3, 1, 0], [1, 3, 0.0]])
DEGENERATE = {
    "planar": PLANE,
    "collinear": PLANE * [1, 0, 0] + np.arange(5)[:, None] * [1.0, 0, 0],
    "coincident": 0 * PLANE,
    "two nodes": np.array([[0, 0, 0], [1.5, 0, 0]]),
    "one node": np.zeros((1, 3)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_bodies_have_the_prior_along_what_their_frames_lack(name, x64):
    shape, rng = DEGENERATE[name], np.random.default_rng(1)
    nodes = len(shape)
    along = np.sign(np.ptp(shape, axis=0))  # deformed along what it extends in
    x = shape + 0.1 * along * rng.normal(size=(60, 6, nodes, 3))
    x = x @ np.linalg.qr(rng.normal(size=(60, 1, 3, 3)))[0] + 4 * rng.normal(size=(60, 1, 1, 3))
    x = np.moveaxis(x, 1, 2)[:, :, :, None]
    history, target = x[:, :, :-1], x[:, :, -1]
    predictor = ModeRidge().fit(task_of((history, target)))
    assert predictor.chosen["degenerate frames"] == 1
    found, prior = predictor.predict(history), predictor.prior.predict(history)
    assert np.isfinite(found).all()
    symmetry = random_symmetry(2, nodes, "reflection")
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(nodes))
    moved = predictor.predict(symmetry.on_positions(history))
    np.testing.assert_allclose(moved, symmetry.on_positions(found), atol=1e-6)
    added = (found - prior).reshape(60, -1, 3)
    flat = np.moveaxis(history, 2, 1).reshape(60, -1, 3)
    flat = flat - flat.mean(axis=1, keepdims=True)
    across = np.linalg.svd(flat)[2][:, int(along.sum()) :]
    if along.any():
        assert np.abs(added).max() > 1e-6
    np.testing.assert_allclose(added @ np.swapaxes(across, 1, 2), 0, atol=1e-5)
    slope = jax.jit(jax.grad(lambda h: predictor.predict(h).sum()))
    assert np.isfinite(slope(jnp.asarray(history))).all()
    assert np.isfinite(slope(jnp.zeros_like(jnp.asarray(history)))).all()


def test_jit_vmap_grad_and_float32_agree():
    predictor = ModeRidge().fit(task_of(bodies(60, 3, 2)))
    history, target = bodies(6, 3, 2, seed=4)
    expected = predictor.predict(history)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(predictor.predict(history[0]), expected[0], atol=1e-12)
    single = jnp.asarray(history, jnp.float32)
    lost = np.mean((expected - target) ** 2)
    for run in (jax.jit(predictor.predict), jax.jit(jax.vmap(predictor.predict))):
        assert run(single).dtype == jnp.float32
        assert np.mean((np.asarray(run(single)) - expected) ** 2) < 1e-4 * lost
    with jax.enable_x64(True):
        towards = np.random.default_rng(0).normal(size=history.shape)
        push = jax.jit(lambda h, v: jax.jvp(predictor.predict, (h,), (v,))[1])
        slope = push(jnp.asarray(history), jnp.asarray(towards))
        ahead, behind = (predictor.predict(history + h * towards) for h in (1e-5, -1e-5))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-5)


def test_files_keep_it_and_say_what_was_chosen(tmp_path):
    of = jolted()
    fitted = fit("mode-ridge", of)
    fitted.forecaster.save(tmp_path / "f.npz")
    again = estag_jax.load(tmp_path / "f.npz")
    (windows,) = of.windows("test")
    found = fitted.forecaster.predict(windows.history)
    np.testing.assert_array_equal(again.predict(windows.history), found)
    assert again.predictor.chosen == fitted.predictor.chosen
    assert {"shared ridge", "reversible", "degenerate frames"} <= {*again.predictor.chosen}


def test_what_cannot_be_fitted_is_one_line():
    assert "one system" in ModeRidge().refuse(task((3, 4)))
    assert "needs 3 past frames, T is 2" in ModeRidge().refuse(task_of(random_windows(9, 3, 2)))
    assert "operations; or lower modes" in ModeRidge(operations=10).refuse(task())
    with pytest.raises(ValueError, match="mode ridge needs 3 past"):
        ModeRidge().fit(task_of(random_windows(9, 3, 2)))
    with pytest.raises(ValueError, match="modes is 0"):
        ModeRidge(modes=0)
    predictor = ModeRidge().fit(task_of(random_windows(20)))
    with pytest.raises(ValueError, match=r"expected \[..., 3, 5, 1, 3\]"):
        predictor.predict(random_windows(4, 2)[0])
    assert 0 < ModeRidge().seconds(task(2)) < ModeRidge().seconds(task(8))


def test_still_bodies_stay():
    still = np.repeat(bodies(1)[0][:, :, :1], 6, axis=2).repeat(20, axis=0)
    predictor = ModeRidge().fit(task_of((still, still[:, :, 0])))
    np.testing.assert_allclose(predictor.predict(still), still[:, :, 0], atol=1e-6)
