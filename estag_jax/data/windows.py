"""Windows: T past frames, Δ apart, and the frames to predict, h times Δ after the last of them.

The window with start s has the history frames s, s + Δ, …, s + (T - 1) Δ and the target frames
s + (T - 1 + h) Δ, one for each horizon h, by default 1. Windows are kept as starts, one integer
each; frames are copied only when gathered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from estag_jax.data.settings import WindowConfig
from estag_jax.data.system import DataError


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
    return starts if missing is None else starts[whole(starts, config, missing)]


def whole(starts: np.ndarray, config: WindowConfig, missing: np.ndarray) -> np.ndarray:
    """Which of the windows with these starts [W] touch none of some frames, given as [frames] bool."""
    found = np.ones(len(starts), bool)
    for offset in config.offsets:  # frame by frame: no [W, T + P] array
        found &= ~missing[starts + offset]
    return found


def frames_of(starts: np.ndarray, config: WindowConfig) -> np.ndarray:
    """The frames of each window, history and then targets: starts [W] to integers [W, T + P]."""
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
      history [W, N, T, C, 3] and targets [W, P, N, C, 3], one for each horizon.

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
    targets = positions[starts[:, None] + config.offsets[config.past :]]
    return history, targets


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """Rows at even distances, ``most`` of them or all."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)]


def inside_frames_of(
    given: np.ndarray,
    lengths: Sequence[int],
    config: WindowConfig,
    wanted: WindowConfig | None = None,
) -> np.ndarray:
    """The starts of all windows whose every frame is a frame of some of the given windows.

    Args:
      given: starts [W].
      lengths: frames of each run.
      config: the shape of the given windows; its ``stride`` is not looked at.
      wanted: the shape of the windows that are looked for, that of the given ones by default.

    Returns:
      int64 [V], increasing, the given ones among them if they have the same shape.

    Raises:
      DataError: there is none.
    """
    others = np.ones(sum(lengths), bool)
    others[frames_of(given, config)] = False
    wanted = dataclasses.replace(wanted or config, stride=1)
    return starts(lengths, wanted, missing=others)
