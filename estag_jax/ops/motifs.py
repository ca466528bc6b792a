"""Motifs: short pieces of motion, compared up to rotation and reflection.

A motif of P points and L frames has the differences d_p(t) = x_p(t) - x_p(L-1) to its last frame, as
rows of D [K, 3], K = P (L - 1). The distance of two motifs is that of the best turn (Kabsch 1976, in O(3)),

    |D, D'|² = min_Q |D - D' Q|² = |D|² + |D'|² - 2 (s1 + s2 + s3),   D'^T D = U diag(s) V^T, Q = U V^T
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops.body_frames import polar_factor
from estag_jax.ops.linalg import Backend

CANDIDATES = 32
"""Motifs that are turned onto the query: those whose lengths are the nearest."""

THIN = 1e-6
"""Singular values, as shares of |D| |D'|, below which a direction of a motif fades to zero."""


def motif_lengths(xp: Any, motifs: Array) -> Array:
    """How far each point gets between any two frames of a motif: invariants to search by.

    Args:
      xp: numpy or jax.numpy.
      motifs: frames [..., L, P, 3].

    Returns:
      [..., P L (L - 1) / 2].
    """
    first, second = np.triu_indices(motifs.shape[-3], 1)
    squares = xp.sum((motifs[..., first, :, :] - motifs[..., second, :, :]) ** 2, axis=-1)
    return xp.sqrt(squares).reshape(*motifs.shape[:-3], -1)


def nearest_motifs(
    backend: Backend, queries: Array, library: Array, lengths: Array
) -> tuple[Array, Array]:
    """For each query the nearest motif of a library, and what turns the motif onto it.

    The nearest of the CANDIDATES whose ``motif_lengths`` are the nearest. Along a direction that motif
    and query do not both extend in (a straight or plane path) the turn fades to zero.

    Args:
      backend: what the arrays are computed with.
      queries: frames [B, L, P, 3].
      library: frames [S, L, P, 3].
      lengths: ``motif_lengths`` of the library.

    Returns:
      The motif's number [B], and Q [B, 3, 3], for row vectors: d Q.
    """
    xp, _, matmul = backend
    given = jax.lax.stop_gradient(queries) if xp is jnp else queries
    rough = xp.sum(lengths**2, axis=1) - 2 * matmul(motif_lengths(xp, given), lengths.T)
    count = min(CANDIDATES, len(library))
    if xp is jnp:
        _, near = jax.lax.top_k(-rough, count)
    else:
        near = np.argpartition(rough, count - 1, axis=1)[:, :count]
    others = _differences(library[near])  # [B, k, K, 3]
    cross = matmul(xp.swapaxes(others, 2, 3), _differences(given)[:, None])
    values = xp.linalg.svd(cross, compute_uv=False)
    away = xp.sum(others**2, axis=(2, 3)) - 2 * xp.sum(values, axis=-1)
    best = xp.take_along_axis(near, xp.argmin(away, axis=1)[:, None], axis=1)[:, 0]
    rows, chosen = _differences(queries), _differences(library[best])
    square = xp.sum(rows**2, axis=(1, 2)) * xp.sum(chosen**2, axis=(1, 2))
    size = xp.sqrt(xp.where(square > 0, square, 1.0))[:, None, None]
    return best, polar_factor(backend, matmul(xp.swapaxes(chosen, 1, 2), rows) / size, THIN)


def _differences(motifs: Array) -> Array:
    """D [..., K, 3]."""
    differences = motifs[..., :-1, :, :] - motifs[..., -1:, :, :]
    return differences.reshape(*motifs.shape[:-3], -1, 3)
