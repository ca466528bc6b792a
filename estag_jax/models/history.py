"""What a forecaster is given, checked."""

from __future__ import annotations

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array


def checked_history(history: Array, expected: tuple[int, int, int, int]) -> Array:
    """Past frames as they are computed with: float32 and float64 are kept, other real numbers become float32.

    Args:
      history: [N, T, C, 3], or of several windows [B, N, T, C, 3].
      expected: N, T, C, 3.

    Raises:
      ValueError: another shape, no real numbers, or, where the history is not traced, NaN or infinity, with
        its place.
    """
    if not isinstance(history, jax.Array):
        history = np.asarray(history)
    if history.shape[-4:] != expected or history.ndim not in (4, 5):
        raise ValueError(
            f"history has shape {history.shape}, expected {expected}, or (windows, *{expected})"
        )
    if jnp.issubdtype(history.dtype, jnp.complexfloating):
        raise ValueError(f"history has dtype {history.dtype}, expected real numbers")
    if history.dtype not in (jnp.float32, jnp.float64):
        history = history.astype(jnp.float32)
    # All by numpy: jax would compile a program for each number of windows.
    if not isinstance(history, jax.core.Tracer) and not (real := np.isfinite(history)).all():
        place = np.argwhere(~real)[0].tolist()
        *window, node, frame, channel, axis = place
        where = f"window {window[0]}, " if window else ""
        raise ValueError(
            f"history is {history[tuple(place)]} at {where}node {node}, frame {frame}, channel {channel}, "
            f"{'xyz'[axis]}; leave such windows out"
        )
    return history
