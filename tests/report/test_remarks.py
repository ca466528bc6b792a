"""What is said besides a table."""

import numpy as np

from estag_jax.evaluation.result import Result, Row
from estag_jax.report.remarks import facts_text, remarks


def row(name, errors, **chosen):
    blocks = np.asarray(errors) / len(errors)
    figures = {"mean": float(np.mean(errors)), "standard_error": 0.0, "blocks": blocks.tolist()}
    return Row(name, metrics={"mse": figures}, chosen=chosen)


def said(*rows, blocks=8):
    return remarks(Result({"blocks": [1] * blocks, "length_unit": "Å"}, list(rows)))


def test_a_method_that_is_clearly_better_is_named_with_both_errors():
    wobble = np.linspace(-1, 1, 8) * 1e-7
    better, own = row("Frame ridge", 1.22e-5 + wobble), row("ESTAG", 3.8e-5 - wobble)
    last = row("Last frame", 5e-3 + wobble)
    line = "Frame ridge is clearly better on these windows: 0.0122 against 0.0380 10^-3 Å² (×0.321)"
    assert said(last, better, own) == [line]
    assert said(last, own, better) == []
    assert said(last, better, own, Row("VAR ridge", status="skipped"))[0] == line
    useless = row("ESTAG", 5e-3 + np.linspace(1, -1, 8) * 1e-4)
    assert said(last, better, useless)[0] == (
        "ESTAG is not clearly better than the last frame on these windows"
    )
    assert said(better, last)[0].startswith("Frame ridge is clearly better")
    assert said(last, better, own, blocks=4) == []
    unsure = row("Frame ridge", [1e-6] * 7 + [2.5e-4])
    assert said(last, unsure, own) == []


def test_auto_says_what_it_took_and_why_and_what_it_left_out():
    errors = {"Frame ridge": 1.3e-5, "VAR ridge": 5e-5, "AR-LS": 1e-4, "Last frame": 5e-4}
    left_out = {"Frame kernel": "would take about 90 s, 60 of the 60 allowed are left"}
    auto = {"method": "Frame ridge", "validation errors": errors, "left out": left_out}
    lines = said(
        row("Last frame", [5e-3] * 8), row("Frame ridge", [1.2e-5] * 8, **auto, ridge=1e-8)
    )
    assert lines == [
        "auto took Frame ridge, the best of 4 closed forms on the validation windows: Frame ridge 0.0130 "
        "10^-3 Å²; VAR ridge 0.0500; AR-LS 0.1000",
        "auto left out Frame kernel: it would take about 90 s, 60 of the 60 allowed are left",
        "Frame ridge chose from the data: ridge 1e-08",
    ]


def test_facts_are_read_as_they_are():
    facts = {"ridge": 1.2345e-8, "reversible": True, "samples": 3000, "per lag": [0.5, 1.0]}
    assert facts_text(facts | {"base": {"a": "b", "c": False}}) == (
        "ridge 1.23e-08, reversible: yes, samples 3000, per lag 0.5 1, base (a b, c: no)"
    )
