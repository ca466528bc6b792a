"""What fits in the frame of a body have in common: the frames that they try, and what is seen from these."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from estag_jax.data.settings import WindowConfig
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.windows import evenly, gather, inside_frames_of
from estag_jax.models.body_frames import UP, BodyFrames, Pairs, choose_frames, seen_from_body
from estag_jax.models.linear import checked, fitting_vectors, fitting_windows, least_squares
from estag_jax.ops.body_frames import nearly_degenerate
from estag_jax.ops.linalg import NUMPY

POSE = 0.3
"""Weight of the pose among the lags, which have the root mean square one."""

TEMPI = (0.8, 1.2)
"""Steps of windows of another tempo, in steps of the task's own."""

NEAR = 0.25
"""By which these may differ from the task's step: it is a whole number of frames."""

SHARE = 1 / 3
"""Windows of each other tempo at most, as a share of the training windows."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The windows of a task as seen from the frame of the body; of training windows mirror images too.

    Args:
      frames: the frame.
      starts: first frames of the training windows, those of another tempo behind them [S].
      own: how many have the task's own tempo.
      mirrored: whether mirror images follow the training windows.
      base: weights of AR-LS [T-1].
      degenerate: share of the training windows whose frame is nearly degenerate.
      z: what is seen of the training windows, S or with mirror images 2S, [S, T, N*C, 3].
      step: R (x(T) - x(T-1)) of them [S, N*C, 3].
      held_out: the same two of the validation windows.
    """

    frames: BodyFrames
    starts: np.ndarray
    own: int
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


def seen_by(task: Task, mirror: Pairs | None, tempi: bool = False) -> Iterator[Seen]:
    """What is seen from each frame that suits a task, with mirror images and without.

    Args:
      task: of one system.
      mirror: pairs of left and right nodes; None finds them, none at all are no mirror.
      tempi: from the walking frame, what is seen with windows of another tempo too: a body may walk
        faster or slower.
    """
    parts = [fitting_windows(task, part) for part in ("train", "validation")]
    vectors = [fitting_vectors(task, part) for part in ("train", "validation")]
    history, target = parts[0]
    base, own = least_squares(history, target), task.splits[0].train
    others = list(_other_tempi(task)) if tempi and UP in vectors[0] else []
    for up in [vectors[0].get(UP), None][UP not in vectors[0] :]:
        frames, found = choose_frames(task.system, history, up, mirror)
        (z, step, axes), held_out = (
            _look(frames, *windows, given) for windows, given in zip(parts, vectors, strict=True)
        )
        degenerate = float(np.mean(nearly_degenerate(axes)))

        def variant(frames, mirrored, starts, z, step, held_out=held_out[:2], share=degenerate):
            z, step = ((_twice(frames, part) if mirrored else part) for part in (z, step))
            return Seen(frames, starts, len(own), mirrored, base, share, z, step, held_out)

        if found is not None:
            yield variant(frames, True, own, z, step)
        plain = dataclasses.replace(frames, mirror=np.arange(len(frames.mirror)))
        yield variant(plain, False, own, z, step)
        if others and frames.walking:
            looks = [_look(frames, *windows, given)[:2] for _, windows, given in others]
            starts = np.concatenate([own, *(starts for starts, _, _ in others)])
            z, step = (np.concatenate(part) for part in zip((z, step), *looks, strict=True))
            yield variant(frames, found is not None, starts, z, step)


def _look(
    frames: BodyFrames, past: np.ndarray, future: np.ndarray, given: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z [W, T, N*C, 3] and step [W, N*C, 3] of windows, and the frames [W, 3, 3]."""
    axes = frames.of(NUMPY, past, given)
    move = (future - past[:, :, -1]).reshape(len(past), -1, 3)
    return seen_from_body(NUMPY, past, axes), np.matmul(move, np.swapaxes(axes, 1, 2)), axes


def _twice(frames: BodyFrames, seen: np.ndarray) -> np.ndarray:
    return np.concatenate([seen, frames.mirrored(seen)])


def other_shapes(window: WindowConfig) -> list[WindowConfig]:
    """The windows of another tempo for those of a task: none where its step is of few frames."""
    steps = (round(tempo * window.delta) for tempo in TEMPI)
    near = (step for step in steps if 0 < abs(step - window.delta) <= NEAR * window.delta)
    return [dataclasses.replace(window, delta=step) for step in near]


def _other_tempi(
    task: Task,
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray], dict[str, np.ndarray]]]:
    """Starts, windows and external vectors of another tempo, from frames of the training windows alone."""
    (trajectory,), train = task.trajectories, task.splits[0].train
    for shape in other_shapes(task.window):
        try:
            inside = inside_frames_of(train, trajectory.lengths, task.window, shape)
        except DataError:
            continue
        starts = evenly(inside, max(1, int(SHARE * len(train))))
        windows = checked(*gather(trajectory.positions, starts, shape))
        yield starts, windows, trajectory.vectors_at(starts + shape.last)
