"""How the error of a kernel regression on held-out samples moves with the scales of its kernel.

    loss = log sum |e|²,  e = K_vt α - y_v,  α = (K_tt + Σ)^{-1} y_t

for fitted samples t and held-out ones v. With u_v = 2 e / sum |e|² and u_t = -(K_tt + Σ)^{-1} K_tv u_v the
derivative by K_it is u_i α_t^T, of few columns: the linear part's follows from its features, and only what is
added to it takes products of matrices. K is symmetric, so half of its derivative says all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg
from estag_jax.ops.kernel_regression import BLOCK, Side, regularised
from estag_jax.ops.kernels import (
    Scales,
    added_features,
    added_kernels,
    added_slopes,
    linear_features,
)

LEAST = 1e-30
"""Added to the mean squared error, which may be zero."""


def held_out_slope(
    backend: linalg.Backend,
    scales: Scales,
    fitted: tuple[Array, Array],
    held: tuple[Array, Array],
    rings: Array,
    noise: Array,
) -> Scales:
    """The derivative of the loss by the scales.

    Args:
      backend: numpy, which works block by block, or jax.
      scales: of the kernels.
      fitted: z [n, P, T, 3] and y [n, 3 C], even outputs first.
      held: the same of held-out samples.
      rings: of the points [P].
      noise: factor on the noise of each fitted sample [n].

    Raises:
      LinAlgError: the matrix is not positive (numpy; jax gives NaN).
    """
    xp, _, matmul = backend
    (z, y), (other, expected) = fitted, held
    count, even = len(z), 2 * (y.shape[1] // 3)
    inputs, columns = xp.concatenate([z, other]), (slice(even), slice(even, None))
    # Only the linear part needs float64, which its noise is seven digits below.
    short, inputs_short = jax.tree.map(partial(xp.asarray, dtype=xp.float32), (scales, inputs))
    features = added_features(xp, short, inputs_short, rings)
    of_fitted, of_held = (
        tuple(f[some] for f in features) for some in (np.s_[:count], np.s_[count:])
    )
    linear = linear_features(xp, scales, inputs, rings)
    sides = tuple(
        Side(flat[:count], xp.exp(scales.noise[k]) * noise, y[:, columns[k]])
        for k, flat in enumerate(linear)
    )
    factors = [linalg.factorised(backend, m) for m in regularised(backend, short, of_fitted, sides)]
    across = added_kernels(backend, short, of_held, of_fitted)
    alphas, errors = [], []
    for side, factor, flat, rest, some in zip(sides, factors, linear, across, columns, strict=True):
        alphas.append(linalg.solve_factorised(backend, factor, side.response))
        found = matmul(flat[count:], matmul(side.linear.T, alphas[-1])) + matmul(rest, alphas[-1])
        errors.append(found - expected[:, some])
    total = sum(xp.sum(error**2) for error in errors) + LEAST * expected.size
    by_linear, by_noise, lefts, rights = [], [], [], []
    for k, (side, factor, flat) in enumerate(zip(sides, factors, linear, strict=True)):
        alpha, towards = alphas[k], 2 * errors[k] / total
        back = matmul(side.linear, matmul(flat[count:].T, towards)) + matmul(across[k].T, towards)
        back = -linalg.solve_factorised(backend, factor, back)
        u = xp.concatenate([back, towards])
        by_linear.append(2 * xp.sum(matmul(flat.T, u) * matmul(side.linear.T, alpha), axis=1))
        by_noise.append(xp.sum(back * alpha, axis=1) @ side.noise)
        alpha = xp.concatenate([alpha, xp.zeros_like(towards)])
        lefts.append(xp.concatenate([u, alpha], axis=1).astype(xp.float32))
        rights.append(xp.concatenate([alpha, u], axis=1).astype(xp.float32))
    factors.clear()
    by_added = _by_added(backend, short, features, count, lefts, rights)
    of_even, bias = by_linear[0][:-1], 0.5 * by_linear[0][-1]
    return Scales(
        linear=scales.linear.slope(xp, rings, of_even, by_linear[1]),
        product=scales.product.slope(xp, rings, *by_added[:2]),
        radial=scales.radial.slope(xp, rings, *by_added[2:4]),
        size=by_added[5],
        free=by_added[4],
        bias=bias,
        noise=xp.stack(by_noise),
    )


def _by_added(
    backend: linalg.Backend,
    scales: Scales,
    features: tuple[Array, ...],
    count: int,
    lefts: list[Array],
    rights: list[Array],
) -> tuple[Array, ...]:
    """What added_slopes gives, summed over the lower triangle of the fitted and the held-out samples."""
    xp, total, blocks = backend.xp, None, []
    size = BLOCK if backend is linalg.NUMPY else max(count, len(features[0]) - count)
    for first, last in ((0, count), (count, len(features[0]))):
        blocks += [slice(begin, min(begin + size, last)) for begin in range(first, last, size)]
    for some in blocks:
        before = slice(min(some.stop, count))
        # Of the pairs within a block both are there.
        share = xp.where(xp.arange(before.stop) < some.start, 1.0, 0.5).astype(xp.float32)
        weights = (
            backend.matmul(left[some], right[before].T * share)
            for left, right in zip(lefts, rights, strict=True)
        )
        pair = (tuple(f[which] for f in features) for which in (some, before))
        found: Any = added_slopes(backend, scales, *pair, *weights)
        total = found if total is None else tuple(a + b for a, b in zip(total, found, strict=True))
    return total
