"""The report of a table as one HTML file: a section for each data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from estag_jax.evaluation.result import Result
from estag_jax.report.dots import dots
from estag_jax.report.page import Section, chart, page, paragraph
from estag_jax.report.run_report import errors
from estag_jax.report.style import number


def table_report(results: Sequence[Result], title: str) -> str:
    """The whole page.

    Args:
      results: one for each data set, each with finished rows.
      title: plain text.
    """
    parts = [_section(result) for result in results]
    said = (
        f"{sum(len(result.finished) for result in results)} methods on {len(results)} data set(s)."
    )
    return page(title, parts, paragraph(said))


def _section(result: Result) -> Section:
    name = result.finished[0].data or result.data["source"]
    best = min(result.finished, key=lambda row: row.mse)
    unit = result.data["length_unit"]
    drawn = chart(
        lambda path: dots([result], path, f"Test errors on {name}"),
        f"Test errors of {len(result.finished)} methods on {name}, on a logarithmic axis; the smallest is "
        f"that of {best.name}, {number(best.mse)} {unit}².",
    )
    settings = json.dumps(result.about.get("config", {}), indent=1, ensure_ascii=False)
    asked = f"<details><summary>Settings</summary><pre>{escape(settings)}</pre></details>"
    return Section(name, errors(result, training=True) + drawn + asked)
