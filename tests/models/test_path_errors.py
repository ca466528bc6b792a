"""Error bars for systems that were never seen."""

import numpy as np
import pytest
from helpers.bond_paths import system, task
from scipy.stats import chi2

from estag_jax.models.path_errors import LeftOut, error_bars, quantiles, variances
from estag_jax.models.path_ridge import PathRidge

pytestmark = pytest.mark.optimised

TREE = {"all": (0, ""), "C": (1, "all"), "C1 (C2)": (2, "C"), "C2 (C1 C1)": (2, "C")}


def chain(nodes, element=6):
    bonds = [(n, n + 1) for n in range(nodes - 1)]
    return system(bonds, [element] + [6] * (nodes - 1), [2] * nodes)


@pytest.fixture(scope="module")
def fitted():
    return PathRidge().fit(task(*(chain(n) for n in (3, 4, 5, 6))))


def test_a_variance_is_the_mean_over_nodes_drawn_to_that_of_the_level():
    found = [
        LeftOut(("C1 (C2)", "C"), np.array([[1.0, 8.0], [3.0, 12.0]])),
        LeftOut(("C1 (C2)", "C2 (C1 C1)"), np.array([[4.0, 9.0]])),
    ]
    level = (2.0 + 4.0 + 9.0) / 3
    expected = [10.0, 10.0, (2.0 + 4.0 + 2 * level) / 4, (9.0 + 2 * level) / 3]
    np.testing.assert_allclose(variances(TREE, found), expected)


def test_what_was_not_seen_has_no_less_than_what_was_on_average():
    found = [LeftOut(("C1 (C2)", "C2 (C1 C1)", "C"), np.array([[4.0, 6.0, 1.0]]))]
    below = [(4.0 + 2 * 5.0) / 3, (6.0 + 2 * 5.0) / 3]
    np.testing.assert_allclose(variances(TREE, found), [5.0, 5.0, *below])


def test_distances_of_gaussian_errors_have_the_quantiles_of_chi_square():
    rng = np.random.default_rng(0)
    names = ("C1 (C2)", "C", "C2 (C1 C1)", "C1 (C2)")
    size = np.array([1.0, 3.0, 1.0, 1.0])
    found = [LeftOut(names, size * rng.chisquare(3, (4000, 4)) / 3) for _ in range(3)]
    got = quantiles(TREE, found)
    np.testing.assert_allclose(got[[49, 89]], chi2.ppf([0.5, 0.9], 3), rtol=0.05)


def test_they_are_the_same_in_all_directions():
    rng = np.random.default_rng(0)
    bars = error_bars(np.array([1.0, 4.0]), chi2.ppf(np.arange(1, 100) / 100, 3), 5)
    history, forecast = rng.normal(size=(3, 2, 5, 1, 3)), rng.normal(size=(3, 2, 1, 3))
    found = bars.distribution(history, forecast)
    expected = np.array([1.0, 4.0])[:, None, None, None] * np.eye(3)
    np.testing.assert_allclose(found.covariance, np.broadcast_to(expected, (3, 2, 1, 3, 3)))
    joint = bars.distribution(history, forecast, joint=True).covariance
    np.testing.assert_allclose(joint[0], np.diag([1.0] * 3 + [4.0] * 3), atol=1e-12)


def test_an_unseen_environment_has_a_larger_error_bar(fitted):
    (seen, unseen) = (fitted.bars_of(chain(7, element)) for element in (6, 16))
    assert fitted.unseen(chain(7)) == () and len(fitted.unseen(chain(7, 16))) == 2
    # The sulphur and its neighbour; the others are the same nodes in both.
    assert unseen.rest[:2].min() >= fitted.variances[2:].mean()
    np.testing.assert_array_equal(unseen.rest[2:], seen.rest[2:])


def test_they_cover_the_errors_of_a_system_that_was_not_in_training(fitted):
    other = chain(7)
    (test,) = task(other).windows("test")
    found = fitted.bars_of(other).distribution(test.history, fitted(test.history, other))
    error, variance = test.target[:, 0] - found.mean, found.covariance[..., 0, 0]
    assert np.mean(np.sum(error**2, -1) <= variance * found.radius**2) > 0.8
    # They are not wide either.
    assert variance.mean() < 9 * np.mean(error**2)


def test_fewer_than_three_systems_tell_nothing_of_others(fitted):
    assert PathRidge().fit(task(chain(3), chain(4))).bars_of(chain(5)) is None
