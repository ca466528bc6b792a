"""Body kernel: the solution spelled out, joint symmetry, mirror images, precision, files, few windows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.bodies import BONES, MIRROR, UP, walking
from helpers.walks import random_windows, task_of

from estag_jax.models import body_kernel
from estag_jax.models.body_kernel import BodyKernel
from estag_jax.models.body_regressions import seen_by
from estag_jax.models.body_ridge import BodyRidge
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.limbs import groups_of
from estag_jax.models.linear import fitting_windows
from estag_jax.ops.linalg import NUMPY
from estag_jax.testing.symmetry import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

QUICK = BodyKernel(steps=6, samples=160)
UNSEARCHED = BodyKernel(steps=0, samples=160)


@pytest.fixture(scope="module")
def task():
    return walking()


@pytest.fixture(scope="module")
def predictor(task):
    return QUICK.fit(task)


@pytest.fixture(scope="module")
def histories(task):
    return fitting_windows(task, "test")[0]


def given(predictor, matrix=None):
    """The inputs of a prediction, up turned by a matrix."""
    up = UP if matrix is None else UP @ matrix.T
    return {"up": up[None]} if predictor.vectors else {}


@pytest.fixture(scope="module")
def fitted_parts(task):
    """The state of a fit with mirror images in the walking frame, after its search."""
    (seen,) = (s for s in seen_by(task, None) if s.mirrored and s.frames.walking)
    state = body_kernel._Fit(QUICK, task, seen)
    state.search()
    return state


def test_forecasts_are_kernel_regression_spelled_out(task, fitted_parts, histories):
    """phi and (K + σ²) α = y for each group and kind of input, both sides of the body by loops."""
    state = fitted_parts
    seen, found = state.seen, state.solve([3.0])[0]
    assert found.norms.shape == (6, 160) and len(found.windows) == 80
    axes = seen.frames.of(NUMPY, histories[:6], {"up": UP[None]})
    z = np.stack([
        [
            [axes[w] @ (histories[w, n, t, 0] - histories[w, n, -1, 0]) for n in range(11)]
            for t in range(3)
        ]
        + [list((histories[w, :, -1, 0] - histories[w, :, -1, 0].mean(axis=0)) @ axes[w].T)]
        for w in range(6)
    ])  # fmt: skip
    queries = z - seen.mean
    kept = np.linspace(0, len(seen.z) // 2 - 1, 80).round().astype(int)
    kept = np.concatenate([kept, kept + len(seen.z) // 2])
    # The samples are those of a file, in float32.
    samples, y = np.float64(np.float32(seen.z[kept] - seen.mean)), seen.step[kept] - seen.centre
    sign = np.array([-1, 1, 1])
    expected = np.zeros((6, 11, 3))
    along = np.array([np.eye(11)[j] - np.eye(11)[i] for i, j in sorted(BONES.tolist())])
    for kind, metrics in zip(
        (np.eye(11), np.vstack([np.ones(11) / 11, along])), state.metrics, strict=True
    ):
        shown = np.einsum("fp,stpx->stfx", kind, samples)
        size = np.sqrt(np.mean(shown**2, axis=(0, 2, 3))) / [1, 1, 1, 0.3]
        for place, group in enumerate(groups_of(task.system, MIRROR)):
            m = [np.float64(leaf[place]) for leaf in metrics]

            def phi(z, m=m, kind=kind, size=size):
                mixed = np.einsum("st,t,fp,btpx->bsfx", m[0], 1 / size, kind, z)
                mixed = mixed * np.exp(m[1])[:, None] * np.exp(m[2]) * np.exp(m[3])
                return mixed.reshape(len(z), -1) / np.sqrt(4 * len(kind) * 3)

            def kernel(a, b, m=m):
                squares = np.sum((a[:, None] - b) ** 2, axis=-1)
                return np.exp(-squares / 2) + np.exp(m[4]) * a @ b.T

            rows = phi(samples)
            matrix = kernel(rows, rows) + 3 * np.exp(m[5]) * np.eye(160)
            alpha = np.linalg.solve(matrix, y[:, group].reshape(160, -1))
            own, other = (
                (kernel(phi(q), rows) @ alpha).reshape(6, -1, 3)
                for q in (queries, queries[:, :, MIRROR] * sign)
            )
            for place_in, node in enumerate(group):
                if MIRROR[node] == node:
                    expected[:, node] += (own[:, place_in] + other[:, place_in] * sign) / 4
                else:
                    expected[:, node] += own[:, place_in] / 2
                    expected[:, MIRROR[node]] += other[:, place_in] * sign / 2
    last = histories[:6, :, -1, 0]
    base = np.einsum("t,bntx->bnx", seen.base, histories[:6, :, :-1, 0] - last[:, :, None])
    expected += seen.centre - base @ np.swapaxes(axes, 1, 2)
    forecast = found.predict(histories[:6], {"up": UP[None]})[:, :, 0]
    np.testing.assert_allclose(forecast, last + base + expected @ axes, atol=1e-9)


def test_it_is_ahead_of_the_linear_map_where_bodies_walk(task, predictor, histories):
    target = fitting_windows(task, "test")[1]
    own = np.mean((predictor.predict(histories, given(predictor)) - target) ** 2)
    linear = np.mean((BodyRidge().fit(task)(histories, task.system) - target) ** 2)
    assert own < linear
    assert predictor.chosen["samples"] <= 160 and predictor.chosen["frame"] == "walking"


@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_forecasts_turn_with_the_history_and_up(predictor, histories, kind, x64):
    symmetry = random_symmetry(1, 11, kind, distance=1.0)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(11))
    found = predictor.predict(histories, given(predictor))
    moved = symmetry.on_positions(histories)
    expected = symmetry.on_positions(found)
    assert np.abs(expected - found).max() > 0.1
    turned = predictor.predict(moved, given(predictor, symmetry.matrix))
    np.testing.assert_allclose(turned, expected, atol=1e-8)
    # Negative control: data that turn without up are another motion.
    assert np.abs(predictor.predict(moved, given(predictor)) - expected).max() > 1e-2


def test_left_and_right_are_alike(fitted_parts, histories):
    found, image = fitted_parts.solve([1.0])[0], np.diag([-1.0, 1.0, 1.0])
    one, other = (
        np.asarray(found.predict(h, given(found)))
        for h in (histories, histories[:, MIRROR] @ image)
    )
    np.testing.assert_allclose(other, one[:, MIRROR] @ image, atol=1e-9)
    assert np.abs(other - one).max() > 0.1


def test_a_process_in_float32_loses_less_than_a_hundredth(task, predictor, histories):
    truth, inputs = fitting_windows(task, "test")[1], given(predictor)
    exact = predictor.predict(histories, inputs)
    loss = np.mean((exact - truth) ** 2)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), predictor
    )
    past = jnp.asarray(histories, jnp.float32)
    predict = jax.jit(lambda p, h: p.predict(h, inputs))
    for found in (predict(single, past), jax.vmap(lambda h: single.predict(h, inputs))(past)):
        assert found.dtype == jnp.float32
        assert abs(np.mean((np.asarray(found, float) - truth) ** 2) - loss) < 1e-2 * loss
    slope = jax.grad(lambda h: jnp.mean((single.predict(h, inputs) - truth) ** 2))(past)
    with jax.enable_x64(True):
        exact = jax.grad(lambda h: jnp.mean((predictor.predict(h, inputs) - truth) ** 2))(
            jnp.asarray(histories)
        )
    gap = np.linalg.norm(np.asarray(slope, float) - np.asarray(exact))
    assert gap < 1e-2 * np.linalg.norm(exact)


def test_the_derivative_is_that_of_finite_differences(predictor, histories, x64):
    past, inputs = jnp.asarray(histories[:4]), given(predictor)
    towards = np.random.default_rng(0).normal(size=past.shape)

    def forecast(h):
        return predictor.predict(h, inputs)

    slope = jax.jvp(forecast, (past,), (jnp.asarray(towards),))[1]
    ahead, behind = (forecast(past + s * towards) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-5)


def test_runs_are_left_out_by_the_search(monkeypatch, fitted_parts, task):
    """No step forecasts a run that it fits; the metrics move."""
    state, steps = body_kernel._Fit(QUICK, task, fitted_parts.seen), []

    def look(optimizer, metric, optimizer_state, *given):
        steps.append(given)
        return metric, optimizer_state

    with monkeypatch.context() as patch:
        patch.setattr(body_kernel, "_search_step", look)
        state.search()
    assert QUICK.steps < len(steps) <= 2 * QUICK.steps
    for z, _, other, _, _ in steps[: len(steps) // 2]:
        runs = [
            {
                int(state.runs[np.argmin(np.abs(state.inputs[0] - one).sum(axis=(1, 2, 3))) % 80])
                for one in part
            }
            for part in (z, other)
        ]
        assert not runs[0] & runs[1] and len(runs[1]) == 1
    start, end = state.metrics[0].points, fitted_parts.metrics[0].points
    assert np.abs(end - start).max() > 0.05


def test_a_file_keeps_it(tmp_path):
    task = walking(dtype=np.float32)
    fitted = fit(UNSEARCHED, task)
    fitted.forecaster.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    (windows,) = task.windows("test")
    np.testing.assert_array_equal(
        loaded.predict(windows.history), fitted.forecaster.predict(windows.history)
    )
    assert loaded.predictor.parameters == fitted.predictor.parameters
    assert loaded.rollout(windows.history[0], 3).shape == (3, 11, 1, 3)


@pytest.mark.parametrize("nodes", [1, 3])
def test_few_windows_and_nodes_and_motion_that_stands_still(nodes):
    past, _ = random_windows(3, nodes, 4)
    few = UNSEARCHED.fit(task_of(random_windows(12, nodes, 4)))
    assert np.isfinite(few.predict(past)).all()
    still = np.ones((20, nodes, 4, 1, 3)), np.ones((20, nodes, 1, 3))
    found = UNSEARCHED.fit(task_of(still)).predict(still[0])
    np.testing.assert_allclose(found, 1, atol=1e-5)


def test_nodes_of_several_channels():
    past, _ = random_windows(9, 3, 4, 2, seed=1)
    found = UNSEARCHED.fit(task_of(random_windows(40, 3, 4, 2)))
    assert found.predict(past).shape == (9, 3, 2, 3)


def test_bad_settings_are_refused_and_cost_is_told(task):
    with pytest.raises(ValueError, match="samples is 1"):
        BodyKernel(samples=1)
    why = dataclasses.replace(QUICK, memory=10**5).refuse(task)
    assert "11 nodes and 160 samples" in why and "lower samples" in why
    assert BodyKernel().refuse(task_of(random_windows(9, 3, 1))) == "needs 2 past frames, T is 1"
    assert 0 < QUICK.seconds(task) < BodyKernel().seconds(task)
    assert BodyKernel().within(task, 1e-3) is None
    assert BodyKernel().within(task, 1e3) == BodyKernel()
