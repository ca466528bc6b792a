"""A table's cells as Markdown, CSV and a figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.report.dots import dots
from estag_jax.report.tables import BASE_ROWS, display_scale
from estag_jax.runs.folder import write_text
from estag_jax.runs.published import CLOSED_FORM

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
    "train_seconds",
    "device",
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
    paths = [out / "table.md", out / "table.csv"]
    write_text(paths[0], f"# {title}\n\n`{command}`\n\n{markdown(cells)}")
    write_text(paths[1], _csv(_prepared(cells)))
    if any(cell["status"] == "finished" for cell in cells):
        paths.append(figure(cells, out / "table.png", title))
    return paths


def figure(cells: list[dict[str, Any]], path: Path, title: str) -> Path:
    """Draws the cells, see ``viz.dots``."""
    return dots(_prepared(cells), path, title)


def _prepared(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with each mean's ratio to the base rows of the same data, and published names."""
    means = {(c["data"], c["row"]): c["mean"] for c in cells if c["status"] == "finished"}

    def ratio(cell, base):
        other = means.get((cell["data"], base))
        return cell["mean"] / other if other and cell["status"] == "finished" else None

    def label(row):
        return f"{row} ({CLOSED_FORM[row]})" if row in CLOSED_FORM else row

    return [
        cell
        | {key: ratio(cell, base) for key, base in BASE_ROWS.items()}
        | {"row": label(cell["row"])}
        for cell in cells
    ]


def markdown(cells: list[dict[str, Any]]) -> str:
    """The cells as Markdown, one table a data set; published figures in a column of their own, in italics.

    Args:
      cells: what ``grid.run_grid`` returned.
    """
    cells, lines = _prepared(cells), []
    for name in dict.fromkeys(cell["data"] for cell in cells):
        own = [cell for cell in cells if cell["data"] == name]
        finished = [cell for cell in own if cell["status"] == "finished"]
        lines += [f"## {name}", ""]
        if finished:
            lines += [_conditions(finished), "", *_table(finished), ""]
        others = [c for c in own if c["status"] != "finished"]
        lines += [f"- {c['row']}: {c['status']}, {c['reason']}" for c in others]
        lines += [""] * bool(others)
    return "\n".join(lines).rstrip() + "\n"


def _conditions(finished: list[dict[str, Any]]) -> str:
    """The sentence above a data set's table."""
    cell = finished[0]
    facts = cell["facts"]
    window, windows = cell["window"], facts["windows"]
    shared = facts["overlap_with_train"]["test"]["share"]
    devices = (
        ", ".join(dict.fromkeys(c["device"] for c in finished if "seeds" in c)) or cell["device"]
    )
    return (
        f"{facts['source']} ({facts['provenance']}); T={window['past']}, Δ={window['delta']}; "
        f"{cell['split']} split, {windows['train']} / "
        f"{windows['validation']} / {windows['test']} windows, {shared:.1%} of the test windows share a "
        f"frame with a training window; {facts['nodes']} nodes × {facts['channels']}, "
        f"{facts['edges']} edges; {devices}. ± is the standard deviation over the seeds."
        + (" *Published*: arXiv 2405.12868, on its own data and split." * _is_published(finished))
    )


def _is_published(finished: list[dict[str, Any]]) -> bool:
    return any(cell.get("published") is not None for cell in finished)


def _table(finished: list[dict[str, Any]]) -> list[str]:
    scale = display_scale([{"test_mse": cell["mean"]} for cell in finished])
    unit = f"{f'10^{scale} ' if scale else ''}{finished[0]['facts']['length_unit']}²"
    published = _is_published(finished)
    header = ["row", "head", f"test MSE [{unit}]", "/ last frame", "/ VAR ridge", "parameters"]
    header += ["seeds", "epochs", "compile [s]", "step [ms]", "train [min]"]
    header += [f"*published [{unit}]*"] * published
    lines = [header, ["---", "---"] + ["---:"] * (len(header) - 2)]
    for cell in finished:
        error = f"{cell['mean'] / 10**scale:.4f}"
        if cell["sd"] is not None:
            error += f" ± {cell['sd'] / 10**scale:.4f}"
        if cell.get("diverged"):
            error += f" ({len(cell['diverged'])} seed(s) diverged)"
        line = [cell["row"], cell.get("head", "–"), error]
        line += [_ratio(cell["ratio_last_frame"]), _ratio(cell["ratio_var_ridge"])]
        line.append(f"{cell['parameters']:,}")
        line += ["–"] * 5 if "seeds" not in cell else _training(cell)
        if published:
            figure = cell.get("published")
            line.append("–" if figure is None else f"*{figure / 10**scale:.4f}*")
        lines.append(line)
    return ["| " + " | ".join(line) + " |" for line in lines]


def _training(cell: dict[str, Any]) -> list[str]:
    """Seeds, epochs and times of a network; a step and the training are of all seeds together."""
    seconds = cell["seconds"]
    return [
        f"{len(cell['seeds']) + len(cell['diverged'])}",
        f"{cell['epochs']}",
        f"{seconds['compile']:.1f}",
        f"{1e3 * seconds['step']:.1f}",
        f"{seconds['train'] / 60:.1f}",
    ]


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
                "train_seconds": seconds.get("train", ""),
            }
        )
    return file.getvalue()
