"""What a fit of frame kernel gives: a linear forecast in local frames, and what a kernel adds to it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.models.frame_ridge import FramePredictor
from estag_jax.models.frames import seen_from_nodes
from estag_jax.ops import linalg
from estag_jax.ops.frames import backward_differences
from estag_jax.ops.kernels import Scales, initial_scales, parity_kernels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FrameKernelPredictor(Predictor):
    """A linear forecast in local frames, and what a kernel adds to it.

        x*_i = linear_i + τ R_i^T sum_s k(z_i, z_is) α_is

    with the kernel of ops.kernels less its linear part, which is collapsed into ``linear``: its
    coefficients cancel to seven digits, so float32 would lose them.

    Args:
      linear: the linear part.
      windows: the samples s [S, N, T, C, 3].
      alpha: α for the components 1 and 2 of every channel, then for the third [N, S, 3 C].
      scales: of the kernel.
      sizes: of the backward differences, by which they are divided [T].
      mean: mean shape in each frame, in the unit of the shape [N, M*C, 2].
      rings: distances along bonds of what each node looks at [N, M*C].
      size: τ.
    """

    compiled: ClassVar[bool] = True

    linear: FramePredictor
    windows: Array
    alpha: Array
    scales: Scales
    sizes: Array
    mean: Array
    rings: Array
    size: Array

    @property
    def parameters(self) -> int:
        return np.size(self.alpha) + sum(np.size(leaf) for leaf in jax.tree.leaves(self.scales))

    @property
    def chosen(self) -> dict[str, Any]:
        return {name: value for name, value in self.linear.chosen.items() if name != "ridge"} | {
            "samples": len(self.windows)
        }

    def predict(self, history: Array, inputs: Any = None) -> jax.Array:
        """The predicted frame; pure.

        Args:
          history: past frames [..., N, T, C, 3].
          inputs: not looked at.

        Returns:
          [..., N, C, 3], at least float32.

        Raises:
          ValueError: the history has another T, N or C than the samples, or fewer than 4 axes.
        """
        del inputs
        _, history = linalg.backend_of(jnp.asarray(history))
        frame = self.linear.predict(history)
        past = history.reshape(-1, *history.shape[-4:])
        given, samples = (
            self._differenced(jnp.asarray(x, past.dtype)) for x in (past, self.windows)
        )
        scales = jax.tree.map(lambda leaf: jnp.asarray(leaf, past.dtype), self.scales)
        channels = past.shape[3]

        def of_node(node):
            axes, near, mean, rings, alpha = node
            frames, z = self._seen(*given, axes, near, mean)
            _, others = self._seen(*samples, axes, near, mean)
            _, _, even, odd = parity_kernels(scales, z, others, rings)
            flat = linalg.matmul(even, alpha[:, : 2 * channels]).reshape(-1, channels, 2)
            third = linalg.matmul(odd, alpha[:, 2 * channels :])[..., None]
            return linalg.matmul(jnp.concatenate([flat, third], axis=-1), frames)

        nodes = (self.linear.axes.T, self.linear.neighbours, self.mean, self.rings, self.alpha)
        nodes = [jnp.asarray(a) for a in nodes]
        nodes[2], nodes[4] = nodes[2].astype(past.dtype), nodes[4].astype(past.dtype)
        added = jnp.moveaxis(jax.lax.map(of_node, tuple(nodes)), 0, 1)
        return frame + (self.size * added).astype(past.dtype).reshape(frame.shape)

    def _differenced(self, past: jax.Array) -> tuple[jax.Array, jax.Array]:
        sizes = jnp.asarray(self.sizes, past.dtype)[:, None, None]
        return backward_differences(jnp, past) / sizes, past[:, :, -1]

    def _seen(
        self, past: jax.Array, last: jax.Array, axes: jax.Array, near: jax.Array, mean: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The frames of a node [B, 3, 3] and z [B, M*C, T, 3]."""
        shift = jnp.eye(past.shape[2], dtype=past.dtype)[0] / self.sizes[0]
        frames, z = seen_from_nodes(linalg.JAX, past, last, axes[:, None], near[None], shift)
        return frames[:, 0], z[:, 0].at[:, :, 0, :2].add(-mean)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The leaves by name. Samples share frames, so each frame is kept once: ``frames`` [F, N, C, 3], and
        which of them a sample has, ``windows`` [S, T]."""
        leaves = jax.tree_util.tree_leaves_with_path(self)
        arrays = {_name(path): np.asarray(leaf) for path, leaf in leaves}
        moments = np.moveaxis(arrays["windows"], 2, 1)  # [S, T, N, C, 3]
        flat = moments.reshape(-1, math.prod(moments.shape[2:]))
        frames, which = np.unique(flat, axis=0, return_inverse=True)
        arrays["windows"] = which.reshape(moments.shape[:2]).astype(np.int32)
        return arrays | {"frames": frames.reshape(-1, *moments.shape[2:])}

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> FrameKernelPredictor:
        del method
        windows = np.moveaxis(arrays["frames"][arrays["windows"]], 1, 2)
        arrays = arrays | {"windows": windows}
        scales = initial_scales(1)
        linear = FramePredictor(*[0.0] * len(dataclasses.fields(FramePredictor)))
        empty = cls(linear, 0.0, 0.0, scales, 0.0, 0.0, 0.0, 0.0)
        return jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], empty)


def _name(path: Any) -> str:
    return "/".join(str(key.name) for key in path)
