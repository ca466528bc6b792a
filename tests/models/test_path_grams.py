"""Path ridge's Gram matrices: sums of them, deviations of classes, and the choice of strengths."""

import numpy as np
import pytest
import scipy.linalg
from helpers.bond_paths import features, system, windows

from estag_jax.models.bond_paths import environments, paths_of
from estag_jax.models.frame_regressions import both_ways
from estag_jax.models.path_grams import PathGrams, Strengths, blocks, measure
from estag_jax.ops.linalg import NUMPY
from estag_jax.ops.paths import path_features

pytestmark = pytest.mark.optimised


def prior(given, scales, **strengths):
    """g of every feature, by its kind."""
    fixed = {"own": 3.0, "bonds": 1.0, "far": 0.3} | strengths
    history, _ = windows(given.num_nodes, 1)
    found = path_features(NUMPY, history[:, :, :, 0], paths_of(given), scales)
    return np.concatenate([np.full(group.shape[2], fixed[kind]) for kind, group in found])


def test_added_gram_matrices_are_those_of_a_joint_fit():
    systems = [system(), system([(0, 1), (1, 2)], [6, 6, 8], [3, 2, 1])]
    data = [windows(s.num_nodes, 30, seed=k) for k, s in enumerate(systems)]
    scales = measure([h for h, _ in data], [paths_of(s) for s in systems])
    grams = PathGrams(scales, both=False)
    rows = []
    for k, (given, (history, target)) in enumerate(zip(systems, data, strict=True)):
        grams.add(k, history, target, paths_of(given), environments(given))
        found = features(history, given, scales)
        step = (target - history[:, :, -1])[:, :, 0, None]
        both = np.concatenate([found, step], axis=2) / np.sqrt(len(history))
        rows.append(np.swapaxes(both, 2, 3).reshape(-1, both.shape[2]))
    stacked = np.concatenate(rows)
    x, y = stacked[:, :-1], stacked[:, -1]
    size = (x**2).sum(axis=0) / sum(s.num_nodes for s in systems)
    size = np.maximum(size, 1e-4 * size.mean())
    strengths = Strengths(0.1, 1.0, 1.0, 0.5, 0.2)
    size = size / prior(systems[0], scales, factors=0.5, products=0.2) ** 2
    expected = scipy.linalg.solve(x.T @ x + 0.1 * np.diag(size), x.T @ y, assume_a="pos")
    weights = grams.solve(["all"], strengths)["all"]
    np.testing.assert_allclose(x @ weights, x @ expected, atol=1e-8)
    # What is left out is left out altogether.
    alone = PathGrams(scales, both=False)
    alone.add(0, *data[0], paths_of(systems[0]), environments(systems[0]))
    classes = {name for chain in environments(systems[0]) for name in chain}
    for name, weight in grams.solve(classes, strengths, without=1).items():
        np.testing.assert_allclose(
            weight, alone.solve([name, *classes], strengths)[name], atol=1e-6
        )


def test_deviations_start_from_the_parent_class():
    given = system()
    history, target = windows(given.num_nodes, 40)
    scales = measure([history], [paths_of(given)])
    grams = PathGrams(scales, both=False)
    grams.add(0, history, target, paths_of(given), environments(given))
    names = environments(given)[3]  # the only nitrogen: its element and environment are one node
    weights = grams.solve(names, Strengths(0.01, 0.1, np.inf, 1.0, 1.0))
    np.testing.assert_array_equal(weights[names[1]], weights[names[2]])
    x = np.swapaxes(features(history, given, scales), 2, 3)
    every = x.reshape(-1, x.shape[-1])
    y = (target - history[:, :, -1])[:, :, 0]
    x, rest = x[:, 3].reshape(-1, x.shape[-1]), y[:, 3].reshape(-1)
    rest = rest - x @ weights["all"]
    size = (every**2).sum(axis=0) / len(history) / given.num_nodes
    size = np.maximum(size, 1e-4 * size.mean())
    size = size / prior(given, scales, factors=1.0, products=1.0) ** 2
    matrix = x.T @ x / len(history) + 0.1 * np.diag(size)
    delta = scipy.linalg.solve(matrix, x.T @ rest / len(history), assume_a="pos")
    np.testing.assert_allclose(weights["N"], weights["all"] + delta, atol=1e-8)


def test_a_window_backwards_is_a_window_of_reversible_dynamics():
    given = system()
    history, target = windows(given.num_nodes, 10)
    scales = measure([history], [paths_of(given)])
    once, twice = PathGrams(scales, both=True), PathGrams(scales, both=False)
    once.add(0, history, target, paths_of(given), environments(given))
    twice.add(0, *both_ways(history, target), paths_of(given), environments(given))
    strengths = Strengths(0.1, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(
        *(g.solve(["all"], strengths)["all"] for g in (once, twice)), atol=1e-9
    )


@pytest.mark.parametrize(
    ("noise", "chosen"), [([0.0, 0.0, 0.0, 0.0], 1e-3), ([0.4, -0.4, 0.4, -0.4], 1e-4)]
)
def test_a_strength_changes_for_more_than_the_standard_error_of_the_gain(
    monkeypatch, noise, chosen
):
    def errors(self, strengths):
        better = strengths.everything == 1e-3
        return np.array([-3.0, -2.0, -1.0, -4.0]) - 0.1 * better + np.array(noise) * better

    monkeypatch.setattr(PathGrams, "errors", errors)
    grams = PathGrams(None, both=False)
    grams.parts = [{}] * 4
    assert grams.choose() == Strengths(everything=chosen)


def test_blocks_are_consecutive_in_time():
    parts = blocks(np.array([50, 10, 30, 20, 60, 40]), 3)
    assert [sorted(part.tolist()) for part in parts] == [[1, 3], [2, 5], [0, 4]]
