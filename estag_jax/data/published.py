"""The published rules for train, validation and test windows, as the released program draws them.

They leave the last frame of every run out, and all but the one by trial let windows of different
parts share frames; ``splits.overlap`` counts those.
"""

from __future__ import annotations

import math

import numpy as np

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import PublishedTrials, Trajectory

SHARES = (0.1, 0.05, 0.05)
"""MD17: shares of the pool that are drawn for train, validation and test."""

TIMES = (0.6, 0.8)
"""Protein: where training and validation end."""


def draw(trajectory: Trajectory, windows: WindowConfig, config: SplitConfig) -> list[np.ndarray]:
    """Draws by the trajectory's own published rule: by trial, in time, or at random as for MD17.

    Args:
      trajectory: its lengths and ``published``.
      windows: the shape of a window.
      config: its seed is that of numpy's legacy generator, its margin for the rule for MD17. Of the
        numbers of windows wanted, only the rule by trial takes notice here, since it takes the same
        number of each trial.

    Returns:
      Starts of the three parts, in the order in which they were drawn, to be cut to the first wanted.

    Raises:
      DataError: a run is too short, there are several runs and no list of trials, the margin is
        shorter than a window, or windows have a stride.
    """
    if windows.stride != 1:
        raise DataError(
            f"{trajectory.source}: split kind 'paper' draws from all starts, so window stride "
            f"{windows.stride} has no place there; use kind 'blocked'"
        )
    if isinstance(trajectory.published, PublishedTrials):
        return _by_trial(trajectory, windows, config, trajectory.published)
    if len(trajectory.lengths) > 1:
        raise DataError(
            f"{trajectory.source} has {len(trajectory.lengths)} runs, but split kind 'paper' is for a "
            f"single one or a complete published list of trials; use kind 'by-trajectory' or 'blocked'"
        )
    if trajectory.published == "time":
        return _in_time(trajectory, windows)
    return _at_random(trajectory, windows, config.seed, config.margin)


def _at_random(
    trajectory: Trajectory, windows: WindowConfig, seed: int, margin: int
) -> list[np.ndarray]:
    """MD17: random starts from the pool of frames margin … F - 2 - margin.

    A tenth of the pool for training, then a twentieth of it each for validation and test out of
    what is left.
    """
    source, frames = trajectory.source, trajectory.num_frames
    if windows.span > margin:
        raise DataError(
            f"a window with {windows} spans {windows.span} frames and would not fit into the "
            f"margin of {margin} at the end of {source}; raise margin or lower past or delta"
        )
    pool = frames - 1 - 2 * margin
    least = math.ceil(1 / min(SHARES))
    if pool < least:
        raise DataError(
            f"{source} has {frames} frames, but split kind 'paper' with margin {margin} "
            f"needs at least {2 * margin + 1 + least}; lower margin or use kind 'blocked'"
        )
    state = np.random.RandomState(seed)
    rest, parts = np.arange(pool, dtype=np.int64), []
    for share in SHARES:
        drawn = state.choice(rest, int(share * pool), replace=False)
        parts.append(margin + drawn)
        rest = np.setdiff1d(rest, drawn, assume_unique=True)
    return parts


def _in_time(trajectory: Trajectory, windows: WindowConfig) -> list[np.ndarray]:
    """Protein: 60, 20 and 20 % of the starts in order of time."""
    count = trajectory.num_frames - windows.span
    if count < 6:
        raise DataError(
            f"{trajectory.source} has {trajectory.num_frames} frames, but split kind 'paper' with "
            f"{windows} needs at least {windows.span + 6}; lower past or delta"
        )
    return np.split(np.arange(count - 1, dtype=np.int64), [int(share * count) for share in TIMES])


def _by_trial(
    trajectory: Trajectory, windows: WindowConfig, config: SplitConfig, trials: PublishedTrials
) -> list[np.ndarray]:
    """Motion capture: random starts in the first frames of each trial of a published list."""
    state, frames, parts = np.random.RandomState(config.seed), trajectory.runs, []
    wanted = config.train, config.validation, config.test
    need = trials.below + windows.span + 1
    for runs, count in zip((trials.train, trials.validation, trials.test), wanted, strict=True):
        drawn = []
        for run in runs:
            if trajectory.lengths[run] < need:
                raise DataError(
                    f"{trajectory.source}: run {run} has {trajectory.lengths[run]} frames, but split "
                    f"kind 'paper' with {windows} needs {need}; use kind 'by-trajectory'"
                )
            chosen = state.choice(np.arange(trials.below), trials.each, replace=False)
            drawn.append(frames[run].start + chosen[: max(1, count // len(runs))].astype(np.int64))
        parts.append(np.concatenate(drawn))
    return parts
