"""Windows of another tempo: which frames they read, what is seen of them, and when they are taken."""

import numpy as np
import pytest
from helpers.bodies import MIRROR, UP, walk
from helpers.bodies import walking as walking_task

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.models import body_regressions
from estag_jax.models.body_kernel import BodyKernel
from estag_jax.models.body_regressions import other_shapes, seen_by
from estag_jax.models.linear import fitting_windows

pytestmark = pytest.mark.optimised

WINDOW = WindowConfig(past=4, delta=4)


@pytest.fixture(scope="module")
def task():
    given = walking_task(trials=6, frames=50)
    split = SplitConfig("by-trajectory", 60, 30, 30, runs="alternating")
    return Task(given.trajectories, WINDOW, split)


@pytest.fixture(scope="module")
def variants(task):
    return list(seen_by(task, None, tempi=True))


@pytest.mark.parametrize(
    ("delta", "others"), [(1, []), (3, []), (4, [3, 5]), (5, [4, 6]), (10, [8, 12])]
)
def test_steps_of_another_tempo_are_whole_and_near(delta, others):
    assert [shape.delta for shape in other_shapes(WindowConfig(delta=delta))] == others


def test_they_are_cut_from_frames_of_training_windows(task, variants):
    (seen,) = (s for s in variants if len(s.starts) > s.own)
    assert seen.mirrored and seen.frames.walking and len(variants) == 5
    x, train = task.trajectories[0].positions[:, :, 0], task.splits[0].train
    read = {int(s) + 4 * k for s in train for k in range(5)}
    np.testing.assert_array_equal(seen.starts[: seen.own], train)
    rest = seen.starts[seen.own :]
    slower = np.flatnonzero(np.diff(rest) < 0)[0] + 1  # those with smaller steps come first
    assert len(train) // 4 < len(rest) <= 2 * len(train) // 3
    half = len(seen.z) // 2
    for place, start in enumerate(rest):
        delta = 3 if place < slower else 5
        frames = [int(start) + delta * k for k in range(5)]
        assert set(frames) <= read and frames[0] // 50 == frames[-1] // 50
        window = x[frames[:-1]]
        ahead = window[-1].mean(0) - window[0].mean(0)
        ahead = ahead - (ahead @ UP) * UP
        z, step = seen.z[seen.own + place], seen.step[seen.own + place]
        np.testing.assert_allclose(z[0, :, 1], (window[0] - window[-1]) @ UP, atol=1e-9)
        np.testing.assert_allclose(step[:, 1], (x[frames[-1]] - window[-1]) @ UP, atol=1e-9)
        along = (x[frames[-1]] - window[-1]) @ ahead / np.linalg.norm(ahead)
        np.testing.assert_allclose(step[:, 2], along, rtol=1e-3, atol=1e-3)
        image = seen.step[half + seen.own + place]
        np.testing.assert_allclose(image, step[MIRROR] * [-1, 1, 1], atol=1e-12)


def test_other_frames_and_methods_do_without(task):
    assert all(len(s.starts) == s.own for s in seen_by(task, None))
    apart = Task(walking_task(6, 50, vectors=False).trajectories, WINDOW, task.splits)
    assert all(len(s.starts) == s.own for s in seen_by(apart, None, tempi=True))


def test_bodies_that_walk_at_unlike_speeds_gain(monkeypatch):
    method, given = BodyKernel(steps=0, samples=400), walking_task(9, 60)
    split = SplitConfig("by-trajectory", 90, 60, 60, runs="alternating")
    x = np.concatenate([walk(60, seed, 1.25 if seed % 2 else 1.0) for seed in range(9)])
    task = Task(given.trajectories[0].changed(positions=x[:, :, None]), WINDOW, split)
    history, target = fitting_windows(task, "test")
    errors = []
    for tempi in (body_regressions.TEMPI, ()):
        monkeypatch.setattr(body_regressions, "TEMPI", tempi)
        found = method.fit(task)
        errors.append(np.mean((found.predict(history, {"up": UP[None]}) - target) ** 2))
        assert found.chosen["samples"] <= 400
        assert found.chosen.get("of another tempo", 0) > 50 or not tempi
    assert errors[0] < 0.95 * errors[1]
