"""The frame of a whole body: which one suits a system, and what is seen from it.

Everything is chosen from the training windows and turns with them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.models.base import lacking
from estag_jax.models.linear import differences
from estag_jax.models.mirror import Mirror, find_mirror, given_mirror
from estag_jax.ops import linalg
from estag_jax.ops.body_frames import mean_structure, polar_frame, walking_frame

UP = "up"
"""The name of the external vector that makes a walking frame."""

SHAPES = 400
"""Training windows at most that the mean structure is made of."""

Pairs = tuple[tuple[int, int], ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class BodyFrames:
    """The frame of a body: ops.body_frames.walking_frame where up is given, else polar_frame.

    The mirror exchanges left and right and changes the sign of the first coordinate: along it stands
    the normal of the mirror plane of the mean structure, or the axis of left and right.

    Args:
      mean: structure [N, C, 3].
      lateral: weights of the axis of left and right [N, C].
      usual: lengths of the motion over a window and of that axis [2].
      mirror: what each node is exchanged with [N]; all itself where there is no mirror.
      walking: whether it is the walking frame.
    """

    mean: Array
    lateral: Array
    usual: Array
    mirror: Array
    walking: bool = dataclasses.field(metadata={"static": True})

    def of(self, backend: linalg.Backend, history: Array, inputs: Any) -> Array:
        """The axes of windows [B, N, T, C, 3], as rows [B, 3, 3].

        Raises:
          ValueError: the frame needs the direction of up and there is none.
        """
        xp = backend.xp
        mean, lateral, usual = (
            xp.asarray(array, history.dtype) for array in (self.mean, self.lateral, self.usual)
        )
        if not self.walking:
            return polar_frame(backend, history, mean)
        if UP not in (inputs or {}):
            raise ValueError(f"the walking frame {lacking(UP)}")
        up = xp.asarray(inputs[UP], history.dtype)
        return walking_frame(backend, history, up, lateral, usual)

    def mirrored(self, seen: Array) -> Array:
        """What is seen of the mirror image of a body, left and right exchanged: [..., N*C, 3]."""
        channels = np.shape(self.lateral)[1]
        points = (self.mirror[:, None] * channels + np.arange(channels)).reshape(-1)
        return seen[..., points, :] * np.array([-1, 1, 1], seen.dtype)


def choose_frames(
    system: System,
    history: np.ndarray,
    up: np.ndarray | None,
    pairs: Pairs | None = None,
) -> tuple[BodyFrames, Mirror | None]:
    """The frame for some training windows, and the mirror of the system if there is one.

    Args:
      system: the nodes.
      history: past frames of the training windows [W, N, T, C, 3].
      up: for the walking frame [1 or W, 3]; None for the polar one.
      pairs: of left and right nodes; None finds them, none at all are no mirror.
    """
    backend = linalg.NUMPY
    last = history[:, :, -1]
    mean = mean_structure(last[:: -(-len(last) // SHAPES)])
    mirror = given_mirror(system, pairs, mean) if pairs else None
    if pairs is None:
        mirror = find_mirror(system, mean)
    nodes = np.arange(system.num_nodes) if mirror is None else mirror.nodes
    if mirror is not None:
        mean = _aligned(mean, mirror)
    lateral, usual = np.zeros(last.shape[1:3]), np.ones(2)
    if up is not None:
        _, above, ahead = np.moveaxis(walking_frame(backend, history, up, lateral, usual), 1, 0)
        centred = last - last.mean(axis=(1, 2), keepdims=True)
        lateral = np.einsum("wncx,wx->nc", centred, np.cross(above, ahead)) / len(last)
        if mirror is not None:
            lateral = (lateral - lateral[nodes]) / 2
        moved = np.ptp(history.mean(axis=(1, 3))[:, [0, -1]], axis=1)
        side = np.einsum("nc,wncx->wx", lateral, last)
        lengths = np.sqrt([np.mean(np.sum(v**2, axis=-1)) for v in (moved, side)])
        usual = np.where(lengths > 0, lengths, 1.0)
    return BodyFrames(mean, lateral, usual, nodes, up is not None), mirror


def seen_from_body(backend: linalg.Backend, history: Array, frames: Array) -> Array:
    """R (x(t) - x(T-1)) for t < T-1, then R (x(T-1) - o), o the centroid: [B, T, N*C, 3].

    Args:
      backend: what the arrays are computed with.
      history: past frames [B, N, T, C, 3].
      frames: R [B, 3, 3].
    """
    xp, _, matmul = backend
    last = history[:, :, -1:]
    centred = last - last.mean(axis=(1, 3), keepdims=True)
    seen = xp.concatenate([differences(history), centred], axis=2)
    seen = xp.moveaxis(seen, 2, 1).reshape(len(history), -1, 3)
    turned = matmul(seen, xp.swapaxes(frames, -1, -2))
    return turned.reshape(len(history), history.shape[2], -1, 3)


def _aligned(mean: np.ndarray, mirror: Mirror) -> np.ndarray:
    """The structure with the normal of the mirror along the first axis, its own image."""
    _, _, across = np.linalg.svd(mirror.normal[None])
    turned = mean @ across.T
    return (turned + turned[mirror.nodes] * [-1, 1, 1]) / 2
