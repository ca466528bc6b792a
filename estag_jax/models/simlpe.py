"""siMLPe: linear layers on the cosine transform of the past (arXiv 2207.01567), not equivariant."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.linear import Linear
from estag_jax.nn.node_networks import NodeNetwork
from estag_jax.ops.linalg import HIGHEST, einsum
from estag_jax.ops.motion import dct_matrix


@dataclasses.dataclass(frozen=True)
class SiMlpeConfig(NetworkConfig):
    """siMLPe with the sizes published for human bodies."""

    learning_rate: ClassVar[float] = 3e-4
    """Adam's step size, as published; with 5e-3 the forecasts stay at the last frame."""

    hidden: int = 16
    """Not used: the width is that of the data, N * C * 3 coordinates by T frequencies."""
    layers: int = 48
    """Blocks over the frequencies."""
    activation: Activation = "silu"
    """Not used: there are no nonlinearities but the layer normalisation."""
    head: Head = "last"
    """How the output becomes the prediction; published: added to the last frame."""

    def build(self) -> SiMlpe:
        """The network, without parameters."""
        return SiMlpe(self)


# Xavier-uniform with gain 1e-8, and no bias at the start: the first forecasts are the last frame.
_tiny = nn.initializers.variance_scaling(1e-16, "fan_avg", "uniform")
_NearlyZero = partial(nn.Dense, kernel_init=_tiny, precision=HIGHEST)


class SiMlpe(NodeNetwork):
    """A cosine transform over time, linear layers, the inverse transform.

        z = D x W_0 + b_0;  z <- z + LN(A_l z + a_l), l = 1 … L;  y = D^T (z W_1 + b_1),  x* = x(T-1) + y_0

    for x [T, 3 N C] about the centroid of the last frame, with D the orthonormal cosine transform, A_l
    [T, T] over the frequencies, LN over the coordinates, and y_0 the first frame of y, the one after
    the window. (arXiv 2207.01567, section 3, equations 1 to 6.)

    Not equivariant under rotations and reflections. The weights W belong to nodes, so that N is fixed
    and nodes are told apart (no permutation equivariance). Neither graph nor node features are looked
    at.

    Differs from the reference: one frame is forecast, not ten or 25; the loss is that of the training,
    without the paper's second term, the error of the velocities; the reference removes the global
    translation and rotation of bodies beforehand, here the centroid of the last frame is subtracted.

    Args:
      config: sizes and options.
    """

    title = "siMLPe"
    config: SiMlpeConfig = SiMlpeConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: not looked at.
          graph: not looked at.

        Raises:
          ValueError: the graph is padded.
        """
        windows, nodes, past, channels, _ = history.shape
        if reason := self.refuse(channels, graph):
            raise ValueError(reason)
        dtype, width = history.dtype, nodes * channels * 3
        x = history - history[:, :, -1:].mean((1, 3), keepdims=True)
        transform = dct_matrix(past).astype(dtype)
        z = einsum("kt,bntcx->bkncx", transform, x).reshape(windows, past, width)
        z = Linear(width, name="input")(z).swapaxes(1, 2)  # [B, coordinates, frequencies]
        for i in range(self.config.layers):
            mixed = _NearlyZero(past, param_dtype=dtype, name=f"time_{i}")(z)
            norm = nn.LayerNorm(
                epsilon=1e-5,
                use_fast_variance=False,
                reduction_axes=1,
                feature_axes=1,
                param_dtype=dtype,
                name=f"norm_{i}",
            )
            z = z + norm(mixed)
        z = _NearlyZero(width, param_dtype=dtype, name="output")(z.swapaxes(1, 2))
        y = einsum("k,bkx->bx", transform[:, 0], z)
        return self.predicted(y, history, self.config.head)
