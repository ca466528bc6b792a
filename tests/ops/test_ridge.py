"""Ridge paths and the search for λ against their definitions."""

import numpy as np
import pytest

from estag_jax.ops.ridge import line_search, ridge_path


@pytest.mark.parametrize(("rows", "features"), [(30, 8), (9, 20)])
def test_ridge_path_is_the_explicit_solution_primal_and_dual(rows, features):
    rng = np.random.default_rng(4)
    design, response = rng.normal(size=(rows, features)), rng.normal(size=(rows, 5))
    scale = np.trace(design.T @ design) / features
    for ridge in (1e-3, 1.0, 30.0):
        gram = design.T @ design + ridge * scale * np.eye(features)
        expected = np.linalg.inv(gram) @ design.T @ response
        for dual in (False, True, None):
            basis, coefficients = ridge_path(design, response, dual)
            np.testing.assert_allclose(basis @ coefficients(ridge), expected, atol=1e-11)
    assert basis.shape == (features, min(rows, features))  # None takes the smaller problem


def test_grid_is_widened_at_both_ends():
    for decade in (-12.3, -4.32, 4.2):
        assert line_search(lambda x, d=decade: (x - d) ** 2) == pytest.approx(decade, abs=0.06)
    assert line_search(lambda x: x) == -13 and line_search(lambda x: -x) == 6  # and then stops


def test_a_design_of_zeros_and_a_singular_one_have_finite_weights():
    basis, coefficients = ridge_path(np.zeros((6, 3)), np.ones((6, 2)))
    np.testing.assert_array_equal(basis @ coefficients(1e-10), 0)
    column = np.arange(1.0, 7.0)[:, None]
    basis, coefficients = ridge_path(np.repeat(column, 3, axis=1), 6 * column)
    # Three columns that are the same share the weight: the least squares solution of least norm.
    np.testing.assert_allclose(basis @ coefficients(1e-6), np.full((3, 1), 2.0), rtol=1e-6)


def test_the_search_refines_its_best_and_asks_for_no_decade_twice():
    asked = []

    def error(x):
        asked.append(x)
        return (x + 3.9) ** 2

    assert line_search(error) == pytest.approx(-3.9, abs=0.051)
    coarse = sorted(set(asked))
    assert len(coarse) >= len(asked) - 1  # the middle of the refinement is the best of the grid
    assert min(np.diff(coarse)) < 0.11
