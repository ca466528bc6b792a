"""Attention over the frames of a node."""

from __future__ import annotations

import flax.linen as nn
import jax

from estag_jax.nn.config import Activation
from estag_jax.nn.linear import MLP
from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights


class TemporalModule(nn.Module):
    """Causal attention over the frames of every node (ETM); equations in estag_jax.ops.attention.

    Args:
      hidden: H.
      activation: name in ACTIVATIONS.
      causal: frame t sees frames s <= t only.
      activate_qkv: queries, keys and values end in an activation.
      flip_difference: use x(s) - x(t) in place of x(t) - x(s).
    """

    hidden: int
    activation: Activation = "silu"
    causal: bool = True
    activate_qkv: bool = False
    flip_difference: bool = False

    @nn.compact
    def __call__(self, h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns h [B, N, T, H] and x [B, N, T, C, 3] after one round of attention.

        Args:
          h: [B, N, T, H].
          x: [B, N, T, C, 3].
        """
        query, key, value = (
            MLP((self.hidden,) * 2, self.activation, self.activate_qkv, name=name)(h)
            for name in ("phi_q", "phi_k", "phi_v")
        )
        alpha = attention_weights(query, key, self.causal)
        gate = MLP((self.hidden, x.shape[3]), self.activation, small_final=True, name="phi_x")(
            value
        )
        sign = -1 if self.flip_difference else 1
        return h + attend_features(alpha, value), x + sign * attend_coordinates(alpha, gate, x)
