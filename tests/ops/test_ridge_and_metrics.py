"""Ridge paths and metrics against their definitions, and the figures that they have to give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from estag_jax.models.closed_form import fit_all

from estag_jax.data.splits import SplitConfig, split
from estag_jax.data.windows import WindowConfig, gather
from estag_jax.evaluation import metrics
from estag_jax.ops.ridge import line_search, ridge_path
from estag_jax.sources.catalog import load


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
        ):
            np.testing.assert_allclose(measure(*pair), expected, rtol=tolerance)
        errors = metrics.per_window_mse(*pair)
        np.testing.assert_allclose(metrics.standard_error(errors), spread, rtol=10 * tolerance)
    gradient = jax.jit(jax.grad(metrics.mse))(*pair)
    np.testing.assert_allclose(gradient, 2 * gap / gap.size, rtol=1e-5)


# Test MSE in 10^-3 Å², measured before this program was written (T=10, Δ=10, heavy atoms).
FINDINGS = {
    "aspirin": (0.719, 0.542, 0.156, 0.0509),
    "ethanol": (0.498, 0.428, 0.121, 0.0849),
    "uracil": (0.632, 0.549, 0.147, 0.0455),
}


@pytest.mark.data
@pytest.mark.parametrize("molecule", FINDINGS)
def test_figures_are_those_of_the_findings(shared_data, molecule):
    trajectory = load(str(shared_data / "md_xtb" / f"{molecule}_xtb.npz"))
    window = WindowConfig(past=10, delta=10)
    parts = split(trajectory, window, SplitConfig(kind="paper"))
    assert len(parts.train) == 500 and min(len(parts.validation), len(parts.test)) > 1900
    train, validation, test = (
        gather(trajectory.positions, part, window)
        for part in (parts.train, parts.validation, parts.test)
    )
    measured = {
        f.name: 1e3 * metrics.mse(f(test[0]), test[1]) for f in fit_all(*train, *validation)
    }
    names = ("Last frame", "Constant velocity", "AR-LS", "VAR ridge")
    assert [measured[n] for n in names] == pytest.approx(FINDINGS[molecule], rel=0.1)
