"""Error bars of a forecaster: its file, its samples, and those of seeds."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import task as springs
from helpers.walks import random_windows

from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.forecaster import Forecaster
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def forecaster():
    return fit("Last frame", springs()).forecaster


def histories_of(forecaster, count=3):
    windows = random_windows(count, forecaster.system.num_nodes, forecaster.past)[0]
    return jnp.asarray(windows, jnp.float32)


def test_a_forecaster_keeps_its_bars_in_its_file(forecaster, tmp_path):
    forecaster.save(tmp_path / "f.npz")
    again = Forecaster.load(tmp_path / "f.npz")
    history = histories_of(forecaster)
    for joint in (False, True):
        for one, other in zip(
            forecaster.distribution(history, joint), again.distribution(history, joint), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    one = forecaster.distribution(history[0])
    np.testing.assert_allclose(
        one.covariance, forecaster.distribution(history).covariance[0], rtol=1e-5, atol=1e-8
    )
    np.testing.assert_array_equal(one.mean, forecaster.predict(history[0]))


def test_a_forecaster_without_bars_says_so(forecaster, tmp_path):
    bare = dataclasses.replace(forecaster, error_bars=None)
    bare.save(tmp_path / "bare.npz")
    bare, history = Forecaster.load(tmp_path / "bare.npz"), histories_of(forecaster)
    assert bare.error_bars is None
    for call in (bare.distribution, lambda h: bare.rollout(h, 2, samples=2)):
        with pytest.raises(ValueError, match="has no error bars; fit it again"):
            call(history)
    assert bare.rollout(history, 2).shape == forecaster.rollout(history, 2).shape


def test_samples_have_the_joint_covariance_and_follow_the_seed(forecaster):
    history = histories_of(forecaster)
    paths = forecaster.rollout(history, 3, samples=4, seed=1)
    nodes = forecaster.system.num_nodes
    assert paths.shape == (4, 3, 3, nodes, 1, 3)
    assert forecaster.rollout(history[0], 3, samples=4).shape == (4, 3, nodes, 1, 3)
    np.testing.assert_array_equal(paths, forecaster.rollout(history, 3, samples=4, seed=1))
    assert np.abs(paths - forecaster.rollout(history, 3, samples=4, seed=2)).mean() > 0.01
    first = np.asarray(forecaster.rollout(history[0], 1, samples=20000)[:, 0], np.float64)
    mean, covariance, _ = forecaster.distribution(history[0], joint=True)
    flat = (first - np.asarray(mean, np.float64)).reshape(len(first), -1)
    np.testing.assert_allclose(
        flat.T @ flat / len(flat), covariance, atol=0.05 * float(covariance.max())
    )
    # The second forecast starts from the disturbed first one.
    start = jnp.concatenate([history[:, :, 1:], paths[0, 0][:, :, None]], axis=2)
    spread = np.abs(paths[0, 1] - forecaster.predict(start))
    assert 0 < spread.max() < 10 * float(jnp.sqrt(covariance.max())) * 5


def test_every_seed_of_a_network_has_bars_and_training_under_way_has_none():
    from estag_jax.models.egnn import EgnnConfig

    quick = EgnnConfig(hidden=4, layers=1, head="residual")
    found = fit(quick, springs(), seeds=(1, 2), epochs=1)
    assert [[type(b) for b in seed] for seed in found.error_bars] == [[ErrorBars]] * 2
    assert found.forecaster.error_bars is not None
    assert dataclasses.replace(found, error_bars=()).forecaster.error_bars is None
