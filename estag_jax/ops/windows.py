"""Cuts windows out of a trajectory that lies on the device: indices in, frames out."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def gather_windows(
    positions: jax.Array, starts: jax.Array, past: int, delta: int, horizons: Sequence[int] = (1,)
) -> tuple[jax.Array, jax.Array]:
    """Histories and targets of the windows that begin at the given frames.

    Args:
      positions: all frames [frames, N, C, 3].
      starts: first frame of each window [W].
      past: T, frames of the history.
      delta: trajectory steps between two frames of a window.
      horizons: steps of ``delta`` from the last frame of the history to each of the P targets.

    Returns:
      (history [W, N, T, C, 3], targets [W, P, N, C, 3]).
    """
    history = positions[starts[:, None] + delta * jnp.arange(past)]
    ahead = delta * (past - 1 + np.asarray(horizons))
    return jnp.moveaxis(history, 1, 2), positions[starts[:, None] + ahead]
