"""Results as Markdown, CSV, a table for the terminal, and a figure: the one writer of all tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from estag_jax.evaluation.result import CALIBRATION, Result, Row
from estag_jax.io import write_text
from estag_jax.models.published import CLOSED_FORMS
from estag_jax.report.numbers import error_text, error_unit, figure_text, ratio_text, uncertainty

BASES = {
    "ratio_last_frame": "Last frame",
    "ratio_var_ridge": "VAR ridge",
    "ratio_frame_ridge": "Frame ridge",
}
"""Columns of ratios, and the methods that other errors are divided by."""

COLUMNS = (
    "data",
    "name",
    "status",
    "mse",
    "uncertainty",
    *BASES,
    "published",
    "head",
    "equivariant",
    "parameters",
    "seeds",
    "diverged",
    "epochs",
    "compile_seconds",
    "step_seconds",
    "train_seconds",
    "device",
    "reason",
)
"""Of the CSV file, with a column for each further metric behind; errors in the squared unit of the data."""


def ratios(result: Result) -> list[dict[str, float | None]]:
    """For each row its error divided by that of the base methods of the same data; None without one."""
    errors = {row.name: row.mse for row in result.finished}

    def ratio(row: Row, base: str) -> float | None:
        return row.mse / errors[base] if row.status == "finished" and errors.get(base) else None

    return [{name: ratio(row, base) for name, base in BASES.items()} for row in result.rows]


def label(row: Row) -> str:
    """The name of a row, that of a closed form with its name in the published tables."""
    published = CLOSED_FORMS.get(row.name)
    return f"{row.name} ({published})" if published else row.name


Table = tuple[str, list[str], list[list[str]]]
"""What stands above a table, its header, and its lines."""


def own_table(result: Result) -> Table:
    """The table of a result, published figures in a column of their own, in italics."""
    return conditions(result), *cells(result, training=any(row.seeds for row in result.finished))


def markdown(results: Sequence[Result], table_of: Callable[[Result], Table] = own_table) -> str:
    """Results as Markdown, one table a data set, and a line for each row that is not finished.

    Args:
      results: one for each data set.
      table_of: the table of a result that has finished rows.
    """
    blocks = []
    for result in results:
        name = next((row.data for row in result.rows if row.data), "")
        block = [f"## {name}", ""] if name else []
        if result.finished:
            said, header, lines = table_of(result)
            rules = [
                "---" if title in ("method", "head", "variant") else "---:" for title in header
            ]
            block += [said, ""]
            block += ["| " + " | ".join(line) + " |" for line in (header, rules, *lines)] + [""]
        others = [row for row in result.rows if row.status != "finished"]
        block += [f"- {row.name}: {row.status}, {row.reason}" for row in others]
        blocks.append("\n".join(block).rstrip())
    return "\n\n".join(blocks) + "\n"


def csv_text(results: Sequence[Result]) -> str:
    """All rows of results as CSV, unfinished ones too."""
    extra = sorted({m for r in results for row in r.rows for m in row.metrics} - {"mse"})
    file = io.StringIO()
    writer = csv.DictWriter(file, [*COLUMNS, *extra], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for result in results:
        for row, divided in zip(result.rows, ratios(result), strict=True):
            line: dict[str, Any] = {
                name: getattr(row, name)
                for name in ("data", "status", "published", "head", "equivariant", "reason")
            } | {"name": label(row), "device": row.device}
            if row.status == "finished":
                line |= {name: row.metrics[name]["mean"] for name in row.metrics}
                line |= {"uncertainty": uncertainty(row), "parameters": row.parameters} | divided
            if row.seeds:
                line |= {"seeds": len(row.seeds), "diverged": len(row.diverged)}
                line["epochs"] = row.epochs
                times = ("compile", "step", "train")
                line |= {f"{name}_seconds": row.seconds.get(name, "") for name in times}
            writer.writerow({k: "" if v is None else v for k, v in line.items()})
    return file.getvalue()


def write_report(results: Sequence[Result], out: Path, title: str, command: str) -> list[Path]:
    """Writes table.md, table.csv and, where anything was finished, table.png; see :func:`write_tables`."""
    from estag_jax.report.dots import dots  # matplotlib, which no other table needs

    paths = write_tables(results, out, title, command)
    if any(result.finished for result in results):
        paths.append(dots(results, out / "table.png", title))
    return paths


def write_tables(
    results: Sequence[Result],
    out: Path,
    title: str,
    command: str,
    table_of: Callable[[Result], Table] = own_table,
) -> list[Path]:
    """Writes table.md and table.csv.

    Args:
      results: one for each data set.
      out: the folder.
      title: of the table.
      command: that made it, printed above the table.
      table_of: as for :func:`markdown`.

    Returns:
      The files.
    """
    paths = [out / "table.md", out / "table.csv"]
    write_text(paths[0], f"# {title}\n\n`{command}`\n\n{markdown(results, table_of)}")
    write_text(paths[1], csv_text(results))
    return paths


def cells(result: Result, training: bool, short: bool = False) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the finished rows; with the columns of training if asked for.

    ``short`` leaves out the last base and the size of the error bars, for a terminal's width.
    """
    finished, (scale, unit) = result.finished, error_unit(result)
    measured = dict.fromkeys(m for row in finished for m in row.metrics)
    extra = [m for m in measured if m not in ("mse", *CALIBRATION)]
    # Those of error bars, which results of earlier versions lack.
    bars = [m for m in CALIBRATION if m in measured and not (short and m == "error_bar")]
    published = any(row.published is not None for row in finished)
    bases = [key for key, name in BASES.items() if result.row(name) in finished]
    bases = bases[:2] if short else bases
    header = ["method"] + ["head"] * training + [f"test MSE [{unit}]"]
    names = (BASES[key] for key in bases)
    header += [f"/ {name if name[:2].isupper() else name.lower()}" for name in names]
    length = result.data["length_unit"]
    units = {m: _metric_unit(m, length, unit) for m in extra}
    titles = {"covers_90": "90 % covers", "nats": "nats", "error_bar": f"error bar [{length}]"}
    header += [f"{m} [{units[m]}]" if units[m] else m for m in extra]
    header += [*(titles[m] for m in bars), "parameters"]
    header += ["seeds", "epochs", "compile [s]", "step [ms]", "train [min]"] * training
    header += [f"*published [{unit}]*"] * published
    lines = []
    for row, divided in zip(result.rows, ratios(result), strict=True):
        if row.status != "finished":
            continue
        line = [label(row)] + [row.head or "–"] * training
        line += [error_text(row, scale), *(ratio_text(divided[key]) for key in bases)]
        line += [
            figure_text(row.metrics[m]["mean"], scale if units[m] == unit else 0)
            if m in row.metrics
            else "–"
            for m in extra
        ]
        line += [
            _calibration_text(m, row.metrics[m]["mean"]) if m in row.metrics else "–" for m in bars
        ]
        line.append(f"{row.parameters:,}")
        line += _training(row) if training else []
        if published:
            figure = row.published
            # As many digits as were published, never 0.0000.
            line.append("–" if figure is None else f"*{figure / 10**scale:.6g}*")
        lines.append(line)
    return header, lines


