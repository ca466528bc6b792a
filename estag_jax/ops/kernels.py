"""A kernel on what a node sees from its local frame, split by parity.

Inputs are z [n, P, T, 3]: components 1 and 2 are even under reflection, the third is odd. With three
diagonal metrics A in {linear, product, radial}, weights w_A(p, m, c) and

    E_A(z, z') = sum over c = 1, 2 of w_A² z z',   O_A over c = 3,
    ρ± = exp(E_radial ± O_radial - |z|²/2 - |z'|²/2)

the kernels of the even and of the odd outputs are

    K_even = E_lin + β + (b/2) [(c + E_prod)(ρ₊ + ρ₋) + O_prod (ρ₊ - ρ₋)]
    K_odd  = O_lin     + (b/2) [(c + E_prod)(ρ₊ - ρ₋) + O_prod (ρ₊ + ρ₋)]

a linear map, a linear map whose weights vary with the shape and the motion, and a free term.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops.linalg import Backend

RINGS = 6
"""Distances along bonds that are told apart: 0 … 4, and 5 or more."""

SIDES = np.s_[..., :2], np.s_[..., 2]
"""The even and the odd components of inputs."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Metric:
    """Logarithms of the weights: log w = ring[r] + order[m] + [c = 3] odd[m > 0], up to a constant.

    Args:
      ring: by the distance of the node along bonds [RINGS].
      order: by the order of the difference [T].
      odd: for the third component, of the shape and of the differences [2].
    """

    ring: Array
    order: Array
    odd: Array

    def weights(self, xp: Any, rings: Array) -> Array:
        """w [P, T, 3] for points in the given rings [P], by numpy or jax.numpy."""
        flat = self.ring[rings][:, None] + self.order
        shape = xp.arange(self.order.shape[0]) == 0
        third = flat + xp.where(shape, self.odd[0], self.odd[1])
        return xp.exp(xp.stack([flat, flat, third], axis=-1))

    def slope(self, xp: Any, rings: Array, even: Array, odd: Array) -> Metric:
        """A derivative by the logarithms, from that by log w of the inputs: even [2 P T], odd [P T]."""
        past = self.order.shape[0]
        third = odd.reshape(-1, past)
        both = xp.sum(even.reshape(-1, past, 2), axis=-1) + third
        members = xp.asarray(rings) == xp.arange(RINGS)[:, None]
        shape, rest = xp.sum(third[:, 0]), xp.sum(third[:, 1:])
        return Metric(members @ xp.sum(both, axis=1), xp.sum(both, axis=0), xp.stack([shape, rest]))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scales:
    """The scales of the kernel, as logarithms.

    Args:
      linear, product, radial: the metrics.
      size: b.
      free: c.
      bias: β.
      noise: what is added to the diagonals of the even and the odd kernel [2].
    """

    linear: Metric
    product: Metric
    radial: Metric
    size: Array
    free: Array
    bias: Array
    noise: Array


def initial_scales(past: int) -> Scales:
    """Where the search starts: far nodes and high orders count less, the map is nearly linear."""
    ring, order = np.arange(RINGS), np.arange(past)

    def metric(slope: float, orders: np.ndarray) -> Metric:
        return Metric(slope * ring, np.asarray(orders, float), np.zeros(2))

    return Scales(
        linear=metric(-0.4, np.minimum(1.0 + 0.5 * order, 4.0)),
        product=metric(-1.7, np.where(order == 0, 3.5, 0.8 - 0.2 * order)),
        radial=metric(-0.7, -1.8 - 0.65 * order),
        size=np.array(-2.8),
        free=np.array(4.0),
        bias=np.array(-4.5),
        noise=np.full(2, -6.0),
    )


def weights_of(xp: Any, scales: Scales, rings: Array) -> tuple[Array, Array, Array]:
    """The weights w [P, T, 3] of the linear, the product and the radial metric."""
    points, past = len(rings), scales.linear.order.shape[0]
    return (
        scales.linear.weights(xp, rings) * (points * past) ** -0.5,
        scales.product.weights(xp, rings) * past**-0.5,
        scales.radial.weights(xp, rings) * points**-0.5,
    )


def rows(z: Array) -> Array:
    """One row for each input."""
    return z.reshape(z.shape[0], -1)


def linear_features(xp: Any, scales: Scales, z: Array, rings: Array) -> tuple[Array, Array]:
    """Φ+ [n, 2 P T + 1] and Φ- [n, P T] of inputs: E_lin + β and O_lin are Φ Φ'^T."""
    z = z * weights_of(xp, scales, rings)[0]
    bias = xp.full((len(z), 1), xp.exp(0.5 * scales.bias))
    return xp.concatenate([rows(z[..., :2]), bias], axis=1), rows(z[..., 2])


