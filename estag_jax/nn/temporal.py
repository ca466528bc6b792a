"""Attention over the frames of a node."""

from __future__ import annotations

import flax.linen as nn
import jax

from estag_jax.nn.config import Activation
from estag_jax.nn.linear import MLP
from estag_jax.ops.attention import attend


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
        gate = MLP((self.hidden, x.shape[3]), self.activation, small_final=True, name="phi_x")(
            value
        )
        given = (each.astype(x.dtype) for each in (query, key, value, gate))
        of_h, of_x = attend(*given, x, self.causal)
        return h + of_h.astype(h.dtype), x + (-of_x if self.flip_difference else of_x)
