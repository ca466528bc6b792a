"""One predicted frame in 3-D as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from ase.data import atomic_numbers
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.lines import Line2D
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from estag_jax.data.system import System
from estag_jax.report.style import (
    EDGE,
    FAINT,
    FORECASTS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    TEXT,
    WIDTH,
    YELLOW,
    blank_figure,
    finish,
    number,
    round_down,
)

ELEMENTS = {"H": "#F4F4F4", "C": GREY, "N": SKY, "O": RED, "S": YELLOW, "F": GREEN, "Cl": GREEN}
CHANNELS = (GREY, GREEN, RED, PURPLE, SKY, YELLOW)
# Colour, width in inches, width of the head in widths.
TRUE_ARROW, ARROW = (ORANGE, 0.05, 2.2), (0.02, 4.5)
REGION = to_rgba(FORECASTS[0], 0.12)
CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 32, False)) for f in (np.cos, np.sin)], axis=1)


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
    name: str = "prediction",
    others: Mapping[str, np.ndarray] = MappingProxyType({}),
    regions: np.ndarray | None = None,
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
      name: of what predicted.
      others: further predictions by name, in colours of their own; at most three.
      regions: r² Σ of each point [N, C, 3, 3] in unit²: an ellipse about the head of each predicted arrow
        shows the region {e: e^T Σ^{-1} e <= r²}; None for none.

    Returns:
      The path.

    Raises:
      ValueError: shapes differ, or truth or last is not finite.
    """
    labels = [name, *others]
    frames = [np.asarray(a, np.float64) for a in (truth, prediction, *others.values(), last)]
    shapes, channels = [a.shape for a in frames], frames[0].shape[1:2]
    if len(set(shapes)) > 1 or shapes[0] != (len(names), *channels, 3):
        raise ValueError(f"truth, prediction, last: {shapes}, expected [{len(names)}, C, 3] each")
    if not np.isfinite(frames[:: len(frames) - 1]).all():
        raise ValueError("truth or last frame holds values that are not finite")
    errors = [f"{number(np.mean((a - frames[0]) ** 2))} {unit}²" for a in frames[1:]]
    frames[1:-1] = [
        np.where(np.isfinite(a).all(-1, keepdims=True), a, np.nan) for a in frames[1:-1]
    ]
    channels, view = channels[0], widest_view(frames[-1].reshape(-1, 3))
    flat = [(a.reshape(-1, 3) - frames[-1].mean((0, 1))) @ view for a in frames]
    nodes = flat[-1][::channels]
    moves = [(a[::channels] - nodes)[:, :2] for a in flat[:-1]]
    spacing = np.median(KDTree(nodes).query(nodes, k=2)[0][:, 1])
    spacing = spacing if 0 < spacing < np.inf else 1.0  # one node, or all at one place
    # An outlier among further predictions must not shorten the arrows of truth and prediction.
    longest = np.nanmax(np.linalg.norm(moves[:2], axis=-1))
    factor = max(1.0, round_down(1.5 * spacing / longest)) if longest > 0 else 1.0

    # From here in inches: both panels are parts of one pair of axes as large as the figure.
    shown = [a[:, :2] for a in flat] + [nodes[:, :2] + factor * move for move in moves]
    ellipses = np.empty((0, len(CIRCLE), 2))
    if regions is not None:
        flattened = view.T[:2] @ np.asarray(regions, np.float64)[:, 0] @ view[:, :2]
        ellipses = factor * (CIRCLE @ np.swapaxes(np.linalg.cholesky(flattened), 1, 2))
        ellipses = ellipses + shown[len(flat) + 1][:, None]  # heads of the first prediction
        ellipses = ellipses[np.isfinite(ellipses).all((1, 2))]
        shown.append(ellipses.reshape(-1, 2))
    low, high = (f(np.concatenate(shown), axis=0) for f in (np.nanmin, np.nanmax))
    low, extent = low - 0.3 * spacing, high - low + 0.6 * spacing
    size = np.array([WIDTH / 2 - 0.35, 3.2])
    scale = np.min(size / extent)
    size[1] = max(1.2, scale * extent[1])
    figure = blank_figure(size[1] + 2.0)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, figure.get_figheight()))
    axes.set_axis_off()
    corner = np.append((size - scale * extent) / 2 - scale * low + [0.15, 0.95], 0)
    truth, *predictions, last = (scale * a + corner for a in flat)
    radius, bar = 0.21 * scale * spacing, round_down(0.8 / scale)
    fine = min(1.0, radius / 0.06)  # thinner lines where many nodes make the balls small
    pairs = np.unique(np.sort(np.reshape(bonds, (-1, 2)).astype(int)), axis=0) * channels
    colours, kinds = node_colours(names, channels)

    _balls_and_sticks(axes, last, [FAINT] * len(last), pairs, radius)
    _balls_and_sticks(axes, truth, colours, pairs, radius)
    for predicted, colour in list(zip(predictions, FORECASTS, strict=False))[::-1]:
        outline = {
            "facecolors": "none",
            "edgecolors": colour,
            "linewidths": 1.3 * fine,
            "zorder": 3,
        }
        sticks, rings = predicted[pairs, :2], predicted[:, None, :2] + radius * CIRCLE
        axes.add_collection(PolyCollection([*sticks, *rings], **outline), autolim=False)
    last += [WIDTH / 2, 0, 0]
    _balls_and_sticks(axes, last, colours, pairs, 0.5 * radius)
    plain = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "inches", "zorder": 4}
    said = labels if others else ["predicted displacement"]
    arrows = {"true displacement": TRUE_ARROW}
    arrows |= {label: (colour, *ARROW) for label, colour in zip(said, FORECASTS, strict=False)}
    for move, (colour, width, head) in zip(moves, arrows.values(), strict=True):
        style = plain | dict.fromkeys(("headwidth", "headlength", "headaxislength"), head)
        ends = (*last[::channels, :2].T, *factor * scale * move.T)
        axes.quiver(*ends, color=colour, width=width * fine, **style)

    ellipses = scale * ellipses + corner[:2] + [WIDTH / 2, 0]
    shade = {"facecolors": REGION, "edgecolors": FORECASTS[0], "lw": 0.7 * fine, "zorder": 3}
    axes.add_collection(PolyCollection(list(ellipses), **shade), autolim=False)

    dot = {"marker": "o", "ms": 7, "lw": 0, "mec": EDGE, "mew": 0.6}
    key = {
        label: dot | {"color": "none", "mec": colour, "mew": 1.3}
        for label, colour in zip(labels, FORECASTS, strict=False)
    }
    key |= {"last frame": dot | {"color": FAINT, "mec": FAINT}}
    key |= {kind: dot | {"color": colour} for kind, colour in kinds.items()}
    lines = {label: {"color": c, "lw": 72 * w} for label, (c, w, _) in arrows.items()}
    if len(ellipses):
        lines["90 % region"] = dot | {"ms": 9, "mfc": REGION, "mec": FORECASTS[0], "mew": 0.7}
    heading = f"Displacements from the last frame, × {factor:g}"
    texts = f"{bar:g} {unit}", f"displacement of {bar / factor:g} {unit}"
    _caption(axes, 0.15, "Positions, to scale", scale * bar, texts[0], key)
    _caption(axes, 0.15 + WIDTH / 2, heading, scale * bar, texts[1], lines)
    of = [*labels, "last frame"]
    named = [f"{label} {error}" for label, error in zip(of, errors, strict=True)]
    subtitle = f"Mean squared error: {', '.join(named)}"
    return finish(figure, path, title, subtitle)


