"""The one precision policy: products of coordinates are computed in full float32 (or float64).

By default accelerators multiply in TF32 or bfloat16. Invariants rounded so coarsely jump when a rotation
changes their last bit, and equivariance is lost in the third digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array

HIGHEST = jax.lax.Precision.HIGHEST

einsum = partial(jnp.einsum, precision=HIGHEST)
"""``jnp.einsum`` in full precision."""

matmul = partial(jnp.matmul, precision=HIGHEST)
"""``jnp.matmul`` in full precision."""


class Backend(NamedTuple):
    """What arrays are computed with.

    Args:
      xp: numpy or jax.numpy.
      einsum: in full precision.
      matmul: in full precision.
    """

    xp: Any
    einsum: Callable[..., Any]
    matmul: Callable[..., Any]


NUMPY, JAX = Backend(np, np.einsum, np.matmul), Backend(jnp, einsum, matmul)


def backend_of(x: Any) -> tuple[Backend, Array]:
    """How an array is computed with, and the array: numpy in float64, jax's in float32 or better."""
    if isinstance(x, jax.Array):
        return JAX, x.astype(jnp.result_type(x.dtype, jnp.float32))
    return NUMPY, np.asarray(x, np.float64)


def flat(x: jax.Array) -> jax.Array:
    """All axes but the last as one: [..., H] to [rows, H].

    XLA's CPU backend vectorises loops over two axes; the same products and activations over four take
    half as long again (benchmarks/train_step.py).
    """
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
