"""The last step of every network: from what it computes to the predicted frame."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.config import Head
from estag_jax.nn.linear import uniform
from estag_jax.ops.pooling import residual_pooling, softmax_pooling


class TemporalPooling(nn.Module):
    """How a network's frames z(t) or single output y become the prediction x*.

    | head     | x*                                          | published for             |
    |----------|---------------------------------------------|---------------------------|
    | residual | z(T-1) + sum_{t<T-1} w_t (z(t) - z(T-1))    | ESTAG                     |
    | softmax  | sum_t softmax(theta)_t z(t)                 | ST_EGNN, ST_GNN, ST_TFN … |
    | absolute | z(T-1), or y itself                         | EqMotion, AGL-STAN        |
    | last     | z(T-1), or x(T-1) + y                       | STGCN, STAG               |

    w starts at zero, so that the model begins as the last-frame predictor if z does; theta starts
    uniform on ±1. For networks that move coordinates, z(t) are the moved frames, and absolute and last
    are the same. For networks that put out plain numbers (``displacements``), z(t) is x(t) plus the
    numbers, or the numbers themselves where the published head is absolute: with head absolute, and
    with softmax if there is an output for every frame. One output for the whole window is added to
    every frame.

    Args:
      head: the row of the table.
      displacements: the network puts out numbers, not moved coordinates.
    """

    head: Head = "residual"
    displacements: bool = False

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array | None = None) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          z: moved frames, or numbers for every frame [B, N, T, C, 3], or for the window
            [B, N, C, 3].
          x: the history [B, N, T, C, 3]; only looked at with ``displacements``.
        """
        if self.displacements:
            single = z.ndim == 4
            if self.head == "absolute":
                return z if single else z[:, :, -1]
            if single:
                z = x + z[:, :, None]
            elif self.head != "softmax":
                z = x + z
        if self.head in ("absolute", "last"):
            return z[:, :, -1]
        past = z.shape[2]
        if self.head == "residual":
            weights = self.param("weights", nn.initializers.zeros, (past - 1,), z.dtype)
            return residual_pooling(z, weights)
        return softmax_pooling(z, self.param("logits", uniform(1), (past,), jnp.dtype(z.dtype)))