def _calibration_text(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    decimals = {"covers_90": 3, "nats": 2}.get(name)
    return figure_text(value) if decimals is None else f"{value:.{decimals}f}"


def _metric_unit(name: str, length: str, mse_unit: str) -> str:
    """The unit of a metric at any horizon; "" where it is the caller's own."""
    return {"mse": mse_unit, "aligned_mse": mse_unit, "rmsd": length}.get(
        name.partition("@")[0], ""
    )


def _training(row: Row) -> list[str]:
    if not row.seeds:
        return ["–"] * 5
    return [
        f"{len(row.seeds) + len(row.diverged)}",
        f"{row.epochs}",
        f"{row.seconds.get('compile', 0):.1f}",
        f"{1e3 * row.seconds.get('step', 0):.1f}",
        f"{row.seconds.get('train', 0) / 60:.1f}",
    ]


def conditions(result: Result) -> str:
    """The sentence above a table."""
    facts, finished = result.data, result.finished
    window, windows = facts["window"], facts["windows"]
    shared = facts["overlap_with_train"]["test"]["share"]
    spread, systems = spread_of(finished), facts.get("systems", 1)
    size = f"{facts['nodes']} nodes × {facts['channels']}, {facts['edges']} edges"
    if systems > 1:
        size = f"{systems} systems of at most {size}"
    # A split for each system where they differ.
    split = facts["split"] if isinstance(facts["split"], str) else " and ".join(facts["split"])
    published = any(row.published is not None for row in finished)
    devices = ", ".join(
        dict.fromkeys(row.device for row in finished if row.seeds) or [finished[0].device]
    )
    return (
        f"{facts['source']} ({facts['provenance']}); T={window['past']}, Δ={window['delta']}; "
        f"{split} split, {windows['train']} / {windows['validation']} / {windows['test']} "
        f"windows, {shared:.1%} of the test windows share a frame with a training window; "
        f"{size}; {devices}.{f' {spread}' if spread else ''}"
        + (" *Published*: arXiv 2405.12868, on its own data and split." * published)
    )


def spread_of(finished: Sequence[Row]) -> str:
    """The sentence that says what ± is; "" where there is none."""
    several = [len(row.metrics["mse"]["seeds"]) > 1 for row in finished]
    spreads = []
    if any(uncertainty(row) for row, s in zip(finished, several, strict=True) if not s):
        spreads = ["the standard error over test windows, which overlap, so it is a lower bound"]
    if any(several):
        spreads.append("the standard deviation over the seeds where there are several")
    return f"± is {'; '.join(spreads)}." if spreads else ""
