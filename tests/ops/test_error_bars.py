"""Likelihoods, invariants of a forecast and covariances of degenerate frames against plain loops."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from estag_jax.ops import linalg
from estag_jax.ops.error_bars import log_likelihood, lost, motion, root_of_lost
from estag_jax.ops.frames import local_frames


def test_log_likelihood_is_that_of_scipy():
    rng = np.random.default_rng(0)
    root, error = rng.normal(size=(7, 3, 3)), rng.normal(size=(7, 3))
    covariance = root @ np.swapaxes(root, 1, 2)
    distance, density = log_likelihood(error, covariance)
    for i in range(7):
        expected = multivariate_normal(cov=covariance[i]).logpdf(error[i]) / 3
        assert density[i] == pytest.approx(expected)
        assert distance[i] == pytest.approx(error[i] @ np.linalg.inv(covariance[i]) @ error[i])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_motion_is_made_of_squared_differences(frames):
    rng = np.random.default_rng(1)
    history, forecast = rng.normal(size=(2, 3, frames, 2, 3)), rng.normal(size=(2, 3, 2, 3))
    found = motion(np, history, forecast)
    orders = min(3, frames)
    assert found.shape == (3 * orders, 2, 3, 2)
    path = np.concatenate([history, forecast[:, :, None]], axis=2)
    for m in range(1, orders + 1):
        square = (np.diff(path, m, axis=2) ** 2).sum(-1)  # [B, N, t, C]
        for b in range(2):
            own, mean, average = found[3 * m - 3 : 3 * m, b]
            np.testing.assert_allclose(own, square[b, :, -1])
            np.testing.assert_allclose(mean, square[b, :, -1].mean())
            np.testing.assert_allclose(average, square[b].mean())


@pytest.mark.parametrize("second", [[1, 1, 0], [2, 1e-3, 0], [2, 0, 0], [0, 0, 0]])
@pytest.mark.parametrize("first", [[1, 0, 0], [0, 0, 0]])
def test_the_root_of_what_a_frame_lacks_squares_to_it(first, second):
    points = [np.array([p], float) for p in ([0, 0, 0], first, second)]
    frame = local_frames(np, *points)
    rest, root = lost(linalg.NUMPY, frame), root_of_lost(linalg.NUMPY, frame)
    np.testing.assert_allclose(root @ root, rest, atol=1e-6)
    assert np.linalg.eigvalsh(rest).min() > -1e-12
