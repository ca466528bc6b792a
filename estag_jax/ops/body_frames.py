"""Frames of a whole body: from its mean structure, or from a given direction and its own motion.

Every axis is a true vector: a sum of differences of positions with scalar weights, or a given vector.
None is a cross product, so coordinates in the frame are invariant under O(3), reflections included,
and any map of them is equivariant; where a vector is given, under joint transformations of both.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg

THIN = 1e-3
"""Singular values, as shares of their sum, below which an axis of the polar frame fades to zero."""

SLOW = 1e-2
"""Shares of usual lengths below which the axes of heading and of left and right fade to zero."""

NEAR = 0.99
"""A frame is nearly degenerate if one of its axes is shorter."""


def polar_frame(backend: linalg.Backend, history: Array, mean: Array) -> Array:
    """The axes that best turn a body onto its mean structure: Kabsch's rotation, in O(3).

        M = sum_tic m_ic (x_ic(t) - o)^T / (T sum_ic |m_ic|²) = U diag(s) V^T
        R = U diag(s / sqrt(s² + THIN²)) V^T

    Kabsch (1976), without the sign that makes det R = 1. R turns with the body, R(x Q^T) = R(x) Q^T for
    every Q in O(3), as M does. Its axes are orthonormal up to THIN² / (2 s²) while the body has three
    dimensions. Along a direction that it lacks (planar, collinear or coincident nodes) s goes to 0 and
    the axis fades to zero without a jump; R is differentiable everywhere.

    Args:
      backend: what the arrays are computed with.
      history: past frames [..., N, T, C, 3].
      mean: m, the mean structure [N, C, 3]; any origin.

    Returns:
      R [..., 3, 3], coordinates are R (x - o).
    """
    xp, einsum, _ = backend
    mean = mean - mean.mean(axis=(0, 1))
    size = history.shape[-3] * xp.sum(mean**2)
    centred = history - history.mean(axis=(-4, -2), keepdims=True)
    matrix = einsum("nci,...ntcj->...ij", mean, centred) / xp.where(size > 0, size, 1.0)
    return polar_factor(backend, matrix)


def polar_factor(backend: linalg.Backend, matrix: Array, thin: float = THIN) -> Array:
    """U diag(s / sqrt(s² + thin²)) V^T of M = U diag(s) V^T [..., 3, 3], differentiable everywhere."""
    if backend.xp is jnp:
        return _jax_polar(matrix, thin)
    return _factor(np, np.matmul, matrix, thin)[-1]


def walking_frame(
    backend: linalg.Backend, history: Array, up: Array, lateral: Array, usual: Array
) -> Array:
    """The axes of a body that moves over ground: left, up and heading, as rows.

        u = g / |g|
        f = h / sqrt(|h|² + (SLOW d)²),  h = the part across u of o(T-1) - o(0)
        e = q / sqrt(|q|² + (SLOW l)²),  q = the part across u and f of mean_t sum_ic w_ic x_ic(t)

    with o(t) the centroid, w weights that add up to zero (left less right) and d, l usual lengths of h
    and q. Without motion along the ground f fades to zero, and e where left and right lie along the
    heading: maps in the frame then say nothing along these axes, stay finite, equivariant and smooth.
    The frame turns with the body and the given vector together.

    Args:
      backend: what the arrays are computed with.
      history: past frames [..., N, T, C, 3].
      up: g [..., 3], any length.
      lateral: w [N, C].
      usual: d and l [2].

    Returns:
      [..., 3, 3].
    """
    xp, einsum, _ = backend
    centre = history.mean(axis=(-4, -2))
    up = up / _length(xp, up, 0.0)
    ahead = _across(xp, centre[..., -1, :] - centre[..., 0, :], up)
    heading = ahead / _length(xp, ahead, SLOW * usual[0])
    side = einsum("nc,...ntcx->...x", lateral, history) / history.shape[-3]
    side = _across(xp, _across(xp, side, up), heading)
    side = side / _length(xp, side, SLOW * usual[1])
    return xp.stack([side, xp.broadcast_to(up, side.shape), heading], axis=-2)


def nearly_degenerate(frames: np.ndarray) -> np.ndarray:
    """Whether frames [..., 3, 3] have faded along some direction: [...] bool."""
    return np.linalg.svd(frames, compute_uv=False)[..., -1] < NEAR


def mean_structure(frames: np.ndarray, rounds: int = 8) -> np.ndarray:
    """The mean of frames that are turned onto it (generalised Procrustes analysis, Gower 1975).

    It stands at the origin along its principal axes, longest first, their signs such that the sums of
    cubes are positive; so it does not depend on how the frames are turned together. Frames are turned by
    proper rotations: a reflection would hide what tells left from right.

    Args:
      frames: [F, N, C, 3].
      rounds: of turning and averaging, from the middle frame.

    Returns:
      [N, C, 3].
    """
    centred = frames - frames.mean(axis=(1, 2), keepdims=True)
    mean = centred[len(centred) // 2]
    for _ in range(rounds):
        turns = linalg.nearest_rotation(linalg.NUMPY, np.einsum("nci,wncj->wij", mean, centred))
        mean = np.einsum("wij,wncj->nci", turns, centred) / len(centred)
    points = mean.reshape(-1, 3)
    turned = points @ np.linalg.eigh(points.T @ points)[1][:, ::-1]
    turned = turned * np.where(np.sum(turned**3, axis=0) < 0, -1.0, 1.0)
    return turned.reshape(mean.shape)


def _across(xp: Any, vector: Array, axis: Array) -> Array:
    """A vector less its part along an axis of length 1, or less."""
    return vector - xp.sum(vector * axis, axis=-1, keepdims=True) * axis


def _length(xp: Any, vector: Array, soft: Any) -> Array:
    """sqrt(|v|² + soft²), 1 where that is 0."""
    square = xp.sum(vector * vector, axis=-1, keepdims=True) + soft**2
    return xp.sqrt(xp.where(square > 0, square, 1.0))


def _factor(xp: Any, matmul: Any, matrix: Array, thin: float) -> tuple[Array, ...]:
    """U, V^T, s, r = sqrt(s² + thin²) and U diag(s / r) V^T."""
    left, values, right = xp.linalg.svd(matrix)
    soft = xp.sqrt(values**2 + thin**2)
    return left, right, values, soft, matmul(left * (values / soft)[..., None, :], right)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _jax_polar(matrix: jax.Array, thin: float) -> jax.Array:
    return _factor(jnp, linalg.matmul, matrix, thin)[-1]


@_jax_polar.defjvp
def _polar_jvp(thin: float, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    """The derivative of g(M) = U g(s) V^T for an odd g (Daleckii and Krein 1965), g = s / r.

    In the basis of U and V the symmetric part of dM is multiplied by (g_i - g_j) / (s_i - s_j) and the
    rest by (g_i + g_j) / (s_i + s_j), both written such that equal and zero s are no exception.
    """
    left, right, values, soft, polar = _factor(jnp, linalg.matmul, primals[0], thin)
    turned = linalg.matmul(jnp.swapaxes(left, -1, -2), tangents[0])
    turned = linalg.matmul(turned, jnp.swapaxes(right, -1, -2))
    flipped = jnp.swapaxes(turned, -1, -2)
    s, r = values[..., :, None], soft[..., :, None]
    s_, r_ = values[..., None, :], soft[..., None, :]
    total = s + s_
    middle = jnp.where(total > 0, (s * r_ + s_ * r) / jnp.where(total > 0, total, 1.0), thin)
    even, odd = thin**2 / (r * r_ * middle), middle / (r * r_)
    change = (even * (turned + flipped) + odd * (turned - flipped)) / 2
    return polar, linalg.matmul(linalg.matmul(left, change), right)
