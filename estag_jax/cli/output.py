"""What several commands print."""

from __future__ import annotations

import re
import sys
from typing import Any

from rich.console import Console

from estag_jax.report.tables import render


def print_facts(facts: dict[str, Any]) -> None:
    """One line a fact, the names in a column; empty facts are left out."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if value != "":
            print(f"{name:<{width}}  {value}")


def print_table(result: dict[str, Any]) -> None:
    """The result table of a run and what became of its rollouts."""
    data, windows = result["data"], result["data"]["windows"]
    title = f"{data['source']}: {windows['test']} test windows, {windows['train']} training windows"
    # Off a terminal rich assumes 80 columns, which would break the table's lines.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(render(result["rows"], data["length_unit"], title))
    rollout, name = result["rollout"], result["rows"][-1]["name"]
    if rollout["predictors"]:
        figures, steps = rollout["predictors"][name], rollout["steps"]
        median = figures["median"][-1]
        print(
            f"{rollout['windows']} rollouts of {steps} frames by {name}: "
            f"{figures['lost'][-1]:.1%} ran away, median error at the end "
            f"{'infinite' if median is None else f'{median:.4f}'} {data['length_unit']}²"
        )


def slug(text: str) -> str:
    """A source or path as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.")[-80:] or "data"
