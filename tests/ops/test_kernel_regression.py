"""Kernel regression with a linear part: the equations spelled out, Nyström, numpy and jax alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.kernels import parity_kernels

from estag_jax.ops import kernel_regression, linalg
from estag_jax.ops.kernel_regression import BLOCK, Side, solve, solve_nystrom
from estag_jax.ops.kernels import directions, initial_scales, linear_features

POINTS, PAST, COUNT = 3, 3, BLOCK + 40


@pytest.fixture(scope="module")
def problem():
    """Inputs [n, P, T, 3], scales, sides, and the features that the two solutions take."""
    rng = np.random.default_rng(0)
    scales, rings = initial_scales(PAST), np.arange(POINTS)
    z = rng.normal(size=(COUNT, POINTS, PAST, 3))
    flat, third = linear_features(np, scales, z, rings)
    even = np.stack([np.sin(z[:, 0, 0, 0]) * z[:, 1, 1, 1], z[:, 0, 1, 0]], axis=1)
    odd = z[:, :1, 0, 2] * np.cos(z[:, :1, 0, 0])
    noise = np.where(np.arange(COUNT) < 200, 1e-2, 2e-2)
    sides = Side(flat, noise, even), Side(third, noise, odd)
    features = directions(scales, z, rings, 0.0).features(linalg.NUMPY, z)
    return z, scales, rings, features, sides


def forecasts(found, features, sides, scales, samples):
    """L w + R α of all inputs, even and odd."""
    added = kernel_regression.added_kernels(
        linalg.NUMPY, scales, features, tuple(f[samples] for f in features)
    )
    return [
        side.linear @ weights + rest @ alpha
        for side, rest, (weights, alpha) in zip(sides, added, found, strict=True)
    ]


def test_the_solution_is_that_of_the_whole_kernel(problem, x64):
    z, scales, rings, features, sides = problem
    found = solve(linalg.NUMPY, scales, features, sides)
    kernels = [np.asarray(k) for k in parity_kernels(scales, z, z, rings)]
    fitted = forecasts(found, features, sides, scales, slice(None))
    for parity, side in enumerate(sides):
        whole = kernels[parity] + kernels[parity + 2]
        alpha = np.linalg.solve(whole + np.diag(side.noise), side.response)
        np.testing.assert_allclose(found[parity][1], alpha, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(fitted[parity], whole @ alpha, atol=1e-9)
        residual = np.mean((fitted[parity] - side.response) ** 2)
        assert residual < 0.01 * np.mean(side.response**2)


@pytest.mark.parametrize("samples", [None, np.arange(0, COUNT, 3)])
def test_jax_and_numpy_solve_alike(problem, samples, x64):
    """What runs on an accelerator, on the CPU."""
    _, scales, _, features, sides = problem
    given = jax.tree.map(jnp.asarray, (scales, features, sides))
    if samples is None:
        found = solve(linalg.NUMPY, scales, features, sides), solve(linalg.JAX, *given)
    else:
        found = (
            solve_nystrom(linalg.NUMPY, scales, features, sides, samples),
            solve_nystrom(linalg.JAX, *given, samples),
        )
    for one, other in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        assert isinstance(other, jax.Array) and other.dtype == jnp.float64
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-8)


def test_the_device_decides_what_solves(monkeypatch):
    assert linalg.solver() is linalg.NUMPY
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert linalg.solver() is linalg.JAX


def test_nystrom_with_all_samples_is_the_solution_and_with_some_is_near(problem, monkeypatch):
    _, scales, _, features, sides = problem
    exact = solve(linalg.NUMPY, scales, features, sides)
    exact = forecasts(exact, features, sides, scales, slice(None))
    gaps = []
    for jitter, samples in ((1e-7, np.arange(COUNT)), (0.1, np.arange(0, COUNT, 2))):
        monkeypatch.setattr(kernel_regression, "JITTER", jitter)
        found = solve_nystrom(linalg.NUMPY, scales, features, sides, samples)
        near = forecasts(found, features, sides, scales, samples)
        gaps.append(max(np.std(a - b) / np.std(b) for a, b in zip(near, exact, strict=True)))
    assert gaps[0] < 1e-4
    assert gaps[0] < gaps[1] < 0.3


def test_few_directions_are_nearly_all_of_the_kernel():
    rng, scales, rings = np.random.default_rng(1), initial_scales(PAST), np.arange(POINTS)
    z = rng.normal(size=(50, POINTS, PAST, 3)) * np.geomspace(1, 1e-5, PAST)[:, None]

    def kernel(cut):
        features = directions(scales, z, rings, cut).features(linalg.NUMPY, z)
        both = kernel_regression.added_kernels(linalg.NUMPY, scales, features, features)
        return np.stack(both), sum(f.shape[1] for f in features[:4])

    (whole, every), (most, few), (coarse, fewer) = (kernel(cut) for cut in (0.0, 1e-6, 1e-2))
    assert every == 2 * 3 * POINTS * PAST and fewer < few < 0.8 * every
    assert np.abs(most - whole).max() < 1e-4 * np.abs(whole).max()
    assert np.abs(coarse - whole).max() > 1e-4 * np.abs(whole).max()
