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

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops.linalg import matmul

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

    def weights(self, rings: Array) -> jax.Array:
        """w [P, T, 3] for points in the given rings [P]."""
        flat = self.ring[rings][:, None] + self.order
        shape = jnp.arange(self.order.shape[0]) == 0
        third = flat + jnp.where(shape, self.odd[0], self.odd[1])
        return jnp.exp(jnp.stack([flat, flat, third], axis=-1))


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
    scales: Scales, left: Array, right: Array, rings: Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The linear and the other part of the two kernels.

    Args:
      scales: see the module.
      left: z [n, P, T, 3].
      right: z' [n', P, T, 3].
      rings: of the points [P].

    Returns:
      E_lin + β and O_lin, then what is added to them in K_even and K_odd, each [n, n'].
    """
    points, past = left.shape[1:3]
    linear = scales.linear.weights(rings) * (points * past) ** -0.5
    even, odd, _, _ = _products(left, right, linear)
    e_product, o_product, _, _ = _products(left, right, scales.product.weights(rings) * past**-0.5)
    e, o, one, other = _products(left, right, scales.radial.weights(rings) * points**-0.5)
    e = e - 0.5 * one[:, None] - 0.5 * other
    plus, minus = jnp.exp(e + o), jnp.exp(e - o)
    total, difference = plus + minus, plus - minus
    half, factor = 0.5 * jnp.exp(scales.size), jnp.exp(scales.free) + e_product
    return (
        even + jnp.exp(scales.bias),
        odd,
        half * (factor * total + o_product * difference),
        half * (factor * difference + o_product * total),
    )


def _products(left: Array, right: Array, weights: jax.Array) -> tuple[jax.Array, ...]:
    """E and O [n, n'], and the squared lengths [n] and [n']."""
    left, right = left * weights, right * weights

    def rows(z: jax.Array) -> jax.Array:
        return z.reshape(z.shape[0], -1)

    return (
        matmul(rows(left[..., :2]), rows(right[..., :2]).T),
        matmul(rows(left[..., 2]), rows(right[..., 2]).T),
        jnp.sum(rows(left) ** 2, axis=1),
        jnp.sum(rows(right) ** 2, axis=1),
    )
