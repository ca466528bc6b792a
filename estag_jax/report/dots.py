"""The errors of a table as dots on a logarithmic axis, one panel a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from estag_jax.evaluation.result import Result, Row
from estag_jax.report.style import BLUE, GREY, INK, ORANGE, WIDTH, blank_figure, finish, plain

_LINE = 0.24  # inches a row


def dots(results: Sequence[Result], path: str | Path, title: str) -> Path:
    """Mean error of every finished row with the range of its seeds; published figures as hollow diamonds.

    Args:
      results: one for each data set.
      path: the PNG to write.
      title: the line at the top.

    Returns:
      The path.
    """
    panels = []
    for result in results:
        if finished := result.finished:
            panels.append((finished[0].data, finished, result.data["length_unit"]))
    heights = [_LINE * len(panel) + 0.85 for _, panel, _ in panels]
    tall = sum(heights) + 0.75
    figure = blank_figure(tall)
    top = tall - 0.75
    for (name, panel, unit), height in zip(panels, heights, strict=True):
        box = [1.75 / WIDTH, (top - height + 0.55) / tall, 1 - 2.0 / WIDTH, (height - 0.85) / tall]
        _panel(figure.add_axes(box, xscale="log"), panel, name, unit)
        top -= height
    return finish(
        figure,
        path,
        title,
        "● mean and range of the seeds: blue networks, grey closed form; dotted: VAR ridge; ◇ published",
    )


def _panel(axes, panel: Sequence[Row], name: str, unit: str) -> None:
    for i, row in enumerate(panel):
        colour, errors = BLUE if row.seeds else GREY, np.asarray(row.metrics["mse"]["seeds"])
        axes.plot([errors.min(), errors.max()], [i, i], color=colour, lw=2, solid_capstyle="round")
        axes.plot(row.mse, i, "o", color=colour, ms=6, zorder=3)
        if row.published:
            axes.plot(row.published, i, "D", mfc="white", mec=ORANGE, ms=5, mew=1.3, zorder=2)
    for row in panel:
        if row.name == "VAR ridge":
            axes.axvline(row.mse, color=INK, lw=0.8, ls=":")
    axes.set_yticks(range(len(panel)), [row.name for row in panel], fontsize=9, color=INK)
    axes.set_ylim(len(panel) - 0.5, -0.5)
    plain(axes, f"{name}: mean squared error [{unit}²]")
