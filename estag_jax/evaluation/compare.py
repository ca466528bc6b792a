"""Whether one method is better than another on the same windows, which overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from estag_jax.evaluation.result import Result, Row

if TYPE_CHECKING:  # results are compared without loading the libraries of data
    from estag_jax.data.task import Part, Task

FEWEST = 5
"""Blocks of time without which nothing is said."""

LENGTH = 2
"""Length of a block in windows: most windows then share no frame with another block."""


def block_numbers(task: Task, part: Part) -> np.ndarray:
    """The block of time of each window of a part [W], in the order of ``Task.windows``, from 0 on."""
    length, numbers, count = LENGTH * (task.window.span + 1), [], 0
    for drawn in task.splits:
        starts = np.asarray(getattr(drawn, part))
        found, number = np.unique(starts // length, return_inverse=True)
        numbers.append(count + number)
        count += len(found)
    return np.concatenate(numbers)


def paired_difference(one: Row, other: Row, windows: Sequence[int]) -> tuple[float, float]:
    """The mean difference of two errors on the same windows, and its standard error.

        d = sum_b (a_b - o_b),   s² = B / (B - 1) sum_b (a_b - o_b - w_b d)²,   w_b = W_b / W

    with a_b and o_b what the windows of block b add to the mean errors. Blocks are taken as
    independent, windows of a block are not.

    Args:
      one, other: rows of one result.
      windows: W_b, how many windows each block has [B].

    Returns:
      d, below zero where ``one`` is better, and s.
    """
    parts = np.subtract(one.metrics["mse"]["blocks"], other.metrics["mse"]["blocks"])
    share = np.asarray(windows) / np.sum(windows)
    difference, count = parts.sum(), len(parts)
    spread = np.sum((parts - share * difference) ** 2) * count / max(count - 1, 1)
    return float(difference), float(np.sqrt(spread))


def paired_interval(
    one: Row, other: Row, windows: Sequence[int], share: float = 0.95
) -> tuple[float, float]:
    """The mean difference of two errors on the same windows and seeds, and half the width of its interval.

        d ± t sqrt(s² + v²),   v² = sum_s (a_s - o_s - d)² / (S (S - 1))

    with a_s and o_s the mean errors of seed s, s of :func:`paired_difference`, and t the quantile of
    Student's distribution with S - 1 degrees of freedom: chance in the training and in the windows. Of a
    single seed s alone is known, and t has one degree of freedom less than there are blocks.

    Args:
      one, other: rows of one result.
      windows: W_b, how many windows each block has [B].
      share: of the interval.

    Returns:
      d, below zero where ``one`` is better, and t sqrt(s² + v²); that is infinite if it cannot be said.
    """
    common = [seed for seed in one.seeds if seed in other.seeds]
    errors = [
        [dict(zip(r.seeds, r.metrics["mse"]["seeds"], strict=True))[s] for s in common]
        for r in (one, other)
    ]
    apart, (difference, error) = np.subtract(*errors), paired_difference(one, other, windows)
    count, variance = len(common), error**2
    if count > 1:
        variance += apart.var(ddof=1) / count
    from scipy.special import stdtrit  # a third of a second to load; most results need none

    free = count - 1 if count > 1 else len(windows) - 1
    if free <= 0:
        return difference, np.inf
    return difference, float(stdtrit(free, (1 + share) / 2) * np.sqrt(variance))


def clearly_better(result: Result) -> Row | None:
    """The best method that is clearly better than the last row's, None where there is none.

    Clearly: the difference on the same windows exceeds twice its standard error over blocks of time.
    """
    *others, own = result.finished or [None]
    better = [row for row in others if is_clearly_better(result, row, own)]
    return min(better, key=lambda row: row.mse) if better else None


def is_clearly_better(result: Result, one: Row, other: Row) -> bool:
    """Whether ``one`` is clearly better than ``other``; not with fewer than FEWEST blocks."""
    windows = result.data.get("blocks", [])
    if len(windows) < FEWEST:
        return False
    difference, error = paired_difference(one, other, windows)
    return difference < -2 * error
