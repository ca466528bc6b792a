"""Which windows are for training, validation and test.

``blocked`` is for claims of our own: the three parts are blocks of time with a gap of one window
between them. ``paper`` repeats the published rule, whose random starts from one trajectory let test
windows share frames with training windows; ``overlap`` counts how many do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal, get_args

import numpy as np

from estag_jax.data.trajectory import DataError
from estag_jax.data.windows import WindowConfig, frames_of

Kind = Literal["blocked", "paper"]

PAPER_SHARES = (0.1, 0.05, 0.05)
"""Shares of the pool that the published rule draws for train, validation and test."""


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How windows are divided.

    Args:
      kind: "blocked" or "paper", see ``split``.
      train: windows wanted for training; fewer are taken where there are fewer.
      validation: the same for validation.
      test: the same for test.
      fractions: shares of train, validation and test in each run's time (blocked only).
      margin: frames left out at both ends (paper only).
      seed: of the draw; the published one is 100.

    Raises:
      ValueError: a value is out of its range.
    """

    kind: Kind = "blocked"
    train: int = 500
    validation: int = 2000
    test: int = 2000
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    margin: int = 10_000
    seed: int = 100

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"split kind is {self.kind!r}, expected one of {', '.join(get_args(Kind))}"
            )
        for name in ("train", "validation", "test"):
            if getattr(self, name) < 1:
                raise ValueError(f"split {name} is {getattr(self, name)}, it must be at least 1")
        if len(self.fractions) != 3 or not all(share > 0 for share in self.fractions):
            raise ValueError(
                f"split fractions are {self.fractions}, expected three positive numbers"
            )
        if abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(
                f"split fractions {self.fractions} add up to {sum(self.fractions):.6g}, not 1"
            )
        if self.margin < 0:
            raise ValueError(f"split margin is {self.margin}, it must be at least 0")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"split seed is {self.seed}, it must lie in 0 … 2^32 - 1")


@dataclasses.dataclass(frozen=True)
class Split:
    """Starts of the windows of each part, int64, in the order in which they were drawn.

    A part holds fewer than were wanted where there are fewer. What is drawn for one part does not
    depend on the numbers wanted for the others.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    kind: Kind


def split(
    lengths: Sequence[int],
    windows: WindowConfig,
    config: SplitConfig,
    source: str = "the trajectory",
) -> Split:
    """Draws the windows of train, validation and test.

    blocked: in each run, time is train | gap | validation | gap | test. A gap is one window long
    (``windows.span`` frames) and the blocks share the rest by ``config.fractions``. No window
    leaves its block. From the windows of each block, over all runs, the wanted number is drawn.

    paper: the published rule for MD17. Starts are drawn by numpy's legacy generator from the pool
    of frames margin … F - 2 - margin: a tenth of the pool for training, then a twentieth of it each
    for validation and test out of what is left, each cut to the first wanted ones.

    Args:
      lengths: frames of each run, the runs one after another.
      windows: the shape of a window.
      config: which rule, and its numbers.
      source: what the trajectory was read from, for messages.

    Returns:
      The drawn starts.

    Raises:
      DataError: a run is too short for the rule, the margin is shorter than a window, or paper is
        asked for on several runs.
    """
    rule = {"blocked": _blocked, "paper": _paper}[config.kind]
    return Split(*rule(lengths, windows, config, source), kind=config.kind)


def overlap(split: Split, windows: WindowConfig) -> dict[str, dict[str, float]]:
    """How many windows use a frame that a training window uses too, as history or as target.

    Args:
      split: the starts of each part.
      windows: the shape of a window.

    Returns:
      For "validation" and "test": "count", the number of such windows, and "share", their part of
      all windows there, 0 … 1.
    """
    trained = np.unique(frames_of(split.train, windows))
    report = {}
    for name in ("validation", "test"):
        shared = np.isin(frames_of(getattr(split, name), windows), trained).any(axis=1)
        report[name] = {"count": int(shared.sum()), "share": float(shared.mean())}
    return report


def _blocked(
    lengths: Sequence[int], windows: WindowConfig, config: SplitConfig, source: str
) -> list[np.ndarray]:
    # As decimals, not as binary floats: 0.2 of 255 frames must be 51 on every path.
    shares = [Fraction(str(share)) for share in config.fractions]
    needed = 2 * windows.span + max(math.ceil((windows.span + 1) / share) for share in shares)
    pools = ([], [], [])
    for run, (begin, length) in enumerate(
        zip(accumulate(lengths, initial=0), lengths, strict=False)
    ):
        if length < needed:
            whose = source if len(lengths) == 1 else f"{source}: run {run}"
            raise DataError(
                f"{whose} has {length} frames, but a blocked split with {windows} and fractions "
                f"{config.fractions} needs at least {needed}; lower past or delta"
            )
        for pool, share in zip(pools, shares, strict=True):
            size = int(share * (length - 2 * windows.span))
            pool.append(np.arange(begin, begin + size - windows.span, dtype=np.int64))
            begin += size + windows.span
    generator = np.random.default_rng(config.seed)
    wanted = (config.train, config.validation, config.test)
    # Whole permutations: how many are wanted for training does not change what is drawn for test.
    return [
        generator.permutation(np.concatenate(pool))[:count]
        for pool, count in zip(pools, wanted, strict=True)
    ]


def _paper(
    lengths: Sequence[int], windows: WindowConfig, config: SplitConfig, source: str
) -> list[np.ndarray]:
    if len(lengths) > 1:
        raise DataError(
            f"{source} has {len(lengths)} runs, but split kind 'paper' is for a single one; "
            f"use kind 'blocked'"
        )
    if windows.span > config.margin:
        raise DataError(
            f"a window with {windows} spans {windows.span} frames and would not fit into the "
            f"margin of {config.margin} at the end of {source}; raise margin or lower past or delta"
        )
    pool = lengths[0] - 1 - 2 * config.margin
    least = math.ceil(1 / min(PAPER_SHARES))
    if pool < least:
        raise DataError(
            f"{source} has {lengths[0]} frames, but split kind 'paper' with margin {config.margin} "
            f"needs at least {2 * config.margin + 1 + least}; lower margin or use kind 'blocked'"
        )
    state = np.random.RandomState(config.seed)
    rest, parts = np.arange(pool, dtype=np.int64), []
    for share, wanted in zip(
        PAPER_SHARES, (config.train, config.validation, config.test), strict=True
    ):
        drawn = state.choice(rest, int(share * pool), replace=False)
        parts.append(config.margin + drawn[:wanted])
        rest = np.setdiff1d(rest, drawn, assume_unique=True)
    return parts
