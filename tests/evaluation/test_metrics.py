"""Metrics against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.evaluation import metrics


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


def test_padding_nodes_do_not_count():
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 4, 5, 1, 3))
    mask = np.array(
        [[True, True, True, False, False], [True] * 5, [True] * 5, [False, True] * 2 + [True]]
    )
    found = metrics.per_window_mse(prediction, target, mask)
    expected = [
        np.mean((p[m] - t[m]) ** 2) for p, t, m in zip(prediction, target, mask, strict=True)
    ]
    np.testing.assert_allclose(found, expected)
    shared = metrics.per_window_mse(prediction, target, mask[:1])
    np.testing.assert_allclose(shared, metrics.per_window_mse(prediction[:, :3], target[:, :3]))
    assert not np.allclose(found, metrics.per_window_mse(prediction, target))


def test_shapes_that_merely_broadcast_are_refused():
    target = np.zeros((8, 3, 1, 3))
    for bad in (target[:, :, :0], target[:1]):
        with pytest.raises(ValueError, match="must both be"):
            metrics.mse(target, bad)
    with pytest.raises(ValueError, match="W >= 2"):
        metrics.standard_error(np.ones(1))
