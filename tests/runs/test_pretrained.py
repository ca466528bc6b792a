"""The forecasters that ship with the package: their scores, and that they belong to the bundled data."""

from pathlib import Path

import numpy as np
import pytest

import estag_jax
from estag_jax.runs.pretrained import FOLDER, PRETRAINED, load_pretrained

pytestmark = pytest.mark.optimised

BUNDLED = [name for name, entry in PRETRAINED.items() if "--data demo" in entry.command]


@pytest.fixture(scope="module")
def demo():
    return estag_jax.Task(estag_jax.load_trajectory("demo"))


@pytest.mark.parametrize("name", BUNDLED)
def test_the_score_is_that_of_the_bundled_test_windows(name, demo):
    entry, forecaster = PRETRAINED[name], load_pretrained(name)
    assert entry.fingerprints == (demo.trajectories[0].fingerprint,)
    assert forecaster.window == demo.window and forecaster.system.names == demo.system.names
    (windows,) = demo.windows("test")
    squares = []
    for begin in range(0, len(windows.history), 250):
        some = slice(begin, begin + 250)
        frames = np.asarray(forecaster.predict(windows.history[some]), np.float64)
        squares.append(np.square(frames - windows.target[some, 0]).mean(axis=(1, 2, 3)))
    squares = np.concatenate(squares)
    assert len(squares) == entry.windows and entry.unit == "Å"
    assert squares.mean() == pytest.approx(entry.mse, rel=2e-3)
    still = np.square(windows.target[:, 0] - windows.history[:, :, -1]).mean()
    assert entry.mse < 0.1 * still


def test_the_score_on_an_unseen_molecule_is_that_of_the_bundled_test_windows(demo):
    entry, forecaster = PRETRAINED["small-molecules"], load_pretrained("small-molecules")
    (trajectory,) = demo.trajectories
    assert trajectory.fingerprint not in entry.fingerprints
    bound = forecaster.of_system(trajectory)
    (windows,) = demo.windows("test")
    history, target = windows.history.astype(np.float64), windows.target[:, 0]
    forecast = bound.predictor(history, demo.system)
    assert np.square(forecast - target).mean() == pytest.approx(entry.unseen["demo"], rel=2e-3)
    last = np.square(history[:, :, -1] - target).mean()
    assert entry.unseen["demo"] < 0.1 * last
    found = bound.error_bars.distribution(history, forecast)
    square = np.sum((target - forecast) ** 2, -1) / found.covariance[..., 0, 0]
    assert 0.8 < np.mean(square <= found.radius**2) < 0.99


def test_the_score_on_walking_is_that_of_its_test_windows():
    """Their frames lie beside this test (CMU's subject 35; experiments/pretrained.py writes them)."""
    entry, forecaster = PRETRAINED["walking"], load_pretrained("walking")
    with np.load(Path(__file__).with_name("walking.npz")) as kept:
        windows = kept["frames"][kept["windows"]]  # [W, T + 1, N, 1, 3]
    history, target = np.moveaxis(windows[:, :-1], 1, 2), windows[:, -1]
    frames = np.asarray(forecaster.predict(history), np.float64)
    assert len(windows) == entry.windows
    assert np.square(frames - target).mean() == pytest.approx(entry.mse, rel=2e-3)
    still = np.square(history[:, :, -1] - target).mean()
    assert entry.mse < 0.01 * still
    # It stands upright: the same history on its side is another motion.
    side = np.asarray(forecaster.predict(history[:20, ..., [1, 2, 0]]), np.float64)
    assert np.square(side - target[:20, ..., [1, 2, 0]]).mean() > 5 * entry.mse
    path = np.asarray(forecaster.rollout(history[0], 12))
    assert np.isfinite(path).all() and path.shape == (12, *target.shape[1:])


def test_all_are_there_and_small():
    sizes = {}
    for name, entry in PRETRAINED.items():
        sizes[name] = len((FOLDER / f"{name}.npz").read_bytes())
        assert entry.about and entry.command.startswith("estag train --") and entry.mse > 0
    assert sum(sizes.values()) < 6e6


def test_another_name_is_one_line_with_the_nearest():
    with pytest.raises(ValueError, match="'aspirin-estga', did you mean 'aspirin-estag'") as raised:
        load_pretrained("aspirin-estga")
    assert "\n" not in str(raised.value) and all(name in str(raised.value) for name in PRETRAINED)
    with pytest.raises(ValueError, match="no pretrained forecaster '…'; there are"):
        load_pretrained("…")
