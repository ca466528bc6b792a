"""An ablation as Markdown and as a figure: every variant beside ESTAG on the same windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from estag_jax.evaluation.compare import paired_interval
from estag_jax.evaluation.result import Result, Row
from estag_jax.models.variants import ORDER, WHOLE
from estag_jax.report import tables
from estag_jax.report.numbers import error_text, error_unit, figure_text, ratio_text
from estag_jax.report.style import BLUE, GREY, INK, ORANGE, WIDTH, blank_figure, finish, plain
from estag_jax.report.tables import conditions, ratios, write_tables

AGAINST = (
    "*Against ESTAG*: the difference of the errors on the same windows and seeds, as a share of ESTAG's, "
    "with its interval of 95 % (evaluation.compare.paired_interval)."
)
_LINE, _LETTER, _MOST = 0.2, 0.065, 4  # inches a row and a letter of its name, panels side by side
_MARKS = 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000


def write_ablation(results: Sequence[Result], out: Path, title: str, command: str) -> list[Path]:
    """Writes table.md, table.csv and, where a variant was finished, ablation.png.

    Args:
      results: of runs.ablation.run_ablation.
      out: the folder.
      title: of the table.
      command: that made it, printed above the table.

    Returns:
      The files.
    """
    paths = write_tables(results, out, title, command, _table)
    if _panels(results):
        paths.append(forest(results, out / "ablation.png", title))
    return paths


def shares(result: Result, row: Row) -> tuple[float, float, float] | None:
    """The difference of a row's error from ESTAG's and the ends of its interval, as shares of ESTAG's.

    None for ESTAG itself, closed forms, and where ESTAG is not finished.
    """
    whole = result.row(WHOLE)
    if whole is None or whole.status != "finished" or row.name == WHOLE or not row.seeds:
        return None
    difference, half = paired_interval(row, whole, result.data["blocks"])
    low, high = difference - half, difference + half
    return difference / whole.mse, low / whole.mse, high / whole.mse


def markdown(results: Sequence[Result]) -> str:
    """Results as Markdown, one table for each."""
    return tables.markdown(results, _table)


def _table(result: Result) -> tables.Table:
    rows = [dataclasses.replace(row, published=None) for row in result.rows]  # it has no column
    result = dataclasses.replace(result, rows=rows)
    scale, unit = error_unit(result)
    extra = sorted({m for row in result.finished for m in row.metrics if m.startswith("mse of")})
    header = ["variant", f"test MSE [{unit}]", *(f"{m} [{unit}]" for m in extra)]
    header += ["/ VAR ridge", "against ESTAG", "parameters", "epochs"]
    lines = []
    for row, divided in zip(result.rows, ratios(result), strict=True):
        if row.status == "finished":
            line = [row.name.replace("|", "\\|"), error_text(row, scale)]
            line += [figure_text(row.metrics[m]["mean"], scale) for m in extra]
            line += [ratio_text(divided["ratio_var_ridge"]), _share_text(shares(result, row))]
            lines.append([*line, f"{row.parameters:,}", f"{row.epochs}" if row.seeds else "–"])
    return f"{conditions(result)} {AGAINST}", header, lines


def _share_text(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return "–"
    if not np.isfinite(found[1]):
        return f"{100 * found[0]:+.0f} %"
    return "{:+.0f} % [{:+.0f}, {:+.0f}]".format(*(100 * value for value in found))


def _panels(results: Sequence[Result]) -> list[tuple[str, dict[str, tuple[float, float, float]]]]:
    """By data set the variants that can be drawn; of many sets, those with several variants."""
    panels = []
    for result in results:
        found = {row.name: shares(result, row) for row in result.finished}
        known = {name: share for name, share in found.items() if share is not None}
        if known:
            panels.append((result.rows[0].data, known))
    return panels if len(panels) <= _MOST else [panel for panel in panels if len(panel[1]) > 1]


def forest(results: Sequence[Result], path: str | Path, title: str) -> Path:
    """The error of every variant over ESTAG's, with its interval: a panel a data set, a line a variant.

    Args:
      results: of runs.ablation.run_ablation.
      path: the PNG to write.
      title: the line at the top.

    Returns:
      The path.
    """
    panels = _panels(results)
    names = [name for name in ORDER if any(name in known for _, known in panels)]
    tall = _LINE * len(names) + 1.45
    figure, left = blank_figure(tall), 0.25 + _LETTER * max(map(len, names))
    width = (WIDTH - left - 0.1) / len(panels)
    for i, (data, known) in enumerate(panels):
        box = [(left + i * width) / WIDTH, 0.55 / tall, (width - 0.15) / WIDTH, 1 - 1.4 / tall]
        axes = figure.add_axes(box, xscale="log")
        for j, name in enumerate(names):
            if name in known:
                ratio, low, high = (1 + share for share in known[name])
                colour = GREY if low <= 1 <= high else ORANGE if ratio > 1 else BLUE
                axes.plot([max(low, 1e-3), high], [j, j], color=colour, lw=2, clip_on=True)
                axes.plot(ratio, j, "o", color=colour, ms=5, zorder=3)
        apart = [1 + share for share, *_ in known.values()]
        limits = min(0.6, 0.8 * min(apart)), max(1.7, 1.25 * max(apart))
        marks = [mark for mark in _MARKS if limits[0] < mark < limits[1]]
        step = -(-len(marks) // 4)
        axes.set_xlim(*limits)
        axes.set_xticks(marks := marks[marks.index(1) % step :: step], [f"{m:g}" for m in marks])
        axes.minorticks_off()
        axes.axvline(1, color=INK, lw=0.8)
        labels = names if i == 0 else [""] * len(names)
        axes.set_yticks(range(len(names)), labels, fontsize=8, color=INK)
        axes.set_ylim(len(names) - 0.5, -0.5)
        plain(axes, "error / ESTAG")
        axes.set_title(data, fontsize=9.5, color=INK)
    return finish(
        figure,
        path,
        title,
        "Error over ESTAG's and its interval of 95 %: grey holds 1; orange worse, blue better",
    )
