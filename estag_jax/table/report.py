"""A table's cells as Markdown, CSV and a figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.evaluate.table import display_scale
from estag_jax.train.runfiles import write_text
from estag_jax.viz.dots import dots

COLUMNS = (
    "data",
    "row",
    "status",
    "mean",
    "sd",
    "ratio_last_frame",
    "ratio_var_ridge",
    "published",
    "head",
    "equivariant",
    "parameters",
    "seeds",
    "epochs",
    "compile_seconds",
    "step_seconds",
    "reason",
)
"""Of the CSV file; errors in the squared unit of the data."""


def write_report(cells: list[dict[str, Any]], out: Path, title: str, command: str) -> list[Path]:
    """Writes table.md, table.csv and table.png.

    Args:
      cells: what ``grid.run_grid`` returned.
      out: the folder.
      title: of the table.
      command: that made it, printed above the table.

    Returns:
      The files.
    """
    cells = with_ratios(cells)
    paths = [out / "table.md", out / "table.csv"]
    write_text(paths[0], markdown(cells, title, command))
    write_text(paths[1], _csv(cells))
    if any(cell["status"] == "finished" for cell in cells):
        paths.append(dots(cells, out / "table.png", title))
    return paths


def with_ratios(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with each mean's ratio to that of the last frame and of VAR ridge on the same data."""
    means = {(c["data"], c["row"]): c["mean"] for c in cells if c["status"] == "finished"}

    def ratio(cell, base):
        other = means.get((cell["data"], base))
        return cell["mean"] / other if other and cell["status"] == "finished" else None

    return [
        cell
        | {
            "ratio_last_frame": ratio(cell, "Last frame"),
            "ratio_var_ridge": ratio(cell, "VAR ridge"),
        }
        for cell in cells
    ]


def markdown(cells: list[dict[str, Any]], title: str, command: str) -> str:
    """The cells, with ratios, as Markdown: one table a data set; published figures in a column of
    their own, in italics."""
    lines = [f"# {title}", "", f"`{command}`", ""]
    for name in dict.fromkeys(cell["data"] for cell in cells):
        own = [cell for cell in cells if cell["data"] == name]
        finished = [cell for cell in own if cell["status"] == "finished"]
        lines += [f"## {name}", ""]
        if finished:
            lines += [_conditions(finished), "", *_table(finished), ""]
        lines += [f"- {c['row']}: failed, {c['reason']}" for c in own if c["status"] == "failed"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _conditions(finished: list[dict[str, Any]]) -> str:
    """The sentence above a data set's table."""
    facts, cell = finished[0]["facts"], finished[-1]
    windows, shared = facts["windows"], facts["overlap_with_train"]["test"]["share"]
    trained = [c for c in finished if "seeds" in c]
    seeds = sorted({len(c["seeds"]) + len(c["diverged"]) for c in trained})
    epochs = sorted({c["epochs"] for c in trained})
    training = (
        f"; networks: {', '.join(map(str, seeds))} seed(s), {', '.join(map(str, epochs))} epochs, "
        f"± is the standard deviation over the seeds"
        if trained
        else ""
    )
    return (
        f"{facts['source']} ({facts['provenance']}); {cell['split']} split, {windows['train']} / "
        f"{windows['validation']} / {windows['test']} windows, {shared:.1%} of the test windows share a "
        f"frame with a training window; {facts['nodes']} nodes × {facts['channels']}, "
        f"{facts['edges']} edges{training}; {cell['device']}."
        + (" *Published*: arXiv 2405.12868, on its own data." * _is_published(finished))
    )


def _is_published(finished: list[dict[str, Any]]) -> bool:
    return any(cell.get("published") is not None for cell in finished)


def _table(finished: list[dict[str, Any]]) -> list[str]:
    scale = display_scale([{"test_mse": cell["mean"]} for cell in finished])
    unit = f"{f'10^{scale} ' if scale else ''}{finished[0]['facts']['length_unit']}²"
    published = _is_published(finished)
    header = ["row", "head", f"test MSE [{unit}]", "/ last frame", "/ VAR ridge", "parameters"]
    header += ["compile [s]", "step [ms]"] + [f"*published [{unit}]*"] * published
    lines = [header, ["---", "---"] + ["---:"] * (len(header) - 2)]
    for cell in finished:
        error = f"{cell['mean'] / 10**scale:.4f}"
        if cell["sd"] is not None:
            error += f" ± {cell['sd'] / 10**scale:.4f}"
        if cell.get("diverged"):
            error += f" ({len(cell['diverged'])} seed(s) diverged)"
        seconds = cell.get("seconds")
        line = [cell["row"], cell.get("head", "–"), error]
        line += [_ratio(cell["ratio_last_frame"]), _ratio(cell["ratio_var_ridge"])]
        line.append(f"{cell['parameters']:,}")
        line += (
            ["–", "–"]
            if seconds is None
            else [f"{seconds['compile']:.1f}", f"{1e3 * seconds['step']:.1f}"]
        )
        if published:
            figure = cell.get("published")
            line.append("–" if figure is None else f"*{figure / 10**scale:.4f}*")
        lines.append(line)
    return ["| " + " | ".join(line) + " |" for line in lines]


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _csv(cells: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for cell in cells:
        seconds = cell.get("seconds", {})
        writer.writerow(
            cell
            | {
                "seeds": np.size(cell["seeds"]) if "seeds" in cell else "",
                "compile_seconds": seconds.get("compile", ""),
                "step_seconds": seconds.get("step", ""),
            }
        )
    return file.getvalue()
