"""Figures as PNG files: error over training, one predicted frame in 3-D, error by horizon.

Drawn with matplotlib's objects, never with pyplot: no window, backend or setting of the caller's
session is touched. Every figure is 1400 pixels wide; missing folders of its path are made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression
from scipy.spatial import cKDTree

WIDTH, DPI, TEXT = 7.0, 200, {"fontsize": 9.5, "color": "#222222"}  # inches, dots per inch
INK, FAINT, GRID, GREY = "#222222", "#D8D8D8", "#DDDDDD", "#A6A6A6"
# The palette of Okabe and Ito, told apart with all common colour visions. Blue is the forecaster.
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
RED, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
OTHERS, DASHES = (ORANGE, GREEN, RED, PURPLE, SKY, "#777777"), ("--", "-.", ":")
ELEMENTS = {"H": "#F4F4F4", "C": GREY, "N": SKY, "O": RED, "S": YELLOW, "F": GREEN, "Cl": GREEN}
CHANNELS = (GREY, GREEN, RED, PURPLE, SKY, YELLOW)


def loss_curve(
    evaluations: Sequence[dict], references: dict[str, float], unit: str, path: str | Path
) -> Path:
    """Training and validation error by epoch, on a logarithmic axis, the best epoch marked.

    Args:
      evaluations: dicts of "epoch", "train_mse" and "validation_mse", errors in unit²; errors that
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
        _drawable([e[key] for e in evaluations]) for key in ("train_mse", "validation_mse")
    )
    lines = [("Training", training, "#777777", "-"), ("Validation", validation, BLUE, "-")]
    lines += [
        (f"{name}  {_number(value)}", _drawable([value] * len(epochs)), *_style(i))
        for i, (name, value) in enumerate(references.items())
    ]
    figure, axes = _chart(epochs, lines, "Epoch", unit)
    if not np.isfinite(validation).any():
        return _finish(figure, path, "Error during training", "No validation error is finite")
    best, marker = np.nanargmin(validation), {"ms": 9, "mfc": "white", "mec": BLUE, "mew": 2}
    axes.plot(epochs[best], validation[best], "o", clip_on=False, zorder=5, **marker)
    subtitle = f"{_number(validation[best])} {unit}² at epoch {epochs[best]:g}"
    return _finish(figure, path, "Error during training", f"Best validation error (○): {subtitle}")


def rollout_error(
    horizons: Sequence[int],
    curves: dict[str, Sequence[float]],
    unit: str,
    path: str | Path,
    *,
    step: float | None = None,
    time_unit: str = "",
    emphasise: str | None = None,
) -> Path:
    """Mean squared error by horizon, on a logarithmic axis, one line per predictor.

    Args:
      horizons: frames ahead [S], increasing.
      curves: by predictor, errors [S] in unit²; those not finite or not positive are left out.
      unit: of length.
      path: the PNG to write.
      step: from one frame to the next in time_unit, for a second axis above; None: no such axis.
      time_unit: unit of step.
      emphasise: the predictor to stand out, the forecaster; None: none does.

    Returns:
      The path.

    Raises:
      ValueError: a curve is not as long as horizons, or there is nothing to draw.
    """
    horizons, others = np.asarray(horizons, float), [name for name in curves if name != emphasise]
    lines = [(name, _drawable(curves[name]), *_style(i)) for i, name in enumerate(others)]
    if emphasise in curves:
        lines.append((emphasise, _drawable(curves[emphasise]), BLUE, "-"))
    figure, axes = _chart(horizons, lines, "Frames ahead", unit, above=0.4 if step else 0.0)
    if step:
        time = axes.secondary_xaxis("top", functions=(lambda f: f * step, lambda t: t / step))
        time.set_xlabel(f"Time ahead [{time_unit}]", **TEXT)
        time.tick_params(labelsize=9, colors=INK)
        time.spines["top"].set_visible(False)
    subtitle = "Every predictor goes on from its own forecasts"
    return _finish(figure, path, "Error of repeated forecasts", subtitle)