def added_features(xp: Any, scales: Scales, z: Array, rings: Array) -> tuple[Array, ...]:
    """What added_kernels takes of inputs along all axes: as Directions.features, none left out."""
    _, *weights = weights_of(xp, scales, rings)
    return _with_lengths(xp, [rows((z * w)[side]) for w in weights for side in SIDES])


def _with_lengths(xp: Any, features: list[Array]) -> tuple[Array, ...]:
    """The features, and half the squared lengths of the radial ones."""
    return *features, 0.5 * (xp.sum(features[2] ** 2, axis=1) + xp.sum(features[3] ** 2, axis=1))


class Directions(NamedTuple):
    """Few directions of the inputs that the product and the radial kernel look along.

    Args:
      product_even: from the components 1 and 2 of z [2 P T, q].
      product_odd: from the third component [P T, q'].
      radial_even, radial_odd: as these.
    """

    product_even: Array
    product_odd: Array
    radial_even: Array
    radial_odd: Array

    def features(self, backend: Backend, z: Array) -> tuple[Array, ...]:
        """Inputs [n, P, T, 3] along the directions, a matrix [n, q] for each field, and |z|²/2 [n]."""
        sides = 2 * [rows(z[side]) for side in SIDES]
        along = [backend.matmul(a, b) for a, b in zip(sides, self, strict=True)]
        return _with_lengths(backend.xp, along)


def directions(scales: Scales, z: np.ndarray, rings: np.ndarray, cut: float) -> Directions:
    """The principal directions of weighted inputs, without those that hardly matter.

    Those of each metric and parity are left out whose variances sum up to less than ``cut``, that of the
    product relative to c. Products along the others are a kernel as good as before, at a fraction of the
    cost, and inputs of both parities stay apart.

    Args:
      scales: see the module.
      z: inputs [n, P, T, 3].
      rings: of the points [P].
      cut: 0 leaves none out.
    """
    _, product, radial = weights_of(np, scales, rings)
    found = []
    for weights, rest in ((product, cut * np.exp(float(scales.free))), (radial, cut)):
        for side in SIDES:
            flat = weights[side].ravel()
            weighted = rows(z[side]) * flat
            variances, vectors = np.linalg.eigh(weighted.T @ weighted / len(z))
            kept = np.cumsum(np.maximum(variances, 0.0)) >= rest
            found.append(flat[:, None] * vectors[:, kept])
    return Directions(*found)


def added_kernels(
    backend: Backend, scales: Scales, left: tuple[Array, ...], right: tuple[Array, ...]
) -> tuple[Array, Array]:
    """What is added to the linear kernels in K_even and K_odd [n, n'], of features along directions."""
    plus, minus, up, down = _factors(backend, scales, left, right)
    plus *= up
    minus *= down
    even = plus + minus
    plus -= minus
    return even, plus


def added_slopes(
    backend: Backend,
    scales: Scales,
    left: tuple[Array, ...],
    right: tuple[Array, ...],
    even: Array,
    odd: Array,
) -> tuple[Array, ...]:
    """Derivatives of the sum of both added kernels, weighted.

    Args:
      backend, scales, left, right: as for :func:`added_kernels`; features along the axes of inputs.
      even, odd: the weights of the kernels [n, n'].

    Returns:
      The derivatives by the logarithms of the weights of each feature [q], four fields, and those by the
      logarithms of c and of b.
    """
    xp = backend.xp
    plus, minus, up, down = _factors(backend, scales, left, right)
    up *= even + odd
    down *= even - odd
    plus *= up
    minus *= down
    by = up + down, up - down, plus + minus, plus - minus
    found = [
        2 * xp.sum(a * backend.matmul(slope, b), axis=0)
        for slope, a, b in zip(by, left[:-1], right[:-1], strict=True)
    ]
    one, other = xp.sum(by[2], axis=1), xp.sum(by[2], axis=0)
    for k in (2, 3):
        found[k] = found[k] - one @ left[k] ** 2 - other @ right[k] ** 2
    return *found, xp.exp(scales.free) * xp.sum(by[0]), xp.sum(one)


def _factors(backend, scales, left, right):
    """Of the two terms that K_even is the sum of, K_odd the difference: c + E ± O, then (b/2) ρ±."""
    xp = backend.xp
    (*left, one), (*right, other) = left, right
    e_product, o_product, e_radial, o_radial = (
        backend.matmul(a, b.T) for a, b in zip(left, right, strict=True)
    )
    e_product += xp.exp(scales.free)
    e_radial -= (one - scales.size + math.log(2))[:, None]
    e_radial -= other
    plus, up = e_product + o_product, xp.exp(e_radial + o_radial)
    e_product -= o_product
    e_radial -= o_radial
    return plus, e_product, up, xp.exp(e_radial)
