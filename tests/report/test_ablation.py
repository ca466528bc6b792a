"""The ablation as a table and a figure: shares by hand."""

import dataclasses

import numpy as np
import pytest
from helpers.figures import check_texts
from helpers.results import FACTS

from estag_jax.evaluation.result import Result, Row
from estag_jax.report.ablation import forest, markdown, shares, write_ablation

BLOCKS = [5] * 6


def row(name, errors, **fields):
    mean = float(np.mean(errors))
    mse = {"mean": mean, "seeds": list(errors), "blocks": [mean / 6] * 6}
    return Row(name, "ethanol", metrics={"mse": mse}, seeds=[1, 2, 3], epochs=7, **fields)


@pytest.fixture
def result():
    rows = [
        dataclasses.replace(row("VAR ridge", [2.0]), seeds=[]),
        row("ESTAG", [1.0, 1.0, 1.0]),
        row("without EDFT", [1.5, 1.6, 1.7]),
        row("without attention", [0.9, 1.0, 1.1]),
        row("released: |ΣF²| for ‖F‖²", [1.0, 1.0, 1.0]),
        row("1 layer", [3.0, 3.1, 2.9]),
        Row("4 layers", "ethanol", "failed", "no memory"),
    ]
    return Result(FACTS | {"blocks": BLOCKS}, rows)


def test_shares_are_those_of_the_difference(result):
    assert shares(result, result.row("ESTAG")) is None
    assert shares(result, result.row("VAR ridge")) is None
    found = shares(result, result.row("without EDFT"))
    half = 4.302653 * 0.1 / np.sqrt(3)  # Student's t of two degrees of freedom
    assert found == pytest.approx((0.6, 0.6 - half, 0.6 + half))


def test_the_table_says_them_in_per_cent(result):
    lines = {
        line.split(" | ")[0][2:]: line for line in markdown([result]).splitlines() if "|" in line
    }
    assert "| +60 % [+35, +85] |" in lines["without EDFT"]
    assert (
        "| 0.800 | +60 %" in lines["without EDFT"]
        and "| 1.6000 ± 0.1000 |" in lines["without EDFT"]
    )
    assert "| – |" in lines["ESTAG"]
    assert "released: \\|ΣF²\\| for ‖F‖²" in markdown([result])
    assert "- 4 layers: failed, no memory" in markdown([result])


def test_the_figure_has_a_line_a_variant(result, tmp_path, drawn):
    path = forest([result], tmp_path / "a.png", "Ablation")
    assert path.stat().st_size > 5000
    (axes,) = drawn[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["without EDFT", "without attention", "1 layer", "released: |ΣF²| for ‖F‖²"]
    check_texts(drawn[0])
    few = dataclasses.replace(result, rows=result.rows[:3])
    forest([few] * 4 + [result], tmp_path / "a.png", "Ablation")
    assert len(drawn[1].axes) == 1
    none = dataclasses.replace(result, rows=result.rows[:2])
    assert [p.name for p in write_ablation([none], tmp_path, "t", "c")] == ["table.md", "table.csv"]
