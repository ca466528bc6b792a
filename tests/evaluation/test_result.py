"""A Result is written as JSON and read again, and what is none is refused."""

import dataclasses
import json

import pytest
from helpers.random_walks import network, walk
from helpers.springs import QUICK

from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.result import Result
from estag_jax.training.fit import Fit, fit


def test_a_result_survives_json():
    of = walk()
    trained = Fit("net", QUICK, of, (network(of),), (1,), log=({"epoch": 1},))
    given = [fit("var-ridge", of), trained]
    result = evaluate(given, of, ("mse", "rmsd"), rollout_steps=2)
    result.about["key"] = "value"
    saved = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    again = Result.from_dict(saved)
    assert json.loads(json.dumps(again.to_dict())) == saved
    assert [dataclasses.asdict(r) for r in again.rows] == saved["rows"]
    assert again.row("VAR ridge").mse == result.rows[0].mse and again.row("nothing") is None
    assert again.rows[1].head == "residual" and again.rows[0].head == ""
    assert again.data["windows"] == {"train": 9, "validation": 13, "test": 17}
    assert "jax" in again.versions and again.rows[0].device
    for bad, message in (
        (saved | {"format": 99}, "newer estag_jax .format 99"),
        ([1], "names no format"),
        (saved | {"rows": [saved["rows"][0] | {"epochs": 1.5}]}, "Row epochs is 1.5, expected int"),
        ({"format": 1}, "is no result"),
        (saved | {"more": 1}, "is no result"),
        (saved | {"rows": [{"nme": "x"}]}, "is no result"),
        (saved | {"rows": []}, "no rows"),
        (saved | {"data": {**saved["data"], "windows": {"test": 17}}}, "data is"),
        (saved | {"about": {"notes": 3}}, "about is"),
        (saved | {"rollout": saved["rollout"] | {"predictors": {}}}, "no rollouts"),
        (saved | {"rows": [saved["rows"][0] | {"metrics": {"mse": {"mean": 1.0}}}]}, "mse of VAR"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            Result.from_dict(bad)
        assert "\n" not in str(raised.value)
