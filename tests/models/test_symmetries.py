"""Renamings that leave a graph of bonds as it is, and methods whose nodes are tied by them."""

import dataclasses
import itertools

import numpy as np
import pytest
from helpers.walks import random_windows, task_of

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.symmetries import automorphisms
from estag_jax.testing.symmetry import random_symmetry

pytestmark = pytest.mark.optimised

RING = [[0, 1], [1, 2], [2, 3], [0, 3]]


def system(numbers, bonds, hydrogens=None):
    names = tuple(map(str, numbers))
    return System(names, np.array(numbers), bonds=np.array(bonds), hydrogens=hydrogens)


@pytest.mark.parametrize(
    ("numbers", "bonds"),
    [
        ([6] * 6, [[i, (i + 1) % 6] for i in range(6)]),
        ([6] * 7, [[i, (i + 1) % 6] for i in range(6)] + [[0, 6]]),
        ([7, 6, 6, 6], [[0, 1], [0, 2], [0, 3]]),
        ([6, 8, 6, 6], [[0, 1], [1, 2], [2, 3]]),
    ],
)
def test_renamings_are_those_that_trying_all_finds(numbers, bonds):
    joined = {frozenset(pair) for pair in bonds}
    expected = [
        names
        for names in itertools.permutations(range(len(numbers)))
        if all(numbers[i] == numbers[j] for i, j in enumerate(names))
        and {frozenset((names[i], names[j])) for i, j in bonds} == joined
    ]
    found = automorphisms(system(numbers, bonds))
    assert sorted(map(tuple, found)) == expected


def test_hydrogens_tell_nodes_apart_and_what_cannot_be_tied_is_said():
    ring = system([6] * 4, RING, hydrogens=np.array([2, 1, 2, 2]))
    assert len(automorphisms(ring)) == 2
    star = system([6] * 6, [[0, k] for k in range(1, 6)])
    with pytest.raises(ValueError, match="more than 48"):
        automorphisms(star)
    for method in (FrameRidge(tie=True), FrameKernel(tie=True)):
        assert "there are none (tie)" in method.refuse(task_of(random_windows(20, 3, 4)))


@pytest.fixture(scope="module")
def ring():
    """Four like bodies in a ring of stiff springs that turns and bends, in few windows."""
    rng, found = np.random.default_rng(0), []
    x = np.array([[0, 0, 0.2], [1, 0, 0], [1, 1, 0.2], [0, 1, 0.0]]) + 0.1 * rng.normal(size=(4, 3))
    v = 0.3 * rng.normal(size=(4, 3))
    v -= v.mean(axis=0)

    def force(x):
        total = np.zeros((4, 3))
        for (i, j), rest in zip([*RING, (0, 2), (1, 3)], [1, 1, 1, 1, 1.4, 1.4], strict=True):
            d = x[j] - x[i]
            r = np.linalg.norm(d)
            total[i] += 2 * (r - rest) * d / r
            total[j] -= 2 * (r - rest) * d / r
        return total

    for step in range(6 * 900):
        v = v + 0.02 * force(x)
        x = x + 0.04 * v
        v = v + 0.02 * force(x)
        if step % 6 == 0:
            found.append(x)
    trajectory = Trajectory.from_arrays(
        np.array(found), atomic_numbers=np.full(4, 6), bonds=np.array(RING)
    )
    split = SplitConfig(train=25, validation=60, test=60)
    return Task(trajectory, WindowConfig(past=4, delta=2), split, GraphConfig(kind="bonds"))


@pytest.mark.parametrize("method", [FrameRidge(), FrameKernel(steps=(6, 2), seed=1)])
def test_tied_nodes_forecast_alike_and_learn_from_each_other(ring, method, tmp_path):
    (windows,) = ring.windows("test")
    history, truth = np.asarray(windows.history, np.float64), windows.target[:, 0]
    group = automorphisms(ring.system)
    assert len(group) == 8
    gaps, errors = [], []
    for tie in (True, False):
        found = dataclasses.replace(method, tie=tie).fit(ring)
        forecast = found.predict(history)
        errors.append(np.mean((forecast - truth) ** 2))
        gaps.append(max(np.abs(found.predict(history[:, g]) - forecast[:, g]).max() for g in group))
        symmetry = random_symmetry(1, 4, "reflection", distance=1.0)
        symmetry = dataclasses.replace(symmetry, permutation=np.arange(4))
        moved = found.predict(symmetry.on_positions(history))
        np.testing.assert_allclose(moved, symmetry.on_positions(forecast), atol=1e-7)
        arrays = found.to_arrays()
        again = type(found).from_arrays(dataclasses.replace(method, tie=tie), arrays)
        np.testing.assert_allclose(again.predict(history), forecast, atol=1e-9)
    assert gaps[0] < 1e-9 < 1e-4 < gaps[1]
    assert errors[0] < errors[1]
