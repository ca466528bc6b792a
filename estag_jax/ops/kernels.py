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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops.linalg import Backend, matmul

RINGS = 6
"""Distances along bonds that are told apart: 0 … 4, and 5 or more."""


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


def parity_kernels(
    scales: Scales, left: Array, right: Array, rings: Array, added: Any = None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The linear and the other part of the two kernels, in all their terms.

    Args:
      scales: see the module.
      left: z [n, P, T, 3].
      right: z' [n', P, T, 3].
      rings: of the points [P].
      added: the dtype of the other parts; None for that of the inputs.

    Returns:
      E_lin + β and O_lin, then what is added to them in K_even and K_odd, each [n, n'].
    """

    def products(weights: jax.Array, left: Array, right: Array) -> tuple[jax.Array, ...]:
        """E and O [n, n'], and half the squared lengths [n] and [n']."""
        # The weights stand on one side alone: a derivative by them is one product of matrices, not two.
        scaled, lengths = left * weights**2, right**2 * weights**2
        return (
            matmul(rows(scaled[..., :2]), rows(right[..., :2]).T),
            matmul(rows(scaled[..., 2]), rows(right[..., 2]).T),
            0.5 * jnp.sum(rows(scaled * left), axis=1),
            0.5 * jnp.sum(rows(lengths), axis=1),
        )

    linear, product, radial = weights_of(jnp, scales, rings)
    even, odd, _, _ = products(linear, left, right)
    short = scales, product, radial, left, right
    if added is not None:
        short = jax.tree.map(lambda leaf: jnp.asarray(leaf, added), short)
    shorter, product, radial, *sides = short
    e_product, o_product, _, _ = products(product, *sides)
    others = _added(jnp, shorter, e_product, o_product, *products(radial, *sides))
    return even + jnp.exp(scales.bias), odd, *others


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

    def features(self, backend: Backend, z: Array) -> tuple[Array, Array, Array, Array]:
        """Inputs [n, P, T, 3] along the directions, a matrix [n, q] for each field."""
        even, odd = rows(z[..., :2]), rows(z[..., 2])
        sides = even, odd, even, odd
        return tuple(backend.matmul(a, b) for a, b in zip(sides, self, strict=True))


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
        for side in (np.s_[..., :2], np.s_[..., 2]):
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
    xp = backend.xp
    products = (backend.matmul(a, b.T) for a, b in zip(left, right, strict=True))
    halves = (0.5 * (xp.sum(f[2] ** 2, axis=1) + xp.sum(f[3] ** 2, axis=1)) for f in (left, right))
    return _added(xp, scales, *products, *halves)


def _added(xp, scales, e_product, o_product, e_radial, o_radial, one, other):
    """(b/2) [(c + E + O) ρ₊ ± (c + E - O) ρ₋], which are the two sums of the module."""
    e_radial = e_radial - one[:, None] - other
    factor = xp.exp(scales.free) + e_product
    plus = (factor + o_product) * xp.exp(e_radial + o_radial)
    minus = (factor - o_product) * xp.exp(e_radial - o_radial)
    half = 0.5 * xp.exp(scales.size)
    return half * (plus + minus), half * (plus - minus)
