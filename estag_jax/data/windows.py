"""Windows: T past frames, Δ apart, and the frame to predict, h times Δ after the last of them.

The window with start s has the history frames s, s + Δ, …, s + (T - 1) Δ and the target frame
s + (T - 1 + h) Δ, with horizon h = 1 unless asked otherwise. Windows are kept as starts, one integer
each; frames are copied only when gathered.
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
      horizon: h, steps of Δ from the last past frame to the one that is predicted.
      stride: trajectory steps from one possible start to the next; more than 1 thins windows that
        overlap almost wholly.

    Raises:
      ValueError: one of them is below 1.
    """

    past: int = 10
    delta: int = 10
    horizon: int = 1
    stride: int = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"window {field.name} is {value}, it must be at least 1")

    @property
    def span(self) -> int:
        """Trajectory steps from the first history frame to the target frame."""
        return (self.past - 1 + self.horizon) * self.delta

    @property
    def offsets(self) -> np.ndarray:
        """The frames of a window counted from its start, history and then target: [T + 1]."""
        return self.delta * np.append(np.arange(self.past), self.past - 1 + self.horizon)

    def __str__(self) -> str:
        ahead = "" if self.horizon == 1 else f", horizon={self.horizon}"
        return f"T={self.past}, Δ={self.delta}{ahead}"


def starts(
    lengths: Sequence[int],
    config: WindowConfig,
    source: str = "the trajectory",
    missing: np.ndarray | None = None,
) -> np.ndarray:
    """The starts of all windows that lie within one run and touch no missing frame.

    Args:
      lengths: frames of each run, the runs one after another; runs that are too short for a window
        have none.
      config: the shape of a window; every ``stride``-th frame of a run may be a start.
      source: what the trajectory was read from, for messages.
      missing: [frames] bool, frames that are not known, or None.

    Returns:
      int64 [W], increasing.

    Raises:
      DataError: no run is long enough for a window, or every window touches a missing frame.
    """
    if max(lengths) <= config.span:
        whose = source if len(lengths) == 1 else f"{source}: the longest of {len(lengths)} runs"
        raise DataError(
            f"{whose} has {max(lengths)} frames, but {config} needs at least {config.span + 1}; "
            f"lower past or delta"
        )
    offsets = accumulate(lengths, initial=0)
    runs = [
        np.arange(offset, offset + length - config.span, config.stride, dtype=np.int64)
        for offset, length in zip(offsets, lengths, strict=False)
    ]
    found = known(np.concatenate(runs), config, missing)
    if not found.size:
        raise DataError(
            f"{source}: {np.count_nonzero(missing)} of {len(missing)} frames are missing and every "
            f"window with {config} touches one; lower past or change delta"
        )
    return found


def known(starts: np.ndarray, config: WindowConfig, missing: np.ndarray | None) -> np.ndarray:
    """Those of the starts [W] whose windows touch no missing frame."""
    if missing is None:
        return starts
    whole = np.ones(len(starts), bool)
    for offset in config.offsets:  # frame by frame: no [W, T + 1] array
        whole &= ~missing[starts + offset]
    return starts[whole]


def frames_of(starts: np.ndarray, config: WindowConfig) -> np.ndarray:
    """The frames of each window, history and then target: starts [W] to integers [W, T + 1]."""
    return np.asarray(starts)[:, None] + config.offsets


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
