"""Errors, their uncertainties and ratios as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from estag_jax.evaluation.result import Result, Row


def uncertainty(row: Row) -> float | None:
    """What stands behind ±: the deviation over several seeds, else the standard error over windows."""
    seeds = row.metrics["mse"]["seeds"]
    if len(seeds) > 1:
        return float(np.std(seeds, ddof=1))
    return row.metrics["mse"].get("standard_error")


def figure_text(value: float, scale: int = 0) -> str:
    """A figure in units of 10^scale with at least three significant digits, never 0.0000."""
    value = value / 10**scale
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "–"
    size = math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(2 - size, 4), 6)}f}" if -4 <= size < 6 else f"{value:.2e}"


def with_uncertainty(value: float, spread: float | None, scale: int = 0) -> str:
    """ "0.5664 ± 0.0029": the uncertainty with the digits of the figure, or with one that is not zero."""
    text = figure_text(value, scale)
    if not spread or not math.isfinite(value):
        return text
    decimals = len(text.partition(".")[2]) if "e" not in text else 0
    rounded = f"{spread / 10**scale:.{decimals}f}"
    return f"{text} ± {rounded if float(rounded) else f'{spread / 10**scale:.1g}'}"


def error_text(row: Row, scale: int) -> str:
    """The error of a row with its uncertainty, and how many seeds diverged."""
    text = with_uncertainty(row.mse, uncertainty(row), scale)
    return f"{text} ({len(row.diverged)} seed(s) diverged)" if row.diverged else text


def ratio_text(value: float | None) -> str:
    """A ratio; "–" where there is none."""
    if value is None:
        return "–"
    return f"{value:.3f}" if 1e-2 <= value < 1e6 else f"{value:.2g}"


def display_scale(errors: Sequence[float]) -> int:
    """Exponent e, a multiple of 3, such that figures are printed in units of 10^e."""
    largest = max(errors, default=0)
    return 3 * math.floor(math.log10(largest) / 3) if 0 < largest < 0.1 else 0


def error_unit(result: Result) -> tuple[int, str]:
    """The power of ten in which errors are printed, and their unit."""
    scale = display_scale([row.mse for row in result.finished])
    return scale, f"{f'10^{scale} ' if scale else ''}{result.data['length_unit']}²"
