"""Error bars in the evaluation: one pass over the windows, systems of several sizes."""

import numpy as np
import pytest
from helpers.springs import task

from estag_jax.evaluation import predictions as forecasts
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.metrics import per_window_calibration
from estag_jax.evaluation.result import CALIBRATION
from estag_jax.models.linear import LinearPredictor
from estag_jax.training.fit import fit


def test_error_bars_are_tested_in_the_one_pass_over_the_windows(monkeypatch):
    of, passes = task(), []
    fitted = fit("AR-LS", of)
    real = forecasts.predictions

    def counted(predictor, task, part, *args, **options):
        passes.append(part)
        return real(predictor, task, part, *args, **options)

    # Where they are called: in evaluate, and for error bars that have to be fitted first.
    monkeypatch.setattr("estag_jax.evaluation.evaluate.predictions", counted)
    monkeypatch.setattr(forecasts, "predictions", counted)
    (row,) = evaluate(fitted, of).rows
    assert passes == ["test"]
    (bare,) = evaluate({"p": fitted.predictor}, of).rows
    assert passes == ["test", "validation", "test"]
    (bound,) = evaluate(fitted.forecaster, of).rows
    assert passes[3:] == ["test"]
    for name in CALIBRATION:
        assert row.metrics[name]["mean"] == bare.metrics[name]["mean"]
        assert bound.metrics[name]["mean"] == pytest.approx(row.metrics[name]["mean"], rel=0.1)
    (windows,) = of.windows("test")
    history = np.asarray(windows.history, np.float64)
    forecast = fitted.predictor.predict(history)
    distribution = fitted.error_bars[0][0].distribution(history, forecast)
    expected = per_window_calibration(distribution, windows.target[:, 0])
    assert row.metrics["nats"]["mean"] == pytest.approx(expected["nats"].mean())


def test_systems_of_two_sizes_have_bars_of_their_own():
    of = task((3, 4))
    fitted = fit("AR-LS", of)
    assert [b.rest.shape for b in fitted.error_bars[0]] == [(3, 1), (4, 1)]
    (row,) = evaluate(fitted, of).rows
    assert np.isfinite(row.metrics["nats"]["mean"])
    # Bars of other systems do not suit: the task's validation windows give new ones.
    (other,) = evaluate(fitted, task(4)).rows
    assert np.isfinite(other.metrics["nats"]["mean"])


def test_forecasts_that_are_not_finite_have_no_error_bars():
    bad = {"p": LinearPredictor(np.array([np.nan, 0.0, 0.0]))}
    (row,) = evaluate(bad, task()).rows
    assert set(row.metrics) == {"mse"}
