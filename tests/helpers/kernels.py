"""The kernel of local frames by its formula, in jax.numpy: differentiable, nothing collapsed or left out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from estag_jax.graph import Array
from estag_jax.ops.kernels import Scales, weights_of


def parity_kernels(
    scales: Scales, left: Array, right: Array, rings: Array, added: Any = None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The linear and the other part of the two kernels, as the docstring of ops.kernels has them.

    Args:
      scales: of the kernel.
      left: z [n, P, T, 3].
      right: z' [n', P, T, 3].
      rings: of the points [P].
      added: the dtype of the other parts; None for that of the inputs.

    Returns:
      E_lin + β and O_lin, then what is added to them in K_even and K_odd, each [n, n'].
    """

    def products(weights, left, right):
        left, right = left * weights, right * weights
        even = jnp.einsum("iptc,jptc->ij", left[..., :2], right[..., :2])
        odd = jnp.einsum("ipt,jpt->ij", left[..., 2], right[..., 2])
        squares = (jnp.sum(z**2, axis=(1, 2, 3)) for z in (left, right))
        return even, odd, *squares

    linear, product, radial = weights_of(jnp, scales, rings)
    even, odd, _, _ = products(linear, left, right)
    even = even + jnp.exp(scales.bias)
    short = jax.tree.map(lambda a: jnp.asarray(a, added), (scales, product, radial, left, right))
    scales, product, radial, left, right = short
    e_product, o_product, _, _ = products(product, left, right)
    e, o, one, other = products(radial, left, right)
    lengths = (one[:, None] + other) / 2
    plus, minus = jnp.exp(e + o - lengths), jnp.exp(e - o - lengths)
    half, free = jnp.exp(scales.size) / 2, jnp.exp(scales.free) + e_product
    return (
        even,
        odd,
        half * (free * (plus + minus) + o_product * (plus - minus)),
        half * (free * (plus - minus) + o_product * (plus + minus)),
    )
