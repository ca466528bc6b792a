"""The errors of a table as dots on a logarithmic axis, one panel a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.report.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    TEXT,
    WIDTH,
    blank_figure,
    finish,
)

_LINE = 0.24  # inches a row


def dots(cells: list[dict[str, Any]], path: str | Path, title: str) -> Path:
    """Mean error of every row with the range of its seeds; published figures as hollow diamonds.

    Args:
      cells: finished or failed cells of a table (``data``, ``row``, ``status``, ``test_mse``, ``mean``,
        ``published``, ``facts``); failed ones are left out.
      path: the PNG to write.
      title: the line at the top.

    Returns:
      The path.
    """
    finished = [cell for cell in cells if cell["status"] == "finished"]
    names = list(dict.fromkeys(cell["data"] for cell in finished))
    panels = [[cell for cell in finished if cell["data"] == name] for name in names]
    heights = [_LINE * len(panel) + 0.85 for panel in panels]
    tall = sum(heights) + 0.75
    figure = blank_figure(tall)
    top = tall - 0.75
    for name, panel, height in zip(names, panels, heights, strict=True):
        box = [1.75 / WIDTH, (top - height + 0.55) / tall, 1 - 2.0 / WIDTH, (height - 0.85) / tall]
        axes = figure.add_axes(box, xscale="log")
        _panel(axes, panel, name)
        top -= height
    return finish(
        figure,
        path,
        title,
        "● mean and range of the seeds: blue networks, grey closed form; dotted: VAR ridge; ◇ published",
    )


def _panel(axes, panel: list[dict[str, Any]], name: str) -> None:
    for i, cell in enumerate(panel):
        colour = BLUE if "seeds" in cell else GREY
        errors = np.asarray(cell["test_mse"])
        axes.plot([errors.min(), errors.max()], [i, i], color=colour, lw=2, solid_capstyle="round")
        axes.plot(cell["mean"], i, "o", color=colour, ms=6, zorder=3)
        if cell.get("published"):
            axes.plot(cell["published"], i, "D", mfc="white", mec=ORANGE, ms=5, mew=1.3, zorder=2)
    by_row = {cell["row"]: cell["mean"] for cell in panel}
    if "VAR ridge" in by_row:
        axes.axvline(by_row["VAR ridge"], color=INK, lw=0.8, ls=":")
    axes.set_yticks(range(len(panel)), [cell["row"] for cell in panel], fontsize=9, color=INK)
    axes.set_ylim(len(panel) - 0.5, -0.5)
    axes.set_xlabel(f"{name}: mean squared error [{panel[0]['facts']['length_unit']}²]", **TEXT)
    axes.tick_params(labelsize=9, colors=INK)
    axes.grid(which="major", color=FAINT, linewidth=0.5)
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
