"""Result tables: one row a predictor, always with the closed-form ones beside the networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rich.table import Table

from estag_jax.evaluation.metrics import standard_error

BASE_ROWS = {"ratio_last_frame": "Last frame", "ratio_var_ridge": "VAR ridge"}


def row(name: str, errors: np.ndarray, parameters: int, **extra: Any) -> dict[str, Any]:
    """One predictor's figures.

    Args:
      name: of the predictor.
      errors: mean squared error of every test window [W].
      parameters: how many numbers were fitted.
      **extra: further entries.

    Returns:
      name, test_mse, its standard error over windows (which overlap, so it is a lower bound),
      parameters, and the extra entries.
    """
    errors = np.asarray(errors, np.float64)
    return {
        "name": name,
        "test_mse": float(errors.mean()),
        "test_mse_standard_error": float(standard_error(errors)) if errors.size > 1 else 0.0,
        "parameters": int(parameters),
    } | extra


def add_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with each error's ratio to that of the last frame and of VAR ridge."""
    by_name = {r["name"]: r["test_mse"] for r in rows}

    def ratio(r, base):
        return r["test_mse"] / by_name[base] if by_name.get(base) else None

    return [r | {key: ratio(r, base) for key, base in BASE_ROWS.items()} for r in rows]


def display_scale(rows: list[dict[str, Any]]) -> int:
    """Exponent e, a multiple of 3, such that figures are printed in units of 10^e."""
    largest = max((r["test_mse"] for r in rows), default=0)
    return 3 * math.floor(math.log10(largest) / 3) if 0 < largest < 0.1 else 0


def _columns(rows: list[dict[str, Any]], unit: str) -> tuple[list[str], list[list[str]]]:
    scale = display_scale(rows)
    factor = f"10^{scale} " if scale else ""
    header = [
        "predictor",
        f"test MSE [{factor}{unit}²]",
        "/ last frame",
        "/ VAR ridge",
        "parameters",
    ]

    def ratio(value):
        return "–" if value is None else f"{value:.3f}"

    cells = [
        [
            r["name"],
            f"{r['test_mse'] / 10**scale:.4f} ± {r['test_mse_standard_error'] / 10**scale:.4f}",
            ratio(r["ratio_last_frame"]),
            ratio(r["ratio_var_ridge"]),
            f"{r['parameters']:,}",
        ]
        for r in rows
    ]
    return header, cells


def render(rows: list[dict[str, Any]], unit: str, title: str) -> Table:
    """The rows as a table for the terminal; ``unit`` is the length unit."""
    header, cells = _columns(rows, unit)
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right")
    for cell in cells:
        table.add_row(*cell)
    return table


def markdown(rows: list[dict[str, Any]], unit: str) -> str:
    """The rows as a Markdown table; ``unit`` is the length unit."""
    header, cells = _columns(rows, unit)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
