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
import scipy.linalg

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


def solver() -> Backend:
    """What large systems are solved with: numpy and scipy on a CPU, jax where its device is another."""
    return NUMPY if jax.default_backend() == "cpu" else JAX


def factorised(backend: Backend, matrix: Array) -> tuple[Array, bool]:
    """The Cholesky factor of a positive A [n, n], whose lower triangle is read; numpy overwrites it."""
    if backend is NUMPY:
        # LAPACK counts by columns: the transpose is factorised where it lies.
        return scipy.linalg.cho_factor(matrix.T, overwrite_a=True, check_finite=False)
    return jax.scipy.linalg.cho_factor(matrix, lower=True)


def solve_factorised(backend: Backend, factor: tuple[Array, bool], right: Array) -> Array:
    """X of A X = Y [n, M] for a factor of :func:`factorised`."""
    solve = (scipy if backend is NUMPY else jax.scipy).linalg.cho_solve
    return solve(factor, right, check_finite=False)


def solve_positive(backend: Backend, matrix: Array, right: Array) -> Array:
    """X of A X = Y for a positive A, by Cholesky; reads its lower triangle and, in numpy, overwrites it.

    Args:
      backend: of the arrays.
      matrix: A [n, n].
      right: Y [n, M].
    """
    return solve_factorised(backend, factorised(backend, matrix), right)


def cholesky(backend: Backend, matrix: Array) -> Array:
    """The lower factor of a positive matrix."""
    return backend.xp.linalg.cholesky(matrix)


def solve_triangular(backend: Backend, lower: Array, right: Array, transposed: bool = False):
    """L^{-1} Y, or L^{-T} Y."""
    solve = (scipy if backend is NUMPY else jax.scipy).linalg.solve_triangular
    return solve(lower, right, lower=True, trans=int(transposed))


def nearest_rotation(backend: Backend, matrix: Array) -> Array:
    """U diag(1, 1, ±1) V^T of M = U S V^T [..., 3, 3]: the proper rotation R with the largest tr M^T R.

    W. Kabsch, Acta Cryst. A32 (1976) 922.
    """
    xp = backend.xp
    left, _, right = xp.linalg.svd(matrix)
    hand = xp.sign(xp.linalg.det(left) * xp.linalg.det(right))
    last = xp.stack([xp.ones_like(hand), xp.ones_like(hand), hand], axis=-1)
    return backend.matmul(left * last[..., None, :], right)


def flat(x: jax.Array) -> jax.Array:
    """All axes but the last as one: [..., H] to [rows, H].

    XLA's CPU backend vectorises loops over two axes; the same products and activations over four take
    half as long again (benchmarks/train_step.py).
    """
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
