"""Metrics against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from estag_jax.evaluation import metrics
from estag_jax.evaluation.result import CALIBRATION
from estag_jax.models.error_bars import Distribution


def test_metrics_are_their_definitions_in_numpy_and_jax():
    rng = np.random.default_rng(11)
    prediction, target = rng.normal(size=(2, 9, 4, 2, 3)).astype(np.float32)
    gap = prediction.astype(np.float64) - target
    each = [float(np.mean(g**2)) for g in gap]
    rmsd = [float(np.sqrt(np.mean([d @ d for d in g.reshape(-1, 3)]))) for g in gap]
    spread = np.sqrt(sum((e - np.mean(each)) ** 2 for e in each) / 8 / 9)
    for convert, tolerance in ((np.asarray, 1e-12), (jnp.asarray, 1e-6)):
        pair = convert(prediction), convert(target)
        for measure, expected in (
            (metrics.mse, np.mean(each)),
            (metrics.per_window_mse, each),
            (metrics.per_window_rmsd, rmsd),
            (metrics.METRICS["mse"], each),
            (metrics.METRICS["rmsd"], rmsd),
        ):
            np.testing.assert_allclose(measure(*pair), expected, rtol=tolerance)
        errors = metrics.per_window_mse(*pair)
        np.testing.assert_allclose(metrics.standard_error(errors), spread, rtol=10 * tolerance)
    gradient = jax.jit(jax.grad(metrics.mse))(*pair)
    np.testing.assert_allclose(gradient, 2 * gap / gap.size, rtol=1e-5)


def test_nodes_that_are_masked_do_not_count():
    rng = np.random.default_rng(1)
    prediction, target = rng.normal(size=(2, 3, 5, 2, 3))
    real = np.array([True, True, False, True, False])
    own = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 0, 0]], bool)
    spoilt = np.where(real[:, None, None], prediction, 1e9)
    for convert, tolerance in ((np.asarray, 1e-12), (jnp.asarray, 1e-5)):
        shared = metrics.per_window_mse(convert(spoilt), convert(target), real[None])
        expected = ((prediction - target) ** 2)[:, real].mean((1, 2, 3))
        np.testing.assert_allclose(shared, expected, rtol=tolerance)
        each = metrics.per_window_mse(convert(prediction), convert(target), own)
        expected = [((prediction - target)[w, own[w]] ** 2).mean() for w in range(3)]
        np.testing.assert_allclose(each, expected, rtol=tolerance)
        rmsd = metrics.per_window_rmsd(convert(prediction), convert(target), own)
        np.testing.assert_allclose(rmsd, np.sqrt(3 * np.array(expected)), rtol=tolerance)


def test_the_aligned_error_is_that_of_the_best_rotation_and_shift():
    rng = np.random.default_rng(3)
    target = rng.normal(size=(6, 5, 2, 3))
    prediction = target + 0.1 * rng.normal(size=target.shape)
    real = np.array([[True, True, True, True, False]])
    moved, expected, masked = prediction.copy(), [], []
    for w in range(6):
        turn = Rotation.random(random_state=w)
        moved[w] = turn.apply(prediction[w].reshape(-1, 3)).reshape(5, 2, 3) + rng.normal(size=3)
        for nodes, found in ((5, expected), (4, masked)):
            one, other = (x[w, :nodes].reshape(-1, 3) for x in (prediction, target))
            one, other = one - one.mean(axis=0), other - other.mean(axis=0)
            found.append(Rotation.align_vectors(other, one)[1] ** 2 / one.size)
    assert metrics.mse(moved, target) > 10 * np.mean(expected)
    spoilt = np.where(real[0][:, None, None], moved, 1e3)
    for convert, tolerance in ((np.asarray, 1e-9), (jnp.asarray, 1e-3)):
        found = metrics.per_window_aligned_mse(convert(moved), convert(target))
        np.testing.assert_allclose(found, expected, rtol=tolerance)
        found = metrics.per_window_aligned_mse(convert(spoilt), convert(target), convert(real))
        np.testing.assert_allclose(found, masked, rtol=tolerance)
    # Negative control: a mirror image is another body.
    assert (metrics.per_window_aligned_mse(-target, target) > 0.01).all()


def test_numpy_is_reduced_in_float64_and_jax_stays_in_its_type():
    # A difference of 10000.1 has a relative rounding error of 5e-8 in float32.
    gap = np.full((1, 50, 1, 3), 0.1, np.float32)
    far = np.float32(1e4)
    exact = np.mean((np.float64(far) + gap.astype(np.float64)) ** 2)
    found = metrics.mse(gap + 0, -np.full_like(gap, far))
    assert found.dtype == np.float64 and found == pytest.approx(exact, rel=1e-12)
    assert metrics.mse(jnp.asarray(gap), jnp.asarray(gap)).dtype == jnp.float32
    assert metrics.mse(jnp.asarray(gap, jnp.bfloat16), jnp.asarray(gap)).dtype == jnp.float32


def test_the_standard_error_is_that_of_independent_windows():
    rng = np.random.default_rng(4)
    means = [rng.normal(size=25).mean() for _ in range(4000)]
    estimates = [metrics.standard_error(rng.normal(size=25)) for _ in range(400)]
    assert np.mean(estimates) == pytest.approx(np.std(means), rel=0.05)


def test_shapes_that_merely_broadcast_are_refused_in_one_line():
    target = np.zeros((8, 3, 1, 3))
    cases = [
        (lambda: metrics.mse(target, target[:, :, :0]), "must both be"),
        (lambda: metrics.mse(target, target[:1]), "must both be"),
        (lambda: metrics.per_window_mse(target[0], target[0]), "must both be"),
        (lambda: metrics.per_window_rmsd(target[..., :2], target[..., :2]), "must both be"),
        (lambda: metrics.standard_error(np.ones(1)), "W >= 2"),
        (lambda: metrics.standard_error(np.ones((4, 2))), "W >= 2"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_figures_of_error_bars_are_those_of_plain_loops():
    rng = np.random.default_rng(4)
    mean, target = rng.normal(size=(2, 5, 3, 2, 3))
    root = rng.normal(size=(5, 3, 2, 3, 3))
    covariance = root @ np.swapaxes(root, -1, -2)
    found = metrics.per_window_calibration(Distribution(mean, covariance, 2.0), target)
    for w in range(5):
        points = [(n, c) for n in range(3) for c in range(2)]
        gaps = [(target - mean)[w, n, c] for n, c in points]
        matrices = [covariance[w, n, c] for n, c in points]
        pairs = list(zip(gaps, matrices, strict=True))
        inside = [e @ np.linalg.inv(m) @ e <= 4.0 for e, m in pairs]
        density = [multivariate_normal(cov=m).logpdf(e) / 3 for e, m in pairs]
        assert found["covers_90"][w] == pytest.approx(np.mean(inside))
        assert found["nats"][w] == pytest.approx(np.mean(density))
        size = np.sqrt(np.mean([np.diag(m) for m in matrices]))
        assert found["error_bar"][w] == pytest.approx(size)
    assert 0 < found["covers_90"].mean() < 1
    assert tuple(found) == CALIBRATION
