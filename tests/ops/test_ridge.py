"""Ridge paths against their definition."""

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
