"""VAR ridge, vertical apart: against explicit regressions, under turns with its vector, in all its places."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import FULL
from helpers.walks import random_windows, task_of
from scipy.spatial.transform import Rotation

import estag_jax
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.rollout import expected_errors, roll, rollout_errors
from estag_jax.interop.exported import export
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.ridge import VarRidge
from estag_jax.models.vertical_ridge import VarRidgeVertical
from estag_jax.runs.readers import closed_forms
from estag_jax.testing import assert_equivariant
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

NAME = "VAR ridge, vertical apart"
UP = np.array([0.0, 0.0, 2.0])


def swings(windows=60, frames=3, seed=0, noise=0.0):
    """Points that swing fast along z and slowly across it: [W, N, T, 1, 3] and the next frame."""
    rng = np.random.default_rng(seed)
    speeds, t = np.array([0.4, 0.4, 1.3]), np.arange(frames + 1)[:, None]
    a, b = rng.normal(size=(2, windows, 4, 1, 3))
    x = a * np.cos(speeds * t) + b * np.sin(speeds * t) + np.arange(4)[:, None, None]
    x = (x + noise * rng.normal(size=x.shape))[:, :, :, None]
    return x[:, :, :-1], x[:, :, -1]


@pytest.fixture(scope="module")
def tumbling():
    """A task of runs, each turned by itself, as is up; and the same runs before they were turned."""
    history, target = swings(90, frames=5, noise=0.05)
    turns = Rotation.random(90, rng=np.random.default_rng(1)).as_matrix()
    parts = {"train": slice(40), "validation": slice(40, 65), "test": slice(65, 90)}

    def cut(*arrays):
        return {part: tuple(array[at] for array in arrays) for part, at in parts.items()}

    turned = (np.einsum("wij,w...j->w...i", turns, array) for array in (history, target))
    up = {part: (turns @ UP)[at] for part, at in parts.items()}
    still = System(tuple("abcd"), vectors={"up": UP})
    return (
        Task.from_windows(graph=FULL, vectors={"up": up}, **cut(*turned)),
        Task.from_windows(still, graph=FULL, **cut(history, target)),
    )


def test_two_frequencies_need_two_sets_of_weights():
    """2 cos(ω) x(t) - x(t-1) about the rest is one line for each frequency."""
    train, test = swings(seed=0), swings(seed=1)
    task = task_of(train, test, up=UP)

    def error(method):
        return np.abs(method.fit(task)(test[0], task.system) - test[1]).max()

    assert error(VarRidgeVertical()) < 1e-3 < 0.1 < error(VarRidge())


def test_the_two_regressions_are_those_of_the_components():
    """With z up, of the rows of z and of those of x and y, each with its own λ."""
    windows, others = (swings(30, 4, seed, noise=0.3) for seed in (0, 1))
    found = VarRidgeVertical().fit(task_of(windows, others, up=UP))
    history, target = windows
    last = history[:, :, -1]
    past = np.concatenate(
        [history[:, :, :-1] - last[:, :, None], (last - last.mean(1, keepdims=True))[:, :, None]],
        axis=2,
    )
    for part, axes in ((found.vertical, [2]), (found.horizontal, [0, 1])):
        design = np.moveaxis(past[:, :, :, 0, axes], -1, 1).reshape(30 * len(axes), -1)
        step = np.moveaxis((target - last)[:, :, 0, axes], -1, 1).reshape(30 * len(axes), -1)
        gram = design.T @ design
        gram += float(part.ridge) * np.trace(gram) / len(gram) * np.eye(len(gram))
        expected = np.linalg.solve(gram, design.T @ step).T.reshape(4, 4, 4)
        np.testing.assert_allclose(part.weights, expected, atol=1e-9)
    assert found.vertical.ridge != found.horizontal.ridge
    assert found.parameters == 2 * 16 * 4 and len(found.chosen) == 2


def test_forecasts_turn_with_the_history_and_up(x64):
    history, _ = random_windows(6, frames=4)
    task = task_of(random_windows(30, frames=4), up=UP)
    predictor = VarRidgeVertical().fit(task)
    features, graph = task.system.inputs().astype(float), task.system.graph

    def forecast(x, features, graph, vectors):
        return predictor.predict(x, vectors)

    # Nodes have weights of their own: none is renamed.
    kinds = ("rotation", "reflection", "translation")
    for up in (UP[None], np.random.default_rng(3).normal(size=(6, 3))):
        given = history, features, graph
        assert_equivariant(forecast, *given, vectors={"up": up}, kinds=kinds, uses_edges=False)
        still = lambda x, *rest, up=up: predictor.predict(x, {"up": up})  # noqa: E731
        with pytest.raises(AssertionError, match="rotation"):
            assert_equivariant(still, *given, kinds=("rotation",), uses_edges=False)
        with pytest.raises(AssertionError, match="vacuous: .*'heading'"):
            both = {"up": up, "heading": up}
            assert_equivariant(forecast, *given, vectors=both, kinds=kinds, uses_edges=False)


def test_a_turn_of_every_window_with_its_up_changes_nothing(tumbling):
    turned, still = tumbling
    found, expected = fit(NAME, turned), fit(NAME, still)
    for part in ("vertical", "horizontal"):
        weights = (getattr(one.predictor, part).weights for one in (found, expected))
        np.testing.assert_allclose(*weights, atol=1e-8)
    errors = [evaluate(one, of).rows[0].mse for one, of in ((found, turned), (expected, still))]
    np.testing.assert_allclose(*errors, rtol=1e-8)
    # Without the vectors of its windows a forecast would be another one.
    (windows,) = turned.windows("test")
    wrong = found.predictor.predict(windows.history, {"up": UP[None]})
    assert np.mean((wrong - windows.target[:, 0]) ** 2) > 1.5 * errors[0]


def test_rollouts_keep_the_vectors_of_their_windows():
    rng = np.random.default_rng(4)
    positions = rng.normal(size=(300, 3, 1, 3)).cumsum(0)
    field = rng.normal(size=(300, 3))
    trajectory = Trajectory.from_arrays(positions, vectors={"up": field})
    task = Task(trajectory, WindowConfig(past=3, delta=2), SplitConfig(train=50), FULL)
    fitted = fit(NAME, task)
    found = rollout_errors(fitted.predictor, task, steps=3, limit=5)
    for k, start in enumerate(task.splits[0].test[:5]):
        history = np.moveaxis(positions[start : start + 6 : 2], 0, 1)[None]
        for step in range(3):
            frame = fitted.predictor.predict(history, {"up": field[[start + 4]]})
            error = np.mean((frame[0] - positions[start + 6 + 2 * step]) ** 2)
            np.testing.assert_allclose(found[step, k], error, rtol=1e-9)
            history = np.concatenate([history[:, :, 1:], frame[:, :, None]], axis=2)
    bars = fitted.error_bars[0]
    assert expected_errors(fitted.predictor, bars, task, 2, samples=3, starts=4).shape == (2, 12)
    # Samples of one window are those of this window among others.
    one, several = (
        expected_errors(fitted.predictor, bars, task, 1, samples=400, starts=n) for n in (1, 2)
    )
    assert 0.8 < one.mean() / several.mean() < 1.25


def test_a_forecaster_has_the_up_of_its_system_or_is_given_one(tumbling, tmp_path):
    turned, still = tumbling
    fit(NAME, still).forecaster.save(tmp_path / "still.npz")
    known = estag_jax.load(tmp_path / "still.npz")
    (windows,) = still.windows("test")
    history = windows.history[:3].astype(np.float32)
    plain = known.predict(history)
    np.testing.assert_allclose(plain, known.predict(history, {"up": UP}), atol=1e-6)
    np.testing.assert_allclose(plain[0], known.predict(history[0], {"up": 7 * UP}), atol=1e-5)
    assert np.abs(plain - known.predict(history, {"up": [0.0, 1.0, 0.0]})).max() > 1e-2

    asks = fit(NAME, turned).forecaster
    with pytest.raises(ValueError, match="'up'.*--read.up") as error:
        asks.predict(history)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="vectors are Up, .*looks at up"):
        asks.predict(history, {"Up": UP})
    with pytest.raises(ValueError, match=r"up has shape \(1, 2\)"):
        asks.predict(history, {"up": UP[:2]})
    ups = np.random.default_rng(5).normal(size=(3, 3)).astype(np.float32)
    each = np.stack([asks.predict(h, {"up": up}) for h, up in zip(history, ups, strict=True)])
    np.testing.assert_allclose(asks.predict(history, {"up": ups}), each, atol=1e-5)
    mapped = jax.jit(jax.vmap(lambda h, up: asks.predict(h, {"up": up})))(history, ups)
    np.testing.assert_allclose(mapped, each, atol=1e-5)
    slope = jax.grad(lambda up: asks.predict(history, {"up": up}).sum())(jnp.asarray(ups))
    # Only the direction counts: along the vector nothing changes.
    assert np.abs(slope).max() > 1e-3
    np.testing.assert_allclose((slope * ups).sum(-1), 0, atol=1e-4)
    path = asks.rollout(history, 2, vectors={"up": ups})
    np.testing.assert_allclose(path[0], each, atol=1e-5)
    mean = asks.distribution(history, vectors={"up": ups}).mean
    np.testing.assert_allclose(mean, each, atol=1e-5)
    drawn = asks.rollout(history, 2, samples=2, vectors={"up": ups})
    assert drawn.shape == (2, 2, *each.shape) and np.isfinite(drawn).all()


def test_an_exported_program_takes_the_vectors_that_change(tumbling, tmp_path):
    turned, still = tumbling
    (windows,) = turned.windows("test")
    history, up = windows.history[:3].astype(np.float32), windows.vectors["up"][:3]
    asks = fit(NAME, turned).forecaster
    about = export(asks, tmp_path / "turned.stablehlo", steps=2, platforms=["cpu"])
    assert about["programs"]["forecast"]["vectors"] == {"up": ["b", 3]}
    call = jax.export.deserialize((tmp_path / "turned.stablehlo").read_bytes()).call
    vectors = {"up": up.astype(np.float32)}
    np.testing.assert_allclose(call(history, vectors), asks.predict(history, vectors), atol=1e-5)
    about = export(fit(NAME, still).forecaster, tmp_path / "still.stablehlo", platforms=["cpu"])
    assert not about["programs"]["forecast"]["vectors"]


def test_data_without_up_are_refused_in_one_line_and_their_tables_do_not_mention_it():
    without, having = (task_of(random_windows(30), up=up) for up in (None, UP))
    with pytest.raises(ValueError, match="'up'.*--read.up") as error:
        fit(NAME, without)
    assert "\n" not in str(error.value)
    names, skipped = closed_forms(without)
    assert NAME not in names and not skipped
    assert NAME in closed_forms(having)[0]
    assert [row.name for row in closed_forms(without, beside=(NAME,))[1]] == [NAME]
    quick = estag_jax.fit("auto", having)
    assert NAME in quick.choice["validation errors"] and NAME not in quick.choice["left out"]


def test_a_network_that_starts_from_it_is_given_up(tumbling):
    turned, _ = tumbling
    network = EgnnConfig(hidden=4, layers=1)
    started = fit(network, turned, start=NAME, epochs=1)
    (windows,) = turned.windows("test")
    vectors = {name: v[:2] for name, v in windows.vectors.items()}
    history = windows.history[:2].astype(np.float32)
    forecaster = started.forecaster
    rolled = roll(forecaster.predictor, history, forecaster.inputs_with(vectors), 1)[0]
    np.testing.assert_allclose(rolled, forecaster.predict(history, vectors), atol=1e-5)
    with pytest.raises(ValueError, match="'up'"):
        forecaster.predict(history)
