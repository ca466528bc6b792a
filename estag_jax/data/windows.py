"""Windows: T past frames, Δ apart, and the frame that follows them.

The window with start s has the history frames s, s + Δ, …, s + (T - 1) Δ and the target frame
s + T Δ. Windows are kept as starts, one integer each; frames are copied only when gathered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from estag_jax.data.trajectory import DataError


@dataclasses.dataclass(frozen=True)
class WindowConfig:
    """The shape of a window.

    Args:
      past: T, the number of past frames.
      delta: Δ, trajectory steps from one frame of a window to the next.

    Raises:
      ValueError: one of them is below 1.
    """

    past: int = 10
    delta: int = 10

    def __post_init__(self):
        for name in ("past", "delta"):
            if getattr(self, name) < 1:
                raise ValueError(f"window {name} is {getattr(self, name)}, it must be at least 1")

    @property
    def span(self) -> int:
        """Trajectory steps from the first history frame to the target frame."""
        return self.past * self.delta

    def __str__(self) -> str:
        return f"T={self.past}, Δ={self.delta}"


def starts(
    lengths: Sequence[int], config: WindowConfig, source: str = "the trajectory"
) -> np.ndarray:
    """The starts of all windows that lie within one run.

    Args:
      lengths: frames of each run, the runs one after another; runs that are too short for a window
        have none.
      config: the shape of a window.
      source: what the trajectory was read from, for messages.

    Returns:
      int64 [W], increasing.

    Raises:
      DataError: no run is long enough for a window.
    """
    if max(lengths) <= config.span:
        whose = source if len(lengths) == 1 else f"{source}: the longest of {len(lengths)} runs"
        raise DataError(
            f"{whose} has {max(lengths)} frames, but {config} needs at least {config.span + 1}; "
            f"lower past or delta"
        )
    offsets = accumulate(lengths, initial=0)
    runs = [
        np.arange(offset, offset + length - config.span, dtype=np.int64)
        for offset, length in zip(offsets, lengths, strict=False)
    ]
    return np.concatenate(runs)


def frames_of(starts: np.ndarray, config: WindowConfig) -> np.ndarray:
    """The frames of each window, history and then target: starts [W] to integers [W, T + 1]."""
    return np.asarray(starts)[:, None] + config.delta * np.arange(config.past + 1)


def gather(
    positions: np.ndarray, starts: np.ndarray, config: WindowConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Copies the frames of the given windows; nodes come before time, as models take them.

    Args:
      positions: [frames, N, C, 3].
      starts: integers [W].
      config: the shape of a window.

    Returns:
      history [W, N, T, C, 3] and target [W, N, C, 3].

    Raises:
      DataError: a window reaches outside the frames.
    """
    starts, num_frames = np.asarray(starts), len(positions)
    outside = (starts < 0) | (starts + config.span >= num_frames)
    if outside.any():
        raise DataError(
            f"window start {starts[outside][0]} with {config} reaches outside the {num_frames} "
            f"frames; take starts from windows.starts"
        )
    history = np.empty(
        (len(starts), positions.shape[1], config.past, *positions.shape[2:]), positions.dtype
    )
    for t in range(config.past):  # frame by frame: no second array of the history's size
        history[:, :, t] = positions[starts + t * config.delta]
    return history, positions[starts + config.span]
