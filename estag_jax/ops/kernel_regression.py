"""Kernel ridge regression with a linear part, even and odd outputs apart: solved whole, or by Nyström.

The kernels are L L^T + R, L the rows of a linear map with a unit prior and R what is added to it
(ops.kernels). Either way the forecast is L* w + R* α: the linear part has weights of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg
from estag_jax.ops.kernels import Scales, added_kernels

BLOCK = 256
"""Samples whose rows of a matrix are computed at once."""

JITTER = 0.01
"""Of the noise, added to the diagonal of the inducing samples' kernel: α stays small."""


class Side(NamedTuple):
    """One of the two regressions, of the even or of the odd outputs.

    Args:
      linear: L [n, D].
      noise: the variance of each sample's noise [n].
      response: y [n, M].
    """

    linear: Array
    noise: Array
    response: Array


def regularised(
    backend: linalg.Backend, scales: Scales, features: tuple[Array, ...], sides: tuple[Side, Side]
) -> list[Array]:
    """L L^T + R + Σ of both sides [n, n]; of numpy's the lower triangle alone, see :func:`solve`."""
    count = len(sides[0].noise)
    if backend is linalg.NUMPY:
        matrices = [np.empty((count, count)) for _ in sides]
        for begin in range(0, count, BLOCK):
            # The factorisation reads the lower triangle alone.
            some, before = slice(begin, begin + BLOCK), slice(0, begin + BLOCK)
            added = added_kernels(backend, scales, _at(features, some), _at(features, before))
            for matrix, side, rest in zip(matrices, sides, added, strict=True):
                linear = side.linear[some] @ side.linear[before].T
                np.add(linear, rest, out=matrix[some, before])
        for matrix, side in zip(matrices, sides, strict=True):
            matrix[np.diag_indices(count)] += side.noise
        return matrices
    added = added_kernels(backend, scales, features, features)
    return [
        backend.matmul(side.linear, side.linear.T) + rest + backend.xp.diag(side.noise)
        for side, rest in zip(sides, added, strict=True)
    ]


def solve(
    backend: linalg.Backend, scales: Scales, features: tuple[Array, ...], sides: tuple[Side, Side]
) -> list[tuple[Array, Array]]:
    """(L L^T + R + Σ) α = y by Cholesky; w = L^T α.

    Args:
      backend: numpy, which works in place and block by block, or jax.
      scales: of the kernels.
      features: of the samples along directions, [n, q] each.
      sides: even and odd.

    Returns:
      w [D, M] and α [n, M] of both sides.
    """
    matrices = regularised(backend, scales, features, sides)
    found = []
    for side in sides:
        alpha = linalg.solve_positive(backend, matrices.pop(0), side.response)
        found.append((backend.matmul(side.linear.T, alpha), alpha))
    return found


def solve_nystrom(
    backend: linalg.Backend,
    scales: Scales,
    features: tuple[Array, ...],
    sides: tuple[Side, Side],
    inducing: np.ndarray,
) -> list[tuple[Array, Array]]:
    """The same with R restricted to sums of the kernel at inducing samples; the linear part is exact.

    With U U^T = R_mm and A = Σ^{-1/2} [R_nm U^{-T}, L]: (1 + A^T A) c = A^T Σ^{-1/2} y, whose last
    entries are w and U^{-T} times whose first are α (Williams and Seeger 2001).

    Args:
      backend, scales, features, sides: as for :func:`solve`.
      inducing: numbers of the samples [m].

    Returns:
      w [D, M] and α [m, M] of both sides.
    """
    xp, _, matmul = backend
    some = _at(features, inducing)
    roots, sums = [], []
    for side, own in zip(sides, added_kernels(backend, scales, some, some), strict=True):
        diagonal = xp.eye(len(inducing)) * (JITTER * xp.min(side.noise))
        roots.append(linalg.cholesky(backend, own + diagonal))
        size = len(inducing) + side.linear.shape[1]
        sums.append((xp.eye(size), xp.zeros((size, side.response.shape[1]))))
    for begin in range(0, len(sides[0].noise), BLOCK):
        block = slice(begin, begin + BLOCK)
        added = added_kernels(backend, scales, some, _at(features, block))
        for k, (side, rest) in enumerate(zip(sides, added, strict=True)):
            linear, noise, response = _at(side, block)
            rows = [linalg.solve_triangular(backend, roots[k], rest), linear.T]
            rows = xp.concatenate(rows) / xp.sqrt(noise)
            gram, right = sums[k]
            response = response / xp.sqrt(noise)[:, None]
            sums[k] = gram + matmul(rows, rows.T), right + matmul(rows, response)
    found = []
    for root, (gram, right) in zip(roots, sums, strict=True):
        whole = linalg.solve_positive(backend, gram, right)
        alpha = linalg.solve_triangular(backend, root, whole[: len(inducing)], transposed=True)
        found.append((whole[len(inducing) :], alpha))
    return found


def _at(arrays: tuple[Array, ...], which: slice | np.ndarray) -> tuple[Array, ...]:
    return tuple(array[which] for array in arrays)