def overlay(
    truth: np.ndarray,
    prediction: np.ndarray,
    last: np.ndarray,
    bonds: np.ndarray,
    names: Sequence[str],
    path: str | Path,
    *,
    title: str,
    unit: str,
) -> Path:
    """One predicted frame in 3-D: the positions to scale, and the displacements magnified.

    Both panels are parallel projections of one view with one scale for all three axes. The left one
    shows truth, prediction and last frame. The right one shows two arrows a node, from the last
    frame to truth and to prediction, lengthened by the factor stated: nodes move so little in one
    frame that the positions match for every predictor. Sticks and arrows are those of channel 0.

    Args:
      truth: [N, C, 3] in ``unit``.
      prediction: [N, C, 3]; points that are not finite are left out.
      last: the frame before, from which the nodes moved [N, C, 3].
      bonds: pairs of nodes joined by a stick, integers [M, 2], in one direction or in both.
      names: N; if C is 1 and all are element symbols, they colour the nodes, else channels do.
      path: the PNG to write.
      title: first line; the second gives the errors over all nodes and channels.
      unit: of length.

    Returns:
      The path.

    Raises:
      ValueError: shapes differ, or truth or last is not finite.
    """
    frames = [np.asarray(a, np.float64) for a in (truth, prediction, last)]
    shapes = [a.shape for a in frames]
    if len(set(shapes)) > 1 or len(shapes[0]) != 3 or shapes[0][::2] != (len(names), 3):
        raise ValueError(
            f"truth, prediction, last are {shapes}, expected [{len(names)}, C, 3] each"
        )
    if not np.isfinite(frames[::2]).all():
        raise ValueError("truth or last frame holds values that are not finite")
    model, kept = (f"{_number(np.mean((a - frames[0]) ** 2))} {unit}²" for a in frames[1:])
    centre, turn = _camera(frames[2].reshape(-1, 3))
    truth, prediction, last = flat = [(a.reshape(-1, 3) - centre) @ turn for a in frames]
    prediction[~np.isfinite(prediction).all(1)] = np.nan
    channels = shapes[0][1]
    # As indices of points; the two directions of a pair are one stick.
    pairs = np.unique(np.sort(np.reshape(bonds, (-1, 2)).astype(int)), axis=0) * channels
    nodes = last[::channels]
    moves = [(a[::channels] - nodes)[:, :2] for a in (truth, prediction)]

    spacing = np.median(cKDTree(nodes).query(nodes, k=2)[0][:, 1])
    spacing = spacing if 0 < spacing < np.inf else 1.0  # one node, or all at one place
    longest = np.nanmax(np.linalg.norm(moves, axis=-1))
    factor = max(1.0, _round_down(1.3 * spacing / longest)) if longest > 0 else 1.0
    tips = [nodes[:, :2] + factor * move for move in moves]
    shown = np.concatenate([a[:, :2] for a in flat] + tips)
    low, high = np.nanmin(shown, 0) - 0.3 * spacing, np.nanmax(shown, 0) + 0.3 * spacing
    scale = min((WIDTH / 2 - 0.3) / (high - low)[0], 3.2 / (high - low)[1])  # inches per unit
    bar, ball = _round_down(0.8 / scale), 72 * 0.42 * spacing * scale

    colours, key = _node_colours(names, channels)
    dot = {"marker": "o", "ms": 8, "lw": 0, "mec": INK, "mew": 0.5}
    key = [Line2D([], [], label=f"true {name}", color=c, **dot) for name, c in key.items()]
    key.append(Line2D([], [], label="last frame", color=FAINT, **dot | {"mec": FAINT}))
    key.append(Line2D([], [], label="prediction", color="none", **dot | {"mec": BLUE, "mew": 1.3}))
    arrows = [("true", ORANGE, 0.05), ("predicted", BLUE, 0.02)]
    strokes = [Line2D([], [], label=name, color=c, lw=72 * width) for name, c, width in arrows]
    texts = f"{bar:g} {unit}", f"{bar / factor:g} {unit} of displacement"
    headings = "Positions, to scale", f"Displacement from the last frame, × {factor:g}"
    figure, panels = _panels(low, high, scale, bar, headings, texts, (key, strokes))

    _balls_and_sticks(panels[0], last, [FAINT] * len(last), pairs, ball)
    _balls_and_sticks(panels[0], truth, colours, pairs, ball)
    sticks = LineCollection(list(prediction[pairs, :2]), colors=BLUE, linewidths=1.3, zorder=3)
    panels[0].add_collection(sticks, autolim=False)
    rings = {"facecolors": "none", "edgecolors": BLUE, "linewidths": 1.3, "zorder": 4}
    panels[0].scatter(*prediction[:, :2].T, s=ball**2, **rings)
    _balls_and_sticks(panels[1], last, colours, pairs, 0.6 * ball)
    for move, (_, colour, width), head in zip(moves, arrows, (2.2, 4.5), strict=True):
        style = {"headwidth": head, "headlength": head, "headaxislength": head, "zorder": 5}
        style |= {"color": colour, "units": "inches", "width": width}
        ends = (*nodes[:, :2].T, *factor * move.T)
        panels[1].quiver(*ends, angles="xy", scale_units="xy", scale=1, **style)
    return _finish(figure, path, title, f"Mean squared error {model}; with the last frame {kept}")


