"""The one precision policy: products of coordinates are computed in full float32 (or float64).

By default accelerators multiply in TF32 or bfloat16. Invariants rounded so coarsely jump when a rotation
changes their last bit, and equivariance is lost in the third digit.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp

HIGHEST = jax.lax.Precision.HIGHEST

einsum = partial(jnp.einsum, precision=HIGHEST)
"""``jnp.einsum`` in full precision."""

matmul = partial(jnp.matmul, precision=HIGHEST)
"""``jnp.matmul`` in full precision."""


def flat(x: jax.Array) -> jax.Array:
    """All axes but the last as one: [..., H] to [rows, H].

    XLA's CPU backend vectorises loops over two axes; the same products and activations over four take
    half as long again (benchmarks/train_step.py).
    """
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
