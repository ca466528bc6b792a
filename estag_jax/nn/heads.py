"""The last layer of the per-frame networks: from T frames to the predicted one."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.ops.pooling import residual_pooling, softmax_pooling

Head = Literal["residual", "softmax"]


class TemporalPooling(nn.Module):
    """Combines the frames by learned weights.

    Args:
      head: ``residual`` (ESTAG): weights of the differences to the last frame, zero at the start, so
        that the model begins as the last-frame predictor. ``softmax`` (the published baselines):
        weighted mean, logits uniform on ±1 at the start.
    """

    head: Head = "residual"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps frames [N, T, C, 3] to one frame [N, C, 3]."""
        past = x.shape[1]
        if self.head == "residual":
            weights = self.param("weights", nn.initializers.zeros, (past - 1,), x.dtype)
            return residual_pooling(x, weights)

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -1, 1)

        return softmax_pooling(x, self.param("logits", uniform, (past,), jnp.dtype(x.dtype)))