def _figure(height: float) -> Figure:
    figure = Figure((WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _finish(figure: Figure, path: str | Path, title: str, subtitle: str) -> Path:
    """Adds the two lines at the top and writes the PNG, or leaves nothing behind."""
    for text, below, style in (
        (title, 0.12, {"size": 12.5, "weight": "bold"}),
        (subtitle, 0.4, {}),
    ):
        place = 0.15 / WIDTH, 1 - below / figure.get_figheight()
        line = figure.text(
            *place, text, va="top", parse_math=False, **{"size": 10, "color": INK} | style
        )
        width = line.get_window_extent(figure.canvas.get_renderer()).width / DPI
        line.set_fontsize(line.get_fontsize() * min(1, (WIDTH - 0.3) / width))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        figure.canvas.print_png(partial)  # savefig would obey the caller's settings
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _chart(
    x: np.ndarray, lines: list[tuple], label: str, unit: str, above: float = 0.0
) -> tuple[Figure, Axes]:
    """Lines (name, errors over x, colour, dashes), each named at its right end."""
    for name, values, _, _ in lines:
        if len(values) != len(x):
            raise ValueError(f"{name} has {len(values)} errors, expected {len(x)}")
    lines = [line for line in lines if np.isfinite(line[1]).any()]
    if not lines:
        raise ValueError("there is nothing to draw: no error is finite and positive")
    figure = _figure(max(4.2, 1.9 + 0.2 * len(lines)) + above)
    tall = figure.get_figheight()
    box = [0.95 / WIDTH, 0.6 / tall, 0.5, 1 - (1.4 + above) / tall]
    axes = figure.add_axes(box, yscale="log")
    for name, values, colour, dash in lines:
        good, ours = np.isfinite(values), colour == BLUE
        marker = "o" if good.sum() == 1 or ours and good.sum() <= 30 else ""
        style = {"lw": 2.4 if ours else 1.5, "zorder": 4 if ours else 3, "marker": marker, "ms": 4}
        axes.plot(x[good], values[good], dash, color=colour, label=name, clip_on=False, **style)
    axes.set_xlim(x[0] - 0.5 * (len(x) == 1), x[-1] + 0.5 * (len(x) == 1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(label, **TEXT)
    axes.set_ylabel(f"Mean squared error [{unit}²]", **TEXT)
    axes.tick_params(which="both", labelsize=9, colors=INK)
    axes.grid(which="both", color=GRID, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)

    to_axes, gap = axes.transData - axes.transAxes, 0.17 / (box[3] * tall)
    ends = np.array([to_axes.transform(line.get_xydata()[-1]) for line in axes.lines])
    # The nearest heights at least a gap apart: without the gaps, an increasing sequence.
    order, stairs = np.argsort(ends[:, 1], kind="stable"), gap * np.arange(len(ends))
    level = isotonic_regression(ends[order, 1] - stairs).x
    heights = np.clip(level, 0, 1 - stairs[-1]) + stairs
    widest, place = 0.0, {"transform": axes.transAxes, "clip_on": False}
    for i, height in zip(order, heights, strict=True):
        name, _, colour, _ = lines[i]
        axes.plot(
            [ends[i, 0], 1.015, 1.045], [ends[i, 1], height, height], color=colour, lw=0.9, **place
        )
        style = TEXT | {"weight": "bold" if colour == BLUE else "normal", "parse_math": False}
        text = axes.text(1.055, height, name, va="center", **style, **place)
        widest = max(widest, text.get_window_extent(figure.canvas.get_renderer()).width / DPI)
    box[2] = (1 - box[0] - (widest + 0.1) / WIDTH) / 1.055
    axes.set_position(box)
    return figure, axes


def _style(i: int) -> tuple[str, str]:
    """Colour and dashes of the i-th line besides the forecaster's; 18 differ."""
    return OTHERS[i % len(OTHERS)], DASHES[(i + i // len(OTHERS)) % len(DASHES)]


def _drawable(values: Sequence[float | None]) -> np.ndarray:
    """As float64, with NaN for all that a logarithmic axis cannot show."""
    values = np.array(values, np.float64)  # None becomes NaN
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _number(value: float) -> str:
    """Three digits, with a power of ten where the number is small or large."""
    if not np.isfinite(value) or value == 0 or 0.01 <= value < 1000:
        return f"{value:.3g}"
    digits, exponent = f"{value:.2e}".split("e")
    powers = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{digits} × 10{str(int(exponent)).translate(powers)}"


def _round_down(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(m for m in (1, 2, 5) if m * power <= value))


def _node_colours(names: Sequence[str], channels: int) -> tuple[list[str], dict[str, str]]:
    """Colours of all points, the channels of a node together, and what each colour stands for."""
    if channels == 1 and all(name in atomic_numbers for name in names):
        colours = [ELEMENTS.get(name, PURPLE) for name in names]
        return colours, dict(zip(names, colours, strict=True))
    colours = [CHANNELS[c % len(CHANNELS)] for c in range(channels)]
    labels = ["position"] if channels == 1 else [f"channel {c}" for c in range(channels)]
    return colours * len(names), dict(zip(labels, colours, strict=True))


def _camera(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre [3] and rotation [3, 3] to (right, up, towards the viewer): the widest plane, tilted."""
    centre = points.mean(0)
    spread = np.linalg.eigh((points - centre).T @ (points - centre))[1]
    right, up = (a * np.sign(a[np.argmax(np.abs(a))]) for a in spread.T[:0:-1])
    plane = np.stack([right, up, np.cross(right, up)], axis=1)  # never a mirror image
    (s, t), (c, d) = np.sin(np.deg2rad([20, 30])), np.cos(np.deg2rad([20, 30]))
    yaw, pitch = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), [[1, 0, 0], [0, d, -t], [0, t, d]]
    return centre, plane @ yaw @ np.array(pitch)


def _panels(low, high, scale, bar, headings, texts, keys) -> tuple[Figure, list[Axes]]:
    """Two empty panels of one scale, each with heading, key and a bar of ``bar`` units."""
    size = np.array([WIDTH / 2 - 0.3, np.clip(scale * (high - low)[1], 1.5, 3.2)])
    bottom = 0.35 + 0.22 * -(-max(map(len, keys)) // 4)
    figure, panels = _figure(bottom + size[1] + 1.25), []
    for left, heading, text, key in zip((0.2, WIDTH / 2 + 0.1), headings, texts, keys, strict=True):
        box = np.array([left, bottom + 0.15, *size]) / np.tile(figure.get_size_inches(), 2)
        corners = np.stack([(low + high - size / scale) / 2, (low + high + size / scale) / 2])
        axes = figure.add_axes(box, xlim=corners[:, 0], ylim=corners[:, 1])
        axes.set_axis_off()
        axes.set_title(heading, pad=4, **TEXT)
        place = {"loc": "upper left", "bbox_to_anchor": (-0.01, -0.2 / size[1]), "borderaxespad": 0}
        style = {"fontsize": 9, "labelcolor": INK, "handletextpad": 0.4, "columnspacing": 1.2}
        axes.legend(handles=key, ncols=4, frameon=False, borderpad=0, **place, **style)
        start, height = corners[0, 0], corners[0, 1] - 0.06 / scale
        axes.plot([start, start + bar], [height, height], color=INK, lw=2, clip_on=False)
        axes.text(start + bar + 0.07 / scale, height, text, va="center", **TEXT)
        panels.append(axes)
    return figure, panels


def _balls_and_sticks(axes, points, colours, pairs, size) -> None:
    """Points [P, 3] seen from +z, near ones in front and far ones paler; size of a ball in points."""
    depth = points[:, 2]
    paler = 0.4 * (depth.max() - depth) / (np.ptp(depth) or 1.0)
    # (depth, two ends, width, colour, paleness); a ball is a round dot, a line of almost no length.
    items = [
        (depth[[i, j]].min() - 1e-9, points[[i, j], :2], 0.3 * size, FAINT, paler[[i, j]].mean())
        for i, j in pairs
    ]
    for i, colour in enumerate(colours):
        ends = points[[i, i], :2] + [[0, 0], [1e-6 * (np.ptp(points) or 1.0), 0]]
        edge = FAINT if colour == FAINT else "#555555"
        items += [
            (depth[i], ends, size + 1.2, edge, paler[i]),
            (depth[i], ends, size, colour, paler[i]),
        ]
    items.sort(key=lambda item: item[0])
    _, lines, widths, colours, paleness = zip(*items, strict=True)
    shades = [np.array(to_rgb(c)) * (1 - p) + p for c, p in zip(colours, paleness, strict=True)]
    style = {"capstyle": "round", "zorder": 2}
    axes.add_collection(
        LineCollection(lines, linewidths=widths, colors=shades, **style), autolim=False
    )
