"""What all figures share: size, colours, fonts, titles and how they are written.

Drawn with matplotlib's objects, never with pyplot: no window, backend or setting of the caller's
session is touched. Every PNG is 1400 pixels wide; missing folders of its path are made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from estag_jax.io import write_atomic

WIDTH, DPI = 7.0, 200  # inches, dots per inch
FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
"""Of SVG: the one that is measured here, and the nearest to it where it is missing."""
INK, EDGE, GREY, FAINT = "#222222", "#555555", "#A6A6A6", "#DDDDDD"
TEXT = {"fontsize": 9.5, "color": INK}
# From the colour-blind-safe palettes of Okabe and Ito and of Tol. Blue is always the forecaster.
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
RED, PURPLE, YELLOW = "#CC3311", "#CC79A7", "#F0E442"
FORECASTS = (BLUE, "#882255", "#117733", "#332288")
"""Of the forecaster, and of further ones in the same picture."""


def blank_figure(height: float) -> Figure:
    """An empty figure of the common width, ``height`` inches high."""
    figure = Figure((WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, x: str, y: str = "", which: Literal["major", "both"] = "major") -> None:
    """Labels, ticks and a faint grid, and no lines at the top and on the right."""
    axes.set_xlabel(x, **TEXT)
    axes.set_ylabel(y, **TEXT)
    axes.tick_params(which=which, labelsize=9, colors=INK)
    axes.grid(which=which, color=FAINT, linewidth=0.5)
    axes.set_facecolor("white")
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)


def finish(figure: Figure, path: str | Path, title: str, subtitle: str) -> Path:
    """Adds the two lines at the top and writes the PNG or, by its suffix, SVG without a background."""
    canvas = FigureCanvasAgg(figure)
    styles: tuple[dict[str, Any], ...] = {"size": 12.5, "weight": "bold"}, {"size": 10}
    for text, below, style in zip((title, subtitle), (0.12, 0.4), styles, strict=True):
        place = 0.15 / WIDTH, 1 - below / figure.get_figheight()
        line = figure.text(*place, text, va="top", color=INK, parse_math=False, **style)
        width = line.get_window_extent(canvas.get_renderer()).width / DPI
        line.set_fontsize(style["size"] * min(1, (WIDTH - 0.3) / width))
    # savefig would obey the caller's settings.
    write = canvas.print_png if Path(path).suffix != ".svg" else partial(_print_svg, figure)
    write_atomic(path, write)
    return Path(path)


def _print_svg(figure: Figure, path: Path) -> None:
    """Letters stay text, to be read aloud and searched, and the same figure gives the same file."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "estag", "font.family": FONTS}
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    with rc_context(settings):
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def number(value: float) -> str:
    """Three digits, with a power of ten where the number is small or large."""
    if not np.isfinite(value) or value == 0 or 0.01 <= value < 1000:
        return f"{value:.3g}"
    digits, exponent = f"{value:.2e}".split("e")
    powers = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{digits} × 10{str(int(exponent)).translate(powers)}"


def round_down(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(m for m in (1, 2, 5) if m * power <= value))
