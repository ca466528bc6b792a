"""Path ridge: exact symmetry, compiled forecasts, systems that it never saw."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.bond_paths import (
    FULL,
    HYDROGENS,
    SPLIT,
    WINDOW,
    renamed,
    system,
    task,
    trajectory,
    windows,
)

from estag_jax.data.settings import WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.bond_paths import environments, paths_of
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.path_ridge import PathPredictor, PathRidge
from estag_jax.testing.symmetry import random_symmetry

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def fitted():
    return PathRidge().fit(task(system()))


@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation", "permutation", "all"])
def test_a_forecast_moves_with_the_system(fitted, kind):
    given = system()
    history, _ = windows(given.num_nodes)
    symmetry = random_symmetry(3, given.num_nodes, kind, distance=10.0)
    forecast = fitted(history, given)
    moved = fitted(symmetry.on_positions(history), renamed(given, symmetry.permutation))
    assert np.abs(forecast - history[:, :, -1]).max() > 0.01
    assert np.abs(moved - symmetry.on_positions(forecast)).max() < 1e-10


def test_negative_control_one_weight_for_each_component_is_not_equivariant(fitted):
    given = system()
    history, _ = windows(given.num_nodes)
    symmetry = random_symmetry(3, given.num_nodes, "rotation")
    stretch = np.array([1.0, 1.2, 1.0])

    def broken(h):
        return h[:, :, -1] + stretch * (fitted(h, given) - h[:, :, -1])

    moved = broken(symmetry.on_positions(history))
    assert np.abs(moved - symmetry.on_positions(broken(history))).max() > 1e-3


def test_a_fit_says_how_long_it_takes():
    small, large = task(system([(0, 1)], [6, 8], [3, 1])), task(system())
    assert 0.0 < PathRidge().seconds(small) < PathRidge().seconds(large)
    assert PathRidge().within(large, 0.5 * PathRidge().seconds(large)) is None


def test_it_is_saved_and_loaded_for_any_system(tmp_path, fitted):
    data = trajectory(system())
    full = Task(data, WINDOW, SPLIT, FULL).trajectories[0]
    forecaster = Forecaster.bind(fitted, PathRidge(), full, WINDOW)
    forecaster.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    np.testing.assert_array_equal(loaded.system.hydrogens, HYDROGENS)
    assert loaded.predictor.classes == fitted.classes
    assert loaded.predictor.parameters == fitted.parameters
    other = Task(trajectory(system([(0, 1)], [6, 8], [3, 1])), WINDOW, SPLIT, FULL).trajectories[0]
    history = np.moveaxis(other.positions[:5], 0, 1)
    bound = loaded.of_system(other)
    found = bound.predictor.predict(history[None], bound.inputs)
    np.testing.assert_allclose(found, fitted(history[None], other.system), atol=1e-5)


def test_unseen_environments_are_named_and_fall_back(fitted):
    given = system([(0, 1), (1, 2)], [6, 6, 16], [3, 2, 1])
    assert fitted.unseen(system()) == () and fitted.notes(system()) == ()
    assert set(fitted.unseen(given)) == {"C1 (C2)", "C2 (C1 S1)", "S1 (C2)"}
    (note,) = fitted.notes(given)
    assert note.startswith("3 of 3 nodes") and "S1 (C2)" in note
    _, which = fitted.inputs(given)
    assert [fitted.classes[n] for n in which] == ["C", "C", "all"]
    assert np.isfinite(fitted(windows(3)[0], given)).all()


def test_environments_tell_rings_and_double_bonds():
    chains = environments(system())
    assert chains[0] == ("all", "C", "C3 ring (C2 C2 C3)")
    assert chains[6][2] == "C3 (C3 O1 O1=)"
    assert chains[7][2] == "O1 (C3=)"
    five = system([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 5)], [6] * 6, [0] * 6)
    assert all("ring" not in chain[2] for chain in environments(five))


@pytest.mark.parametrize(
    "given",
    [
        system([], [6], [4]),
        system([(0, 1)], [6, 8], [3, 1]),
        system([(0, 1), (2, 3)], [6, 8, 6, 8], [3, 1, 3, 1]),
        system([(0, 1), (1, 2), (2, 0)], [6, 6, 6], [2, 2, 2]),
        system([(0, 1), (0, 2), (0, 3), (0, 4)], [6, 6, 6, 6, 6], [0, 3, 3, 3, 3]),
        dataclasses.replace(system([], [6, 8, 7], [0, 0, 0]), bonds=None, hydrogens=None),
        System(("a", "b", "c"), bonds=np.array([[0, 1], [1, 2]])),
    ],
    ids=["atom", "pair", "fragments", "three-ring", "four-bonds", "no-bonds", "no-atoms"],
)
def test_any_system_can_be_fitted_and_forecast(given):
    problem = task(given)
    predictor = PathRidge().fit(problem)
    (test,) = problem.windows("test")
    still = np.square(test.history[:, :, -1] - test.target[:, 0]).mean()
    assert np.square(predictor(test.history, given) - test.target[:, 0]).mean() < 0.8 * still


def test_compiled_it_is_the_same_with_finite_and_right_gradients(fitted, x64):
    given = system()
    inputs = jax.tree.map(jnp.asarray, fitted.inputs(given))
    history, _ = windows(given.num_nodes, 2)
    along = np.random.default_rng(1).normal(size=history.shape)

    @jax.jit
    def value_and_gradient(predictor, h):
        def summed(h):
            frame = predictor.predict(h, inputs)
            return jnp.sum(frame**2), frame

        return jax.value_and_grad(summed, has_aux=True)(h)

    (_, found), gradient = value_and_gradient(fitted, jnp.asarray(history))
    np.testing.assert_allclose(found, fitted(history, given), atol=1e-10)
    ends = [np.sum(fitted(history + e * along, given) ** 2) for e in (1e-5, -1e-5)]
    assert np.sum(gradient * along) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)
    # Collinear and coincident nodes.
    line = np.zeros_like(history)
    line[..., 0] = np.arange(10.0)[:, None, None]
    for degenerate in (line, np.zeros_like(line)):
        (_, found), gradient = value_and_gradient(fitted, jnp.asarray(degenerate))
        assert np.isfinite(found).all() and np.isfinite(gradient).all()


def test_float32_loses_less_than_a_hundredth_of_the_error(fitted):
    given = system()
    (test,) = task(given).windows("test")
    inputs = jax.tree.map(jnp.asarray, fitted.inputs(given))
    error = fitted(test.history, given) - test.target[:, 0]
    predict = jax.jit(jax.vmap(lambda h: fitted.predict(h[None], inputs)[0]))
    single = predict(jnp.asarray(test.history, jnp.float32))
    assert single.dtype == jnp.float32
    lost = np.square(single - test.target[:, 0]).mean() / np.square(error).mean() - 1
    assert abs(lost) < 0.01


def test_tables_are_linear_in_the_nodes():
    def size(nodes):
        chain = [(n, n + 1) for n in range(nodes - 1)]
        return sum(np.size(a) for a in paths_of(system(chain, [6] * nodes, [2] * nodes)))

    assert size(2000) == pytest.approx(10 * size(200), rel=1e-6)


def test_many_nodes_are_forecast(fitted):
    chain = [(n, n + 1) for n in range(249)]
    given = system(chain, [6] * 250, [2] * 250)
    history, _ = windows(250, 2)
    assert fitted(history, given).shape == (2, 250, 1, 3)


def test_what_cannot_be_fitted_is_refused(fitted):
    two = Trajectory.from_arrays(np.random.default_rng(0).normal(size=(200, 3, 2, 3)))
    assert "one channel" in PathRidge().refuse(Task(two, WINDOW, SPLIT, FULL))
    problem = task(system())
    assert "operations" in PathRidge(operations=10).refuse(problem)
    with pytest.raises(ValueError, match="path ridge would take"):
        PathRidge(operations=10).fit(problem)
    short = task(system(), window=WindowConfig(past=2, delta=1))
    assert PathRidge().refuse(short) == "needs 3 past frames, T is 2"
    with pytest.raises(ValueError, match="history has shape"):
        fitted(windows(10, past=4)[0], system())
    with pytest.raises(ValueError, match="folds is 1"):
        PathRidge(folds=1)
    with pytest.raises(ValueError, match="noise is -1"):
        PathRidge(noise=-1.0)


def test_noise_makes_the_recursion_of_forecasts_more_stable(fitted):
    given = system()
    noisy = PathRidge(noise=0.3).fit(task(given))
    (test,) = task(given).windows("test")
    window, shape = test.history[:1], test.history[0].shape
    nodes, past = shape[:2]

    def radius(predictor):
        """The largest eigenvalue of the linearised map from T frames to the next T."""
        small = 1e-5 * np.eye(window.size).reshape(-1, *shape)
        moved = predictor(window + small, given) - predictor(window - small, given)
        columns = moved.reshape(nodes, past, 3, 3 * nodes) / 2e-5
        step = np.eye(3 * nodes * past, k=3 * nodes)
        step[-3 * nodes :] = columns.transpose(3, 1, 0, 2).reshape(3 * nodes, -1)
        return np.abs(np.linalg.eigvals(step)).max()

    # The map of the last frame repeated has the eigenvalue 1, which is what translations have.
    assert 1.0 - 1e-6 < radius(noisy) < radius(fitted)


def test_a_fit_to_several_systems_forecasts_another():
    chain = [
        system([(n, n + 1) for n in range(k)], [6] * (k + 1), [2] * (k + 1)) for k in (4, 5, 7)
    ]
    predictor = PathRidge().fit(task(*chain[:2]))
    assert isinstance(predictor, PathPredictor) and predictor.systems == 2
    (test,) = task(chain[2]).windows("test")
    error = np.square(predictor(test.history, chain[2]) - test.target[:, 0]).mean()
    assert error < 0.5 * np.square(test.history[:, :, -1] - test.target[:, 0]).mean()
