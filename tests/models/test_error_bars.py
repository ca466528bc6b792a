"""Error bars: known noise, exact symmetry, degenerate frames, files, float32, ensembles."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import noise
from scipy.stats import chi2

from estag_jax.evaluation.metrics import per_window_calibration
from estag_jax.models.error_bars import JOINT_UP_TO
from estag_jax.models.error_bars_fit import fit_error_bars
from estag_jax.models.frames import choose_axes
from estag_jax.testing.symmetry import random_symmetry

pytestmark = pytest.mark.optimised


def drawn(windows, rest=noise.BENT, seed=0, normal=None):
    """History, forecast (the last frame) and truth with Gaussian errors in the frames."""
    history = noise.histories(rest, windows, seed=seed)
    axes, _ = choose_axes(noise.system(len(rest)), history[:, :, -1, 0])
    if normal is None:
        normal = np.random.default_rng(seed + 1).normal(size=(windows, len(rest), 3))
    forecast = history[:, :, -1]
    error = noise.errors(history, axes, noise.factors(len(rest)), normal)
    return history, forecast, forecast + error


def covered(bars, history, forecast, target):
    found = per_window_calibration(bars.distribution(history, forecast), target)
    return found["covers_90"].mean()


@pytest.fixture(scope="module")
def bars():
    return fit_error_bars(noise.system(4), *drawn(3000))


@pytest.fixture(scope="module")
def coupled():
    """Of errors that go together, those along the third axis with those along the others too."""
    rng = np.random.default_rng(3)
    common = rng.normal(size=(3000, 1, 3)) @ [[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 0.7]]
    return fit_error_bars(
        noise.system(4), *drawn(3000, normal=common + 0.4 * rng.normal(size=(3000, 4, 3)))
    )


def turned(symmetry, history, forecast):
    return symmetry.on_positions(history), symmetry.on_positions(forecast)


def test_the_covariance_of_known_noise_is_found_and_nine_in_ten_are_covered(bars):
    root = noise.factors(4)
    np.testing.assert_allclose(
        bars.covariance[:, 0], root @ np.swapaxes(root, 1, 2), rtol=0.15, atol=8e-6
    )
    assert abs(covered(bars, *drawn(3000, seed=7)) - 0.9) < 0.012
    assert bars.radius(0.9) ** 2 == pytest.approx(chi2.ppf(0.9, 3), rel=0.03)
    assert bars.radius(0.5) ** 2 == pytest.approx(chi2.ppf(0.5, 3), rel=0.03)
    history, forecast, _ = drawn(100)
    size = np.trace(bars.distribution(history, forecast).covariance, axis1=-2, axis2=-1)
    assert np.log(size).std(0).max() < 0.1  # there is nothing that it depends on


def test_heavy_tails_are_covered_by_quantiles_where_those_of_a_gaussian_are_not():
    def with_outliers(windows, seed):
        rng = np.random.default_rng(seed)
        size = np.where(rng.uniform(size=(windows, 4, 1)) < 0.05, 10, 1)
        return drawn(windows, seed=seed, normal=size * rng.normal(size=(windows, 4, 3)))

    bars, fresh = fit_error_bars(noise.system(4), *with_outliers(4000, 1)), with_outliers(4000, 2)
    gaussian = dataclasses.replace(bars, quantiles=chi2.ppf(np.arange(1, 100) / 100, 3))
    assert abs(covered(bars, *fresh) - 0.9) < 0.015
    assert covered(gaussian, *fresh) > 0.94


def test_errors_that_grow_with_the_motion_have_bars_that_do():
    def moving(windows, seed):
        rng = np.random.default_rng(seed)
        history, forecast, _ = drawn(windows, seed=seed)
        speed = rng.uniform(-2, 1, size=(windows, 1, 1, 1))
        drift = 10**speed * rng.normal(size=(windows, 4, 1, 3))
        error = 0.1 * 10**speed * rng.normal(size=(windows, 4, 1, 3))
        return history, forecast + drift, forecast + drift + error, speed.ravel() > 0

    *given, _ = moving(2000, 1)
    bars = fit_error_bars(noise.system(4), *given)
    constant = dataclasses.replace(bars, weights=0 * bars.weights)
    *fresh, quick = moving(2000, 2)
    fresh = [a[quick] for a in fresh]
    assert abs(covered(bars, *fresh) - 0.9) < 0.03
    assert covered(constant, *fresh) < 0.8


def test_errors_that_go_together_make_a_joint_covariance():
    rng = np.random.default_rng(3)
    common = rng.normal(size=(3000, 1, 3))
    normal = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=(3000, 4, 3))
    together = fit_error_bars(noise.system(4), *drawn(3000, normal=normal))
    root = noise.factors(4)
    truth = np.einsum("pij,qkj->piqk", root, root) * 0.8
    for p in range(4):
        truth[p, :, p] /= 0.8
    truth = truth.reshape(12, 12)
    # Entries between even and odd components vanish in the truth as well.
    np.testing.assert_allclose(together.factor @ together.factor.T, truth, rtol=0.15, atol=1e-5)
    history, forecast, _ = drawn(5)
    joint = together.distribution(history, forecast, joint=True).covariance
    single = together.distribution(history, forecast).covariance
    blocks = joint.reshape(5, 4, 3, 4, 3)[:, range(4), :, range(4)]
    np.testing.assert_allclose(np.moveaxis(blocks, 0, 1)[:, :, None], single, rtol=1e-9)


def test_independent_errors_of_few_windows_are_drawn_to_single_points():
    few = fit_error_bars(noise.system(4), *drawn(30))
    joint = (few.factor @ few.factor.T).reshape(4, 3, 4, 3)
    apart = [joint[p, :, q] for p in range(4) for q in range(4) if p != q]
    assert np.abs(apart).max() < 0.2 * np.abs(few.covariance).max()


@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_distributions_and_draws_turn_with_the_data(coupled, kind):
    bars = coupled
    history, forecast, _ = drawn(6)
    symmetry = random_symmetry(0, 4, kind, distance=5.0)
    q, moved = symmetry.matrix, turned(symmetry, history, forecast)
    for joint in (False, True):
        before = bars.distribution(history, forecast, joint)
        after = bars.distribution(*moved, joint)
        np.testing.assert_allclose(after.mean, symmetry.on_positions(before.mean), atol=1e-12)
        big = np.kron(np.eye(4), q) if joint else q
        expected = big @ before.covariance @ big.T
        np.testing.assert_allclose(after.covariance, expected, rtol=1e-7, atol=1e-12)
    # Far from isotropic and from independent, so the test is not empty.
    joint = (bars.factor @ bars.factor.T).reshape(4, 3, 4, 3)
    assert np.abs(joint[0, :, 1]).max() > 0.2 * np.abs(joint[0, :, 0]).max()
    assert np.linalg.cond(bars.covariance[:, 0]).max() > 3
    normal = np.random.default_rng(5).normal(size=(6, 4, 1, 6))
    mirror = np.array([1, 1, np.linalg.det(q), 1, 1, 1])  # the third axis is a pseudo-vector
    normal[..., 3:] = 0.0  # along axes that no frame here lacks
    paths = bars.draw(history, forecast, normal), bars.draw(*moved, normal * mirror)
    np.testing.assert_allclose(paths[1], symmetry.on_positions(paths[0]), rtol=1e-7, atol=1e-9)
    assert np.abs(paths[0] - forecast).max() > 1e-3


def test_a_covariance_that_couples_the_third_axis_fails_under_reflection_alone(bars):
    wrong = np.array(bars.covariance)
    wrong[..., 0, 2] = wrong[..., 2, 0] = 0.5 * np.sqrt(wrong[..., 0, 0] * wrong[..., 2, 2])
    history, forecast, _ = drawn(6)

    def gap(bars, kind):
        symmetry = random_symmetry(0, 4, kind)
        q = symmetry.matrix
        before = bars.distribution(history, forecast).covariance
        after = bars.distribution(*turned(symmetry, history, forecast)).covariance
        return np.abs(after - q @ before @ q.T).max() / np.abs(before).max()

    wrong = dataclasses.replace(bars, covariance=wrong)
    assert gap(wrong, "rotation") < 1e-7
    assert gap(wrong, "reflection") > 0.05
    assert gap(bars, "reflection") < 1e-7


def test_the_fit_itself_turns_and_moves_with_the_nodes():
    history, forecast, target = drawn(300)
    symmetry = random_symmetry(3, 4, "all", distance=3.0)
    names = noise.system(4)
    new_name = np.argsort(symmetry.permutation)
    renamed = dataclasses.replace(names, bonds=new_name[names.bonds])
    moved = [symmetry.on_positions(a) for a in (history, forecast, target)]
    before = fit_error_bars(names, history, forecast, target)
    after = fit_error_bars(renamed, *moved)
    np.testing.assert_allclose(
        after.covariance, before.covariance[symmetry.permutation], rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(after.quantiles, before.quantiles, rtol=1e-6)


@pytest.mark.parametrize(
    "rest",
    [np.zeros((1, 3)), np.array([[0.0, 0, 0], [1, 0, 0]]), np.arange(3)[:, None] * [[1.0, 0, 0]]],
    ids=["one node", "two nodes", "collinear"],
)
@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_degenerate_frames_are_finite_symmetric_and_cover(rest, kind):
    def windows(count, seed):
        history = noise.histories(rest, count, seed=seed, size=0.0)
        rng = np.random.default_rng(seed + 50)
        along = history[:, -1:, -1] - history[:, :1, -1]  # zero for one node
        error = 0.02 * rng.normal(size=(count, len(rest), 1, 3))
        error += along * 0.1 * rng.normal(size=(count, len(rest), 1, 1))
        return history, history[:, :, -1], history[:, :, -1] + error

    bars, fresh = fit_error_bars(noise.system(len(rest)), *windows(1500, 1)), windows(1500, 2)
    assert abs(covered(bars, *fresh) - 0.9) < 0.02
    history, forecast = fresh[0][:4], fresh[1][:4]
    symmetry = random_symmetry(0, len(rest), kind)
    for joint in (False, True):
        before = bars.distribution(history, forecast, joint).covariance
        after = bars.distribution(*turned(symmetry, history, forecast), joint).covariance
        big = np.kron(np.eye(len(rest)), symmetry.matrix) if joint else symmetry.matrix
        np.testing.assert_allclose(after, big @ before @ big.T, rtol=1e-5, atol=1e-9)
        assert np.linalg.eigvalsh(before).min() > 1e-5
    sizes = np.linalg.eigvalsh(bars.distribution(history, forecast).covariance[0, 0, 0])
    if len(rest) == 1:
        np.testing.assert_allclose(sizes, sizes[0], rtol=1e-9)
    else:  # wide along the line alone
        assert sizes[2] > 5 * sizes[1] and sizes[1] == pytest.approx(sizes[0], rel=0.01)
    many = np.repeat(history[:1], 20000, axis=0), np.repeat(forecast[:1], 20000, axis=0)
    normal = np.random.default_rng(0).normal(size=(20000, len(rest), 1, 6))
    paths = bars.draw(*many, normal)[:, 0, 0]
    single = bars.distribution(history, forecast).covariance[0, 0, 0]
    np.testing.assert_allclose(np.cov(paths.T), single, atol=0.05 * sizes[2])


@pytest.mark.parametrize("windows", [1, 2, 3, 11])
def test_a_handful_of_windows_gives_finite_bars(windows):
    bars = fit_error_bars(noise.system(4), *drawn(windows))
    history, forecast, _ = drawn(3)
    for joint in (False, True):
        covariance = bars.distribution(history, forecast, joint).covariance
        assert np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance).min() > 0
    assert np.isfinite(bars.radius(0.9)) and bars.radius(0.9) > 0


def test_a_perfect_forecast_has_bars_of_the_rounding_of_its_data():
    history, forecast, _ = drawn(50)
    bars = fit_error_bars(noise.system(4), history, forecast, forecast)
    sizes = np.sqrt(np.linalg.eigvalsh(bars.distribution(history, forecast).covariance))
    assert 0 < sizes.min() and sizes.max() < 1e-5


def test_many_points_have_no_joint_covariance_and_draw_by_themselves():
    nodes = JOINT_UP_TO + 2
    rest = np.random.default_rng(0).normal(size=(nodes, 3)).cumsum(0)
    bars = fit_error_bars(noise.system(nodes), *drawn(20, rest))
    history, forecast, _ = drawn(2, rest)
    assert bars.factor is None
    with pytest.raises(ValueError, match="130 points are too many for a joint covariance"):
        bars.distribution(history, forecast, joint=True)
    normal = np.random.default_rng(0).normal(size=(2, nodes, 1, 6))
    assert np.isfinite(bars.draw(history, forecast, normal)).all()


def test_float32_under_jit_and_vmap_gives_what_float64_gives(bars):
    history, forecast, _ = drawn(5)
    single = [np.asarray(a, np.float32) for a in (history, forecast)]
    held = jax.tree.map(jnp.asarray, bars)

    def of_one(bars, history, forecast, joint):
        return bars.distribution(history[None], forecast[None], joint).covariance[0]

    for joint in (False, True):
        expected = bars.distribution(history, forecast, joint).covariance
        batch = jax.jit(lambda b, h, f, joint=joint: b.distribution(h, f, joint).covariance)
        mapped = jax.jit(jax.vmap(lambda h, f, joint=joint: of_one(held, h, f, joint)))
        for found in (batch(held, *map(jnp.asarray, single)), mapped(*map(jnp.asarray, single))):
            assert found.dtype == jnp.float32
            np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3 * expected.max())

    @jax.jit
    def size(history):
        return jnp.sum(held.distribution(history, jnp.asarray(single[1])).covariance)

    assert jnp.isfinite(jax.grad(size)(jnp.asarray(single[0]))).all()
