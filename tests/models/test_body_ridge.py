"""Body ridge: the map spelled out, joint symmetry with up, mirror images, and degenerate bodies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.bodies import MIRROR, PAIRS, UP, walk, walking
from helpers.walks import random_windows, task_of

from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.models.body_regressions import seen_by
from estag_jax.models.body_ridge import BodyRidge
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.linear import fitting_windows
from estag_jax.models.ridge import VarRidge
from estag_jax.ops.body_frames import walking_frame
from estag_jax.ops.linalg import NUMPY
from estag_jax.testing.symmetry import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def task():
    return walking()


@pytest.fixture(scope="module")
def predictor(task):
    return BodyRidge().fit(task)


@pytest.fixture(scope="module")
def bodily():
    """Without up."""
    return BodyRidge().fit(walking(vectors=False))


def error(method, task):
    history, target = fitting_windows(task, "test")
    predictor = method.fit(task)
    return np.mean((predictor(history, task.system) - target) ** 2)


def test_it_is_ahead_of_scalar_weights_and_of_local_frames_where_bodies_walk(task, predictor):
    history, target = fitting_windows(task, "test")
    own = np.mean((predictor(history, task.system) - target) ** 2)
    assert own < 0.7 * error(VarRidge(), task) and own < error(FrameRidge(), task)
    chosen = predictor.chosen
    assert chosen["frame"] == "walking" and chosen["degenerate frames"] == 0 and chosen["ridge"] > 0


def test_forecasts_are_ridge_regression_spelled_out(task):
    """Loops over windows, nodes and frames; windows twice, the second time as the mirror shows them."""
    found = BodyRidge().fit(task)
    seen = {(s.frames.walking, s.mirrored): s for s in seen_by(task, None)}
    assert {*seen} == {(True, True), (True, False), (False, True), (False, False)}
    (history, target), (past, _) = (fitting_windows(task, part) for part in ("train", "test"))
    frames = found.frames
    image = np.diag([1.0, -1.0, 1.0])  # any reflection that keeps up, in the world

    def rows(x, y=None):
        axes = walking_frame(NUMPY, x, UP, frames.lateral, frames.usual)
        z, out = np.empty((len(x), 4, 11, 3)), np.zeros((len(x), 11, 3))
        for w in range(len(x)):
            centre = x[w, :, -1, 0].mean(axis=0)
            for node in range(11):
                for t in range(3):
                    z[w, t, node] = axes[w] @ (x[w, node, t, 0] - x[w, node, -1, 0])
                z[w, 3, node] = axes[w] @ (x[w, node, -1, 0] - centre)
                if y is not None:
                    out[w, node] = axes[w] @ (y[w, node, 0] - x[w, node, -1, 0])
        return axes, z, out

    if found.chosen["mirror pairs"]:
        history = np.concatenate([history, history[:, MIRROR] @ image])
        target = np.concatenate([target, target[:, MIRROR] @ image])
    _, z, step = rows(history, target)
    mean, middle = z.mean(axis=0), step.mean(axis=0)
    size = np.sqrt(np.mean((z - mean) ** 2, axis=(0, 2, 3))) / [1, 1, 1, 0.3]
    design = ((z - mean) / size[:, None, None]).reshape(len(z), -1)
    damping = float(found.ridge) * np.sum(design**2) / design.shape[1]
    gram = design.T @ design + damping * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ (step - middle).reshape(len(z), -1))
    axes, z, _ = rows(past)
    moved = ((z - mean) / size[:, None, None]).reshape(len(z), -1) @ weights
    last = past[:, :, -1, 0]
    base = np.einsum("t,bntx->bnx", found.base, past[:, :, :-1, 0] - last[:, :, None])
    step = moved.reshape(-1, 11, 3) + middle - base @ np.swapaxes(axes, 1, 2)
    forecast = found(past, task.system)[:, :, 0]
    np.testing.assert_allclose(forecast, last + base + step @ axes, atol=1e-8)


@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_forecasts_turn_with_the_history_and_up(task, predictor, bodily, kind):
    history, _ = fitting_windows(task, "test")
    symmetry = random_symmetry(1, 11, kind, distance=10.0)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(11))
    moved, up = symmetry.on_positions(history), {"up": (UP @ symmetry.matrix.T)[None]}
    still = predictor.inputs(task.system)
    found = predictor.predict(history, still)
    expected = symmetry.on_positions(found)
    assert np.abs(expected - found).max() > 1 and np.abs(found - history[:, :, -1]).max() > 0.05
    np.testing.assert_allclose(predictor.predict(moved, up), expected, atol=1e-9)
    # Negative control: data that turn without up are another motion.
    assert np.abs(predictor.predict(moved, still) - expected).max() > 1e-2
    found = bodily.predict(history)
    np.testing.assert_allclose(bodily.predict(moved), symmetry.on_positions(found), atol=1e-8)


@pytest.mark.parametrize("vectors", [True, False])
def test_a_fit_turns_with_its_data(vectors):
    history, _ = fitting_windows(walking(), "test")
    matrix = random_symmetry(2, 11, "reflection").matrix
    tasks = [walking(vectors=vectors, change=c) for c in (None, lambda x: x @ matrix.T)]
    found, moved = (
        BodyRidge().fit(t)(h, t.system)
        for t, h in zip(tasks, (history, history @ matrix.T), strict=True)
    )
    np.testing.assert_allclose(moved, found @ matrix.T, atol=1e-5)


@pytest.mark.parametrize("vectors", [True, False])
def test_left_and_right_are_alike_where_mirror_images_are_used(vectors):
    """Few windows of a symmetric gait: mirror images help, and then the forecast has the symmetry."""
    task = walking(trials=4, frames=40, vectors=vectors)
    found = {
        s.mirrored: BodyRidge(mirror=None if s.mirrored else ()).fit(task)
        for s in seen_by(task, None)
    }
    assert found[True].chosen["mirror pairs"] == 4 and found[False].chosen["mirror pairs"] == 0
    history, _ = fitting_windows(task, "test")
    image = np.diag([-1.0, 1.0, 1.0])

    def gap(predictor):
        other = predictor(history[:, MIRROR] @ image, task.system)
        return np.abs(other - predictor(history, task.system)[:, MIRROR] @ image).max()

    assert gap(found[True]) < 1e-9 < 1e-4 < gap(found[False])
    given = BodyRidge(mirror=PAIRS).fit(task)
    np.testing.assert_allclose(given.weights, found[True].weights, atol=1e-9)
    with pytest.raises(ValueError, match="one pair"):
        BodyRidge(mirror=((0, 0),)).fit(task)


def test_standing_still_leaves_ar_ls_along_the_heading(task, predictor):
    history, _ = fitting_windows(task, "test")
    still = np.repeat(history[:, :, -1:], 4, axis=2)
    found = predictor(still, task.system)
    assert np.isfinite(found).all()
    slow = still + 1e-9 * np.arange(4)[:, None, None] * [1.0, 0, 0]
    np.testing.assert_allclose(predictor(slow, task.system), found, atol=1e-5)
    slope = jax.jacrev(lambda h: predictor.predict(h, {"up": UP[None]}))(jnp.asarray(still[0]))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_few_nodes_and_collinear_ones_give_finite_equivariant_forecasts(nodes):
    rng = np.random.default_rng(0)
    history, target = random_windows(50, nodes, 5)
    if nodes == 3:  # on a line that turns
        line = rng.normal(size=(50, 1, 6, 1, 3))
        along = line * rng.uniform(1, 2, size=(50, 3, 6, 1, 1)).cumsum(axis=1) + history[:, :1, :1]
        history, target = along[:, :, :-1], along[:, :, -1]
    for vectors in ({}, {"up": UP}):
        system = System(tuple("abc"[:nodes]), vectors=vectors)
        pair = history, target
        predictor = BodyRidge().fit(
            Task.from_windows(system, train=pair, validation=pair, test=pair)
        )
        if not vectors and nodes < 3:
            assert predictor.chosen["degenerate frames"] == 1
        inputs, found = predictor.inputs(system), predictor(history, system)
        assert np.isfinite(found).all()
        matrix = random_symmetry(3, 1, "reflection").matrix
        turned = {name: up @ matrix.T for name, up in inputs.items()}
        np.testing.assert_allclose(
            predictor.predict(history @ matrix.T, turned), found @ matrix.T, atol=1e-7
        )
        if nodes == 1 and not vectors:  # AR-LS is what is left
            steps = history[:, :, :-1] - history[:, :, -1:]
            expected = history[:, :, -1] + np.einsum("t,bntcx->bncx", predictor.base, steps)
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nodes_at_one_place_planes_and_frames_that_stand_still_are_finite():
    history, target = random_windows(50, 4, 5)
    flat = history * [1, 1, 0], target * [1, 1, 0]
    history[:, 1], target[:, 1] = history[:, 0], target[:, 0]
    still = np.ones((20, 3, 5, 1, 3)), np.ones((20, 3, 1, 3))
    for train in ((history, target), flat, still):
        predictor = BodyRidge().fit(task_of(train))
        assert np.isfinite(predictor.predict(train[0])).all()
        if train is not flat:
            continue
        np.testing.assert_allclose(predictor.predict(train[0])[..., 2], 0, atol=1e-12)
        assert predictor.chosen["degenerate frames"] == 1


def test_float32_jit_vmap_and_grad(task, predictor, x64):
    history, target = fitting_windows(task, "test")
    inputs = predictor.inputs(task.system)
    exact = predictor.predict(history, inputs)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), predictor
    )
    given = jnp.asarray(history, jnp.float32)
    predict = jax.jit(lambda p, h: p.predict(h, inputs))
    loss = np.mean((exact - target) ** 2)
    for rounded in (predict(single, given), jax.vmap(lambda h: single.predict(h, inputs))(given)):
        assert rounded.dtype == jnp.float32
        assert abs(np.mean((np.asarray(rounded, float) - target) ** 2) - loss) < 1e-2 * loss
    towards = np.random.default_rng(0).normal(size=history[:4].shape)
    past = jnp.asarray(history[:4])
    slope = jax.jvp(lambda h: predictor.predict(h, inputs), (past,), (jnp.asarray(towards),))[1]
    ahead, behind = (predictor.predict(past + s * towards, inputs) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-5)


def test_a_file_keeps_it_with_up(tmp_path):
    task = walking(dtype=np.float32)
    fitted = fit(BodyRidge(), task)
    fitted.forecaster.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    (windows,) = task.windows("test")
    np.testing.assert_array_equal(
        loaded.predict(windows.history), fitted.forecaster.predict(windows.history)
    )
    assert loaded.predictor.frames.walking and loaded.method == BodyRidge()


def test_what_cannot_be_fitted_is_refused_in_one_line(task, predictor):
    assert "11 nodes" in BodyRidge(memory=10**5).refuse(task)
    short = task_of(random_windows(9, 3, 1))
    assert BodyRidge().refuse(short) == "needs 2 past frames, T is 1"
    history, _ = fitting_windows(task, "test")
    with pytest.raises(ValueError, match="expected .*11, 4, 1, 3"):
        predictor.predict(history[:, :5], {"up": UP[None]})
    with pytest.raises(ValueError, match="'up'"):
        predictor.predict(history)


def test_the_walk_of_the_tests_keeps_its_bones():
    x = walk(100)
    assert np.linalg.norm(x[:, 3] - x[:, 4], axis=-1).std() < 0.01
