"""What fits in the frame of a body have in common: the frames that they try, and what is seen from these."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from estag_jax.data.task import Task
from estag_jax.models.body_frames import UP, BodyFrames, Pairs, choose_frames, seen_from_body
from estag_jax.models.linear import fitting_vectors, fitting_windows, least_squares
from estag_jax.ops.body_frames import nearly_degenerate
from estag_jax.ops.linalg import NUMPY

POSE = 0.3
"""Weight of the pose among the lags, which have the root mean square one."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The windows of a task as seen from the frame of the body; of training windows mirror images too.

    Args:
      frames: the frame.
      mirrored: whether mirror images follow the training windows.
      base: weights of AR-LS [T-1].
      degenerate: share of the training windows whose frame is nearly degenerate.
      z: what is seen of the training windows [S, T, N*C, 3].
      step: R (x(T) - x(T-1)) of them [S, N*C, 3].
      held_out: the same two of the validation windows.
    """

    frames: BodyFrames
    mirrored: bool
    base: np.ndarray
    degenerate: float
    z: np.ndarray
    step: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]

    def __post_init__(self):
        mean, centre = self.z.mean(axis=0), self.step.mean(axis=0)
        for name, value in (("mean", mean), ("size", lag_sizes(self.z - mean)), ("centre", centre)):
            object.__setattr__(self, name, value)

    mean: np.ndarray = dataclasses.field(init=False)
    """Of z."""
    size: np.ndarray = dataclasses.field(init=False)
    """By which lags are divided [T]."""
    centre: np.ndarray = dataclasses.field(init=False)
    """The mean step."""

    def scaled(self, z: np.ndarray) -> np.ndarray:
        """z less its mean, each lag by its size."""
        return (z - self.mean) / self.size[:, None, None]

    def linear(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The linear forecast with weights of z [N*C, 3, T, N*C, 3], as the predictor has it."""
        constant = self.centre - np.tensordot(weights, self.mean, 3)
        weights, own = weights.copy(), np.arange(len(weights))
        for axis in range(3):  # what the base adds along the axes that the frame has
            weights[own, axis, :-1, own, axis] -= self.base
        return {"base": self.base, "weights": weights, "constant": constant}


def lag_sizes(z: np.ndarray) -> np.ndarray:
    """Root mean squares of the lags of z [S, T, F, 3] less its mean; the pose by POSE larger: [T]."""
    size = np.sqrt(np.mean(z**2, axis=(0, 2, 3)))
    size = np.where(size > 0, size, 1.0)
    size[-1] /= POSE
    return size


def seen_by(task: Task, mirror: Pairs | None) -> Iterator[Seen]:
    """What is seen from each frame that suits a task, with mirror images and without.

    Args:
      task: of one system.
      mirror: pairs of left and right nodes; None finds them, none at all are no mirror.
    """
    parts = [fitting_windows(task, part) for part in ("train", "validation")]
    vectors = [fitting_vectors(task, part) for part in ("train", "validation")]
    history, target = parts[0]
    base = least_squares(history, target)
    for up in [vectors[0].get(UP), None][UP not in vectors[0] :]:
        frames, found = choose_frames(task.system, history, up, mirror)
        both = []
        for (past, future), given in zip(parts, vectors, strict=True):
            axes = frames.of(NUMPY, past, given)
            move = (future - past[:, :, -1]).reshape(len(past), -1, 3)
            z = seen_from_body(NUMPY, past, axes)
            both.append((z, np.matmul(move, np.swapaxes(axes, 1, 2)), axes))
        (z, step, axes), held_out = both[0], both[1][:2]
        degenerate = float(np.mean(nearly_degenerate(axes)))
        if found is not None:
            twice = (np.concatenate([part, frames.mirrored(part)]) for part in (z, step))
            yield Seen(frames, True, base, degenerate, *twice, held_out)
        plain = dataclasses.replace(frames, mirror=np.arange(len(frames.mirror)))
        yield Seen(plain, False, base, degenerate, z, step, held_out)
