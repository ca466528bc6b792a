"""What a result says besides its table: what was clearly better, and what fits chose from the data."""

from __future__ import annotations

from typing import Any

from estag_jax.evaluation.compare import FEWEST, clearly_better, is_clearly_better
from estag_jax.evaluation.result import Result
from estag_jax.report.numbers import error_unit, figure_text, ratio_text

CHOICE = ("method", "validation errors", "left out")
"""What ``auto`` adds to the facts that a fit chose."""


def remarks(result: Result) -> list[str]:
    """One line each: what ``auto`` took and why, what was clearly better, and what each fit chose."""
    return [*_auto(result), *_better(result), *_chosen(result)]


def _better(result: Result) -> list[str]:
    if not result.finished or len(result.data.get("blocks", [])) < FEWEST:
        return []
    own, still, (scale, unit) = result.finished[-1], result.row("Last frame"), error_unit(result)
    lines = []
    if still in result.finished and own is not still and not is_clearly_better(result, own, still):
        lines = [f"{own.name} is not clearly better than the last frame on these windows"]
    if (row := clearly_better(result)) is None:
        return lines
    return [
        *lines,
        f"{row.name} is clearly better on these windows: {figure_text(row.mse, scale)} against "
        f"{figure_text(own.mse, scale)} {unit} (×{ratio_text(row.mse / own.mse)})",
    ]


def _auto(result: Result) -> list[str]:
    lines, (scale, unit) = [], error_unit(result)
    for row in result.finished:
        if "validation errors" not in row.chosen:
            continue
        errors = row.chosen["validation errors"]
        first, *others = (f"{name} {figure_text(e, scale)}" for name, e in errors.items())
        lines.append(
            f"auto took {row.name}, the best of {len(errors)} closed forms on the validation windows: "
            f"{'; '.join([f'{first} {unit}', *others[:2]])}"
        )
        lines += [f"auto left out {name}: it {why}" for name, why in row.chosen["left out"].items()]
    return lines


def _chosen(result: Result) -> list[str]:
    lines = []
    for row in result.finished:
        facts = {k: v for k, v in row.chosen.items() if k not in CHOICE}
        if facts:
            lines.append(f"{row.name} chose from the data: {facts_text(facts)}")
    return lines


def facts_text(facts: dict[str, Any]) -> str:
    """ "ridge 1.26e-08, reversible: yes, degenerate frames 0.3 %" of what a fit chose."""
    return ", ".join(_fact(name, value) for name, value in facts.items())


def _fact(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name} ({facts_text(value)})"
    if isinstance(value, bool):
        return f"{name}: {'yes' if value else 'no'}"
    if isinstance(value, float):
        return f"{name} {value:.3g}"
    if isinstance(value, list | tuple):
        return f"{name} {' '.join(f'{v:.3g}' if isinstance(v, float) else str(v) for v in value)}"
    return f"{name} {value}"
