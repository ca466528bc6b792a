"""Equivariant discrete Fourier transform of a history, and its invariant features.

    f_i(k)  = sum_t exp(-2πi k t / T) (x_i(t) - xbar(t)),     xbar(t) = mean over nodes at frame t
    A_ij(k) = w_k(h_i) w_k(h_j) |<f_i(k), f_j(k)>|
    c_i(k)  = w_k(h_i) ||f_i(k)||²

for k = 1 … T-1 (ESTAG, arXiv 2405.12868, section 3.2). f turns with the input, A and c do not
change. Real and imaginary parts are separate real arrays: no complex types on the device.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Graph
from estag_jax.ops.geometry import safe_norm
from estag_jax.ops.linalg import einsum
from estag_jax.ops.segment import at_receivers, at_senders, mean_over_nodes

FFT_FROM = 128
"""Window length from which jnp.fft.rfft is used; below, a product with cosines is faster."""


def edft(x: jax.Array, graph: Graph) -> jax.Array:
    """Spectrum of each node's motion about the moving centroid.

    Args:
      x: positions of one channel [B, N, T, 3].
      graph: says which nodes the centroid is of.

    Returns:
      [B, N, K, 2, 3], K = T-1: k = 1 … T-1, then real and imaginary part, then coordinates.
      Translating the input changes nothing, rotating it rotates the last axis.
    """
    x = x - mean_over_nodes(x, graph, keepdims=True)
    past = x.shape[2]
    if past >= FFT_FROM:
        half = jnp.fft.rfft(x, axis=2)[:, :, 1:]
        # Conjugate symmetry f(T-k) = conj f(k) gives the upper half, which rfft leaves out.
        mirror = jnp.conj(half[:, :, : (past - 1) // 2][:, :, ::-1])
        full = jnp.concatenate([half, mirror], axis=2)
        return jnp.stack([full.real, full.imag], axis=3)
    # The phase is reduced modulo T in integers: exact for every k * t.
    phase = 2 * np.pi * (np.outer(np.arange(1, past), np.arange(past)) % past) / past
    wave = jnp.asarray(np.stack([np.cos(phase), -np.sin(phase)], axis=1), x.dtype)
    return einsum("kpt,bntx->bnkpx", wave, x)


def node_power(spectrum: jax.Array, complex_square: bool = False) -> jax.Array:
    """Invariant strength of each node's motion at each frequency: ||f_i(k)||².

    Args:
      spectrum: [B, N, K, 2, 3] from :func:`edft`.
      complex_square: |sum_d f_d(k)²| (without conjugate) instead, which is zero for circular motion.
        Differs from the paper: this is what the released program computes.

    Returns:
      [B, N, K].
    """
    real, imag = spectrum[..., 0, :], spectrum[..., 1, :]
    if not complex_square:
        return jnp.sum(real * real + imag * imag, axis=-1)
    square = jnp.stack(
        [jnp.sum(real * real - imag * imag, axis=-1), 2 * jnp.sum(real * imag, axis=-1)], axis=-1
    )
    return safe_norm(square)


def edge_coherence(spectrum: jax.Array, graph: Graph) -> jax.Array:
    """Invariant likeness of the motions at the two ends of each edge: |<f_i(k), f_j(k)>|.

    Args:
      spectrum: [B, N, K, 2, 3] from :func:`edft`.
      graph: gives the ends of the edges.

    Returns:
      [B, E, K].
    """
    return coherence(at_receivers(spectrum, graph), at_senders(spectrum, graph))


def coherence(f_i: jax.Array, f_j: jax.Array) -> jax.Array:
    """|<f_i(k), f_j(k)>| of pairs of spectra [..., K, 2, 3] as [..., K]."""
    real = jnp.sum(f_i * f_j, axis=(-2, -1))
    imag = jnp.sum(f_i[..., 0, :] * f_j[..., 1, :] - f_i[..., 1, :] * f_j[..., 0, :], axis=-1)
    return safe_norm(jnp.stack([real, imag], axis=-1))


def normalize_over_frequencies(features: jax.Array, epsilon: float) -> jax.Array:
    """Features divided by their sum over frequencies plus epsilon.

    Differs from the paper: the released program does this (epsilon 1e-9 for one channel, 1e-6 for
    proteins). A frozen node has zero features; epsilon keeps the quotient finite.

    Args:
      features: non-negative [..., K].
      epsilon: added to the sum.

    Returns:
      [..., K].
    """
    return features / (jnp.sum(features, axis=-1, keepdims=True) + epsilon)
