"""Charts of errors: over training, by horizon, and inside error bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from estag_jax.report.style import (
    BLUE,
    DPI,
    FORECASTS,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    TEXT,
    WIDTH,
    blank_figure,
    finish,
    number,
    plain,
)

OTHERS = (ORANGE, GREEN, RED, PURPLE, SKY, "#777777", "#AA7744", "#999933")
DASHES = ("--", "-.", ":")


HIGHEST = 1e30
"""Errors from here on, of rollouts that diverged, are not drawn."""


def loss_curve(
    evaluations: Sequence[dict], references: dict[str, float], unit: str, path: str | Path
) -> Path:
    """Training and validation error by epoch, on a logarithmic axis, the best epoch marked.

    Args:
      evaluations: dicts of "epoch", "train_loss" and "validation_mse", errors in unit²; errors that
        are None, not finite or not positive are left out.
      references: validation errors of other predictors in unit², drawn as level lines.
      unit: of length.
      path: the PNG to write.

    Returns:
      The path.

    Raises:
      ValueError: there is nothing to draw.
    """
    epochs = np.array([e["epoch"] for e in evaluations], float)
    training, validation = (
        _drawable([e.get(key) for e in evaluations]) for key in ("train_loss", "validation_mse")
    )
    lines = [("Training", training, "#777777", "-"), ("Validation", validation, BLUE, "-")]
    lines += [
        (f"{name}  {number(value)}", _drawable([value] * len(epochs)), *_style(i))
        for i, (name, value) in enumerate(references.items())
    ]
    figure, axes = _chart(epochs, lines, "Epoch", unit)
    if not np.isfinite(validation).any():
        return finish(figure, path, "Error during training", "No validation error is finite")
    best, marker = np.nanargmin(validation), {"ms": 9, "mfc": "white", "mec": BLUE, "mew": 2}
    axes.plot(epochs[best], validation[best], "o", clip_on=False, zorder=5, **marker)
    subtitle = f"{number(validation[best])} {unit}² at epoch {epochs[best]:g}"
    return finish(figure, path, "Error during training", f"Best validation error (○): {subtitle}")


def rollout_error(
    horizons: Sequence[int],
    curves: dict[str, Sequence[float]],
    unit: str,
    path: str | Path,
    *,
    step: float | None = None,
    time_unit: str = "",
    emphasise: Sequence[str] = (),
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None,
    subtitle: str = "Every predictor is fed with its own forecasts",
) -> Path:
    """Mean squared error by horizon, on a logarithmic axis, one line per predictor.

    Args:
      horizons: frames ahead [S], increasing.
      curves: by predictor, errors [S] in unit²; those not finite or not positive are left out.
      unit: of length.
      path: the PNG to write.
      step: from one frame to the next in time_unit, for a second axis above; None: no such axis.
      time_unit: unit of step.
      emphasise: predictors to stand out: the forecaster first, then further ones.
      band: the least and the largest error that the error bars of the first expect [S] each.
      subtitle: the line below the title.

    Returns:
      The path.

    Raises:
      ValueError: a curve is not as long as horizons, or there is nothing to draw.
    """
    horizons, others = (
        np.asarray(horizons, float),
        [name for name in curves if name not in emphasise],
    )
    lines = [(name, _drawable(curves[name]), *_style(i)) for i, name in enumerate(others)]
    for name, colour in zip(emphasise, FORECASTS, strict=False):
        if name in curves:
            lines.append((name, _drawable(curves[name]), colour, "-"))
    between = None if band is None else (_drawable(band[0]), _drawable(band[1]))
    figure, axes = _chart(horizons, lines, "Frames ahead", unit, 0.4 if step else 0.0, band=between)
    if step:
        time = axes.secondary_xaxis("top", functions=(lambda f: f * step, lambda t: t / step))
        time.set_xlabel(f"Time ahead [{time_unit}]", **TEXT)
        time.tick_params(labelsize=9, colors=INK)
        time.spines["top"].set_visible(False)
    return finish(figure, path, "Error of repeated forecasts", subtitle)


def calibration(levels: np.ndarray, shares: np.ndarray, path: str | Path, name: str) -> Path:
    """How often the truth is inside regions of error bars, by the probability they are meant to have.

    Args:
      levels: probabilities of the regions [L].
      shares: of the points whose truth is inside [L].
      path: the PNG or SVG to write.
      name: of the forecaster.

    Returns:
      The path.
    """
    figure = blank_figure(4.6)
    axes = figure.add_axes((0.85 / WIDTH, 0.6 / 4.6, 3.2 / WIDTH, 3.2 / 4.6))
    axes.plot([0, 1], [0, 1], color="#777777", lw=1, ls="--", label="as meant")
    axes.plot(levels, shares, color=BLUE, lw=2.2, label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    plain(axes, "Probability of the region", "Share of test points inside")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    off = shares[np.argmin(np.abs(levels - 0.9))]
    return finish(
        figure, path, "Calibration of the error bars", f"The regions of 90 % hold {off:.1%}"
    )


def _chart(
    x: np.ndarray,
    lines: list[tuple],
    label: str,
    unit: str,
    above: float = 0.0,
    band: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Figure, Axes]:
    """Lines (name, errors over x, colour, dashes), each named at its right end, over a band."""
    for name, values, _, _ in lines:
        if len(values) != len(x):
            raise ValueError(f"{name} has {len(values)} errors, expected {len(x)}")
    lines = [line for line in lines if np.isfinite(line[1]).any()]
    if not lines:
        raise ValueError("there is nothing to draw: no error is finite and positive")
    figure = blank_figure(max(4.2, 1.9 + 0.2 * len(lines)) + above)
    tall = figure.get_figheight()
    box = [0.95 / WIDTH, 0.6 / tall, 0.5, 1 - (1.4 + above) / tall]
    axes = figure.add_axes(box, yscale="log")
    for name, values, colour, dash in lines:
        good, ours = np.isfinite(values), colour in FORECASTS
        marker = "o" if good.sum() == 1 or ours and good.sum() <= 30 else ""
        style = {"lw": 2.4 if ours else 1.5, "zorder": 4 if ours else 3, "marker": marker, "ms": 4}
        axes.plot(x[good], values[good], dash, color=colour, label=name, clip_on=False, **style)
    axes.set_xlim(x[0] - 0.5 * (len(x) == 1), x[-1] + 0.5 * (len(x) == 1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    plain(axes, label, f"Mean squared error [{unit}²]", "both")

    if band is not None:
        axes.fill_between(x, *band, color=BLUE, alpha=0.18, lw=0, zorder=2)
    axes.autoscale_view()
    to_axes, gap = axes.transData - axes.transAxes, 0.17 / (box[3] * tall)
    ends = np.array([to_axes.transform(line.get_xydata()[-1]) for line in axes.lines])
    # The nearest heights at least a gap apart: without the gaps, an increasing sequence.
    order, stairs = np.argsort(ends[:, 1], kind="stable"), gap * np.arange(len(ends))
    level = isotonic_regression(ends[order, 1] - stairs).x
    heights = np.clip(level, 0, 1 - stairs[-1]) + stairs
    widest, place = 0.0, {"transform": axes.transAxes, "clip_on": False}
    renderer = FigureCanvasAgg(figure).get_renderer()
    for i, height in zip(order, heights, strict=True):
        name, _, colour, _ = lines[i]
        axes.plot([1.0, 1.015, 1.045], [ends[i, 1], height, height], color=colour, lw=0.9, **place)
        style = TEXT | {"weight": "bold" if colour in FORECASTS else "normal", "parse_math": False}
        text = axes.text(1.055, height, name, va="center", **style, **place)
        widest = max(widest, text.get_window_extent(renderer).width / DPI)
    # Between the texts on both sides, which are as wide as the numbers and names happen to be.
    box[0] += (0.15 - axes.yaxis.get_tightbbox(renderer).x0 / DPI) / WIDTH
    box[2] = (1 - box[0] - (widest + 0.1) / WIDTH) / 1.055
    axes.set_position(box)
    return figure, axes


def _style(i: int) -> tuple[str, str]:
    """Colour and dashes of the i-th line besides the forecaster's; 24 differ."""
    return OTHERS[i % len(OTHERS)], DASHES[i % len(DASHES)]


def _drawable(values: Sequence[float | None]) -> np.ndarray:
    """As float64, with NaN for what a logarithmic axis cannot show beside the rest."""
    values = np.array(values, np.float64)  # None becomes NaN
    return np.where((values > 0) & (values < HIGHEST), values, np.nan)
