"""The slope of the held-out error: the loss spelled out and differentiated by jax, numpy and jax alike."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.kernels import parity_kernels

from estag_jax.ops import linalg
from estag_jax.ops.held_out import held_out_slope
from estag_jax.ops.kernel_regression import BLOCK
from estag_jax.ops.kernels import initial_scales

POINTS, PAST, FITTED, HELD = 3, 4, BLOCK + 30, 20
BACKENDS = pytest.mark.parametrize("backend", [linalg.NUMPY, linalg.JAX], ids=["numpy", "jax"])


@pytest.fixture
def problem():
    """Scales, fitted and held-out samples of two channels, rings and noise."""
    rng = np.random.default_rng(0)
    scales = jax.tree.map(lambda a: a + 0.2 * rng.normal(size=a.shape), initial_scales(PAST))
    # Much noise: the equations are then well posed, and float32 costs little.
    scales = dataclasses.replace(scales, noise=np.array([-1.0, -1.5]))
    z = rng.normal(size=(FITTED + HELD, POINTS, PAST, 3))
    y = rng.normal(size=(FITTED + HELD, 6)) + z[:, :2, 1].reshape(-1, 6)
    noise = np.where(np.arange(FITTED) < 100, 1.0, 2.0)
    sides = (z[:FITTED], y[:FITTED]), (z[FITTED:], y[FITTED:])
    return scales, *sides, np.array([0, 1, 5]), noise


def loss(scales, fitted, held, rings, noise):
    """log mean |K_vt (K_tt + Σ)^{-1} y_t - y_v|² with the whole kernels, even and odd."""
    (z, y), (other, expected) = fitted, held
    own, across = (parity_kernels(scales, a, z, rings) for a in (z, other))
    total = 0.0
    for parity, columns in ((0, slice(4)), (1, slice(4, None))):
        matrix = own[parity] + own[parity + 2]
        matrix = matrix + jnp.diag(jnp.exp(scales.noise[parity]) * noise)
        found = (across[parity] + across[parity + 2]) @ jnp.linalg.solve(matrix, y[:, columns])
        total += jnp.sum((found - expected[:, columns]) ** 2)
    return jnp.log(total / expected.size)


@BACKENDS
def test_the_slope_is_the_derivative_of_the_loss(problem, backend, x64):
    expected = jax.grad(loss)(*problem)
    found = held_out_slope(backend, *jax.tree.map(backend.xp.asarray, problem))
    size = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    assert size > 0.01
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        assert isinstance(one, jax.Array) == (backend is linalg.JAX)
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * size)


@BACKENDS
def test_what_is_not_positive_is_said(problem, backend, x64):
    *given, noise = jax.tree.map(backend.xp.asarray, problem)
    given = *given, -1e3 * noise
    if backend is linalg.NUMPY:
        with pytest.raises(np.linalg.LinAlgError):
            held_out_slope(backend, *given)
    else:
        assert np.isnan(held_out_slope(backend, *given).noise).all()
