"""The kernel of local frames, spelled out term by term."""

import jax
import numpy as np
import pytest

from estag_jax.ops import linalg
from estag_jax.ops.kernels import (
    RINGS,
    Metric,
    added_features,
    added_kernels,
    initial_scales,
    linear_features,
)

PAST, POINTS = 3, 4


@pytest.fixture
def scales():
    """Random scales around the initial ones, all different."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape), initial_scales(PAST))


def weight(metric, ring, order, component):
    log = metric.ring[ring] + metric.order[order]
    if component == 2:
        log += metric.odd[0 if order == 0 else 1]
    return float(np.exp(log))


def spelled_out(scales, one, other, rings):
    """K_even and K_odd of two inputs [P, T, 3], by loops."""

    def products(metric, factor):
        total = np.zeros(4)
        for p, m, c in np.ndindex(POINTS, PAST, 3):
            square = (factor * weight(metric, rings[p], m, c)) ** 2
            total[1 if c == 2 else 0] += square * one[p, m, c] * other[p, m, c]
            total[2] += square * one[p, m, c] ** 2
            total[3] += square * other[p, m, c] ** 2
        return total

    even, odd, _, _ = products(scales.linear, (POINTS * PAST) ** -0.5)
    e_product, o_product, _, _ = products(scales.product, PAST**-0.5)
    e, o, a, b = products(scales.radial, POINTS**-0.5)
    plus, minus = np.exp(e + o - (a + b) / 2), np.exp(e - o - (a + b) / 2)
    half, free = np.exp(scales.size) / 2, np.exp(scales.free)
    even += np.exp(scales.bias)
    even += half * ((free + e_product) * (plus + minus) + o_product * (plus - minus))
    odd += half * ((free + e_product) * (plus - minus) + o_product * (plus + minus))
    return even, odd


def kernels(scales, left, right, rings):
    """E_lin + β and O_lin, and what is added to them in K_even and K_odd, as the package computes them."""
    linear = (linear_features(np, scales, z, rings) for z in (left, right))
    added = (added_features(np, scales, z, rings) for z in (left, right))
    return *(a @ b.T for a, b in zip(*linear, strict=True)), *added_kernels(
        linalg.NUMPY, scales, *added
    )


def test_kernels_are_the_formula(scales):
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(5, POINTS, PAST, 3)), rng.normal(size=(6, POINTS, PAST, 3))
    rings = np.array([0, 1, 2, RINGS - 1])
    linear_even, linear_odd, even, odd = kernels(scales, left, right, rings)
    for i, j in np.ndindex(5, 6):
        expected = spelled_out(scales, left[i], right[j], rings)
        found = linear_even[i, j] + even[i, j], linear_odd[i, j] + odd[i, j]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_kernels_are_positive_and_know_the_hand(scales):
    """A mirrored input changes the sign of the odd kernel alone, so outputs mirror with it."""
    z = np.random.default_rng(2).normal(size=(30, POINTS, PAST, 3))
    rings = np.arange(POINTS)
    found = kernels(scales, z, z, rings)
    for part in (*found, found[0] + found[2], found[1] + found[3]):
        np.testing.assert_allclose(part, part.T, atol=1e-12)
        values = np.linalg.eigvalsh(part)
        assert values.min() > -1e-9 * values.max()
    mirrored = kernels(scales, z * np.array([1, 1, -1]), z, rings)
    for one, other, sign in zip(found, mirrored, (1, -1, 1, -1), strict=True):
        np.testing.assert_allclose(other, sign * one, rtol=1e-9, atol=1e-12)
    assert np.abs(found[3]).max() > 1e-3


def test_weights_fall_with_distance_and_order():
    scales = initial_scales(6)
    for metric in (scales.linear, scales.product, scales.radial):
        assert isinstance(metric, Metric) and (np.diff(metric.ring) < 0).all()
    assert (np.diff(scales.radial.order) < 0).all()
