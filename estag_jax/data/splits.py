"""Which windows train, which validate and which test.

``blocked`` is for claims of our own: the three parts are blocks of time with a gap of one window
between them. ``by-trajectory`` gives whole runs to the parts. ``paper`` repeats the published rules;
the random starts of its rule for MD17 let test windows share frames with training windows, and
``overlap`` counts how many do.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np

from estag_jax.data import published
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import known, whole


@dataclasses.dataclass(frozen=True)
class Split:
    """Starts of the windows of each part, int64, in the order in which they were drawn.

    A part holds fewer than were wanted where there are fewer. What is drawn for one part does not
    depend on the numbers wanted for the others.

    Args:
      train: starts.
      validation: starts.
      test: starts.
      kind: the rule.
      dropped: windows that the rule would have drawn from, but which touch a missing frame.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    kind: str
    dropped: int = 0


def split(trajectory: Trajectory, windows: WindowConfig, config: SplitConfig) -> Split:
    """Draws the windows of train, validation and test.

    blocked: in each run, time is train | gap | validation | gap | test. A gap is one window long
    (``windows.span`` frames) and the blocks share the rest by ``config.fractions``. No window
    leaves its block. From the windows of each block, over all runs, the wanted number is drawn.

    by-trajectory: each run belongs to one part as a whole. From the windows of its runs, or the
    first so many drawn of each run with ``each``, the wanted number is drawn.

    paper: the published rule of the data, see ``published``.

    Args:
      trajectory: its lengths, missing frames and published rule.
      windows: the shape of a window.
      config: which rule, and its numbers.

    Returns:
      The drawn starts.

    Raises:
      DataError: a run is too short for the rule, the margin is shorter than a window, there are too
        few runs, or a part is left without windows.
    """
    pools = _RULES[config.kind](trajectory, windows, config)
    whole = [known(pool, windows, trajectory.missing) for pool in pools]
    for name, part in zip(("training", "validation", "test"), whole, strict=True):
        if not part.size:
            raise DataError(
                f"{trajectory.source}: the {config.kind} split leaves no {name} windows with "
                f"{windows}{_why(trajectory)}; lower past or delta"
            )
    # Whole pools are drawn and cut here: how many are wanted for training does not change what is
    # drawn for test.
    wanted = config.train, config.validation, config.test
    parts = [part[:n] for part, n in zip(whole, wanted, strict=True)]
    dropped = sum(map(len, pools)) - sum(map(len, whole))
    return Split(*parts, kind=config.kind, dropped=dropped)


def overlap(split: Split, windows: WindowConfig) -> dict[str, dict[str, float]]:
    """How many windows use a frame that a training window uses too, as history or as target.

    Args:
      split: the starts of each part.
      windows: the shape of a window.

    Returns:
      For "validation" and "test": "count", the number of such windows, and "share", their part of
      all windows there, 0 … 1.
    """
    every = np.concatenate([split.train, split.validation, split.test])
    trained = np.zeros(every.max(initial=0) + windows.span + 1, bool)
    for offset in windows.offsets:  # frame by frame, as in ``known``
        trained[split.train + offset] = True
    report = {}
    for name in ("validation", "test"):
        shared = ~whole(getattr(split, name), windows, trained)
        report[name] = {"count": int(shared.sum()), "share": float(shared.mean())}
    return report


def _blocked(
    trajectory: Trajectory, windows: WindowConfig, config: SplitConfig
) -> list[np.ndarray]:
    lengths, source = trajectory.lengths, trajectory.source
    # As decimals, not as binary floats: 0.2 of 255 frames must be 51 on every path.
    shares = [Fraction(str(share)) for share in config.fractions]
    needed = 2 * windows.span + max(math.ceil((windows.span + 1) / share) for share in shares)
    pools = ([], [], [])
    for run, frames in enumerate(trajectory.runs):
        begin, length = frames.start, lengths[run]
        if length < needed:
            whose = source if len(lengths) == 1 else f"{source}: run {run}"
            several = (
                ""
                if len(lengths) < 2
                else f", or leave short runs out (--read.min-frames {needed})"
            )
            several += "" if len(lengths) < 3 else ", or use kind 'by-trajectory'"
            raise DataError(
                f"{whose} has {length} frames, but a blocked split with {windows} and fractions "
                f"{config.fractions} needs at least {needed}; lower past or delta{several}"
            )
        for pool, share in zip(pools, shares, strict=True):
            size = int(share * (length - 2 * windows.span))
            end = begin + size - windows.span
            pool.append(np.arange(begin, end, windows.stride, dtype=np.int64))
            begin += size + windows.span
    generator = np.random.default_rng(config.seed)
    return [generator.permutation(np.concatenate(pool)) for pool in pools]


def _by_trajectory(
    trajectory: Trajectory, windows: WindowConfig, config: SplitConfig
) -> list[np.ndarray]:
    lengths = trajectory.lengths
    usable = [run for run, length in enumerate(lengths) if length > windows.span]
    if len(usable) < 3:
        raise DataError(
            f"{trajectory.source} has {len(usable)} run(s) of more than {windows.span} frames, but kind "
            f"'by-trajectory' needs one each for train, validation and test; use kind 'blocked'"
        )
    generator = np.random.default_rng(config.seed)
    frames, pools = trajectory.runs, []
    for runs in _parts(usable, config, generator):
        pool = []
        for run in runs:
            last = lengths[run] - windows.span
            found = np.arange(0, min(last, config.below or last), windows.stride, dtype=np.int64)
            found = generator.permutation(found)[: config.each]
            pool.append(frames[run].start + found)
        pools.append(generator.permutation(np.concatenate(pool)))
    return pools


def _parts(runs: list[int], config: SplitConfig, generator: np.random.Generator) -> list[list[int]]:
    """Which runs belong to train, validation and test; each part gets at least one."""
    if config.runs == "alternating":
        if len(runs) == 3:
            return [runs[:1], runs[1:2], runs[2:]]
        return [runs[::2], runs[1::4], runs[3::4]]
    shuffled = [runs[i] for i in generator.permutation(len(runs))]
    shares = [Fraction(str(share)) for share in config.fractions[1:]]
    validation, test = (max(1, round(share * len(runs))) for share in shares)
    train = len(runs) - validation - test
    if train < 1:  # three or four runs and a small share for training
        validation, test, train = 1, 1, len(runs) - 2
    return [shuffled[:train], shuffled[train : train + validation], shuffled[train + validation :]]


def _why(trajectory: Trajectory) -> str:
    if trajectory.missing is None:
        return ""
    return (
        f" ({np.count_nonzero(trajectory.missing)} of {trajectory.num_frames} frames are missing "
        f"and windows that touch one are dropped)"
    )


_RULES = {"blocked": _blocked, "by-trajectory": _by_trajectory, "paper": published.draw}
