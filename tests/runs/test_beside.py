"""Runs whose method is chosen, starts from a closed form, or stands beside further ones."""

import dataclasses

import pytest
from helpers.springs import QUICK, Stop, config

import estag_jax
from estag_jax.config import from_dict, to_dict
from estag_jax.models.auto import Auto
from estag_jax.models.started import StartedPredictor
from estag_jax.report.run_figures import draw
from estag_jax.runs import folder
from estag_jax.runs.readers import evaluate_run
from estag_jax.runs.run import train
from estag_jax.runs.settings import RunConfig
from estag_jax.training.callbacks import Callback
from estag_jax.training.fit import fit


def figures(result):
    return {row.name: row.mse for row in result.rows}


def test_auto_is_a_run_like_any_other(springs, tmp_path):
    settings = dataclasses.replace(config(springs), method="Auto", model=Auto(seconds=0.3))
    finished = train(settings, tmp_path / "run")
    rows = finished.result.rows
    taken = rows[-1].chosen["method"]
    assert rows[-1].name == taken and [row.name for row in rows].count(taken) == 1
    assert rows[-1].validation_mse == [rows[-1].chosen["validation errors"][taken]]
    again = evaluate_run(tmp_path / "run")
    assert figures(again) == pytest.approx(figures(finished.result), rel=1e-4)
    assert [row.name for row in again.rows] == [row.name for row in rows]
    assert again.rows[-1].chosen["left out"] == rows[-1].chosen["left out"]
    assert estag_jax.load(tmp_path / "run").method == finished.forecaster.method
    saved, _ = folder.read_run(tmp_path / "run")
    assert saved.method == "auto" and saved.model == Auto(seconds=0.3)
    assert train(settings, tmp_path / "run", resume=True).result.rows[-1].name == taken


def test_further_methods_are_in_the_table_and_in_the_figures(springs, tmp_path):
    out, beside = tmp_path / "run", ("frame_kernel", "AR-LS")
    settings = dataclasses.replace(config(springs, model=QUICK), beside=beside)
    finished = train(settings, out)
    names = [row.name for row in finished.result.rows]
    assert "Frame kernel" in names and names.count("AR-LS") == 1 and names[-1] == "EgnnConfig"
    assert list(finished.beside) == ["AR-LS", "Frame kernel"]
    assert estag_jax.load(out).method == QUICK  # the folder keeps the run's own method alone
    assert figures(evaluate_run(out)) == pytest.approx(figures(finished.result), rel=1e-3)
    assert "Frame kernel" in finished.result.rollout["predictors"]
    assert [path.name for path in draw(out, finished)] == ["loss.png", "overlay.png", "rollout.png"]
    # What stands beside it may change when a run goes on.
    less = train(dataclasses.replace(settings, beside=()), out, resume=True)
    assert "Frame kernel" not in [row.name for row in less.result.rows]
    assert from_dict(RunConfig, to_dict(settings)) == settings


def test_what_cannot_stand_beside_is_one_line(springs, tmp_path):
    with pytest.raises(ValueError, match="beside takes a closed form .*; ESTAG is none"):
        dataclasses.replace(config(springs), beside=("ESTAG",))
    with pytest.raises(ValueError, match="no method 'frame kernle', did you mean"):
        dataclasses.replace(config(springs), beside=("frame kernle",))


def test_a_run_that_starts_from_a_fit_is_resumed_and_read(springs, tmp_path):
    class Killed(Callback):
        def evaluated(self, loop, evaluation):
            if loop.epoch == 4:
                raise Stop

    settings = dataclasses.replace(config(springs, epochs=8, model=QUICK), start="frame-ridge")
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(Stop):
        train(settings, tmp_path / "run", callbacks=[Killed()])
    half = estag_jax.load(tmp_path / "run")  # both parts, while training goes on
    assert isinstance(half.predictor, StartedPredictor)
    assert isinstance(half.predictor.start, type(fit("Frame ridge", whole.task).predictor))
    resumed = train(settings, tmp_path / "run", resume=True)
    assert resumed.result.rows[-1].metrics == whole.result.rows[-1].metrics
    again = evaluate_run(tmp_path / "run")
    assert [r.name for r in again.rows] == [r.name for r in whole.result.rows]
    assert again.rows[-1].name == "EgnnConfig (from Frame ridge)"
    assert again.rows[-1].mse == pytest.approx(whole.result.rows[-1].mse, rel=1e-5)
    with pytest.raises(folder.RunError, match="start has no effect on VAR ridge"):
        closed = dataclasses.replace(settings, method="VAR ridge", model=None)
        train(closed, tmp_path / "closed")
    assert not (tmp_path / "closed").exists()