def sticks(system: System) -> np.ndarray:
    """Pairs of nodes that a picture joins [P, 2]: the bonds, or where none are known the edges."""
    if system.bonds is not None and len(system.bonds):
        return np.asarray(system.bonds)
    pairs = np.stack([system.graph.senders[0], system.graph.receivers[0]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def node_colours(names: Sequence[str], channels: int) -> tuple[list[str], dict[str, str]]:
    """Colours of all points, the channels of a node together, and what each colour stands for."""
    if channels == 1 and all(name in atomic_numbers for name in names):
        colours = [ELEMENTS.get(name, PURPLE) for name in names]
        return colours, {f"true {n}": c for n, c in zip(names, colours, strict=True)}
    colours = [CHANNELS[c % len(CHANNELS)] for c in range(channels)]
    labels = ["truth"] if channels == 1 else [f"channel {c}" for c in range(channels)]
    return colours * len(names), dict(zip(labels, colours, strict=True))


def widest_view(points: np.ndarray) -> np.ndarray:
    """Right, up, towards the viewer as columns [3, 3]: the widest plane of points [P, 3], tilted."""
    right, up = np.linalg.eigh(np.cov(points.T, ddof=0))[1].T[:0:-1]
    right, up = (a * np.sign(a[np.argmax(np.abs(a))]) for a in (right, up))  # of either sign, one
    plane = np.stack([right, up, np.cross(right, up)])  # never a mirror image
    tilt = Rotation.from_euler("yx", [-20, -30], degrees=True).as_matrix()
    return (tilt @ plane).T


def _balls_and_sticks(axes, points, colours, pairs, radius) -> None:
    """Points [P, 3] in inches seen from +z, near ones in front and far ones paler."""
    ends, balls = points[pairs], points[:, None, :2] + radius * CIRCLE
    glints = points[:, None, :2] + radius * (0.25 * CIRCLE + [-0.35, 0.35])
    across = (ends[:, 1] - ends[:, 0])[:, 1::-1] * [-1, 1]
    across *= 0.3 * radius / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    sticks = ends[:, [0, 1, 1, 0], :2] + across[:, None] * [[1], [1], [-1], [-1]]
    ghost = FAINT in colours
    faces = [FAINT] * len(pairs) + colours + [FAINT if ghost else "#FFFFFF"] * len(points)
    edges = [FAINT if ghost else GREY] * len(pairs) + [FAINT if ghost else EDGE] * len(points)
    edges += faces[-len(points) :]
    # A stick is behind both its balls, a glint in front of its ball (the sort is stable).
    depth = np.concatenate([ends[..., 2].min(1) - 1e-9, points[:, 2], points[:, 2]])
    pale = 0.3 * (depth.max() - depth[:, None]) / (np.ptp(depth) or 1.0)
    faces, edges = (c + (1 - c) * pale for c in map(to_rgba_array, (faces, edges)))
    order, polygons = np.argsort(depth, kind="stable"), [*sticks, *balls, *glints]
    style = {
        "facecolors": faces[order],
        "edgecolors": edges[order],
        "lw": 0.6 * min(1.0, radius / 0.06),
        "zorder": 2,
    }
    axes.add_collection(PolyCollection([polygons[i] for i in order], **style), autolim=False)


def _caption(axes, left, heading, bar, text, key) -> None:
    """A panel's heading, the bar of its scale, and its key {name: style of the line's handle}."""
    axes.text(left, axes.get_ylim()[1] - 0.95, heading, **TEXT)
    axes.plot([left, left + bar], [0.82, 0.82], color=INK, lw=2, solid_capstyle="butt")
    axes.text(left + bar + 0.07, 0.82, text, va="center", **TEXT)
    handles = [Line2D([], [], label=name, **style) for name, style in key.items()]
    place = {"bbox_to_anchor": (left, 0.69), "bbox_transform": axes.transData, "borderpad": 0}
    style = {"fontsize": 9, "labelcolor": INK, "columnspacing": 1.2, "handlelength": 1.6}
    columns = {"ncols": -(-len(key) // 3), "loc": "upper left", "borderaxespad": 0}
    axes.figure.legend(handles=handles, frameon=False, **place, **style, **columns)
