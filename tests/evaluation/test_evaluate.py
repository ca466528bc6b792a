"""``evaluate``: rows of any predictors, by hand; and the figures that the closed forms have to give."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from helpers.springs import FULL, SPLIT, task, training

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import PARTS, Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.predictions import predictions
from estag_jax.evaluation.result import Result
from estag_jax.models.base import Network, NetworkPredictor
from estag_jax.models.estag import ESTAG, EstagConfig
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

SMALL = EstagConfig(hidden=4, layers=1)


@pytest.fixture(scope="module")
def network():
    return fit(SMALL, task(), seeds=(1, 2), train=training(2))


def test_rows_are_means_over_windows_and_seeds(network):
    of = task()
    last, ours = evaluate([fit("Last frame", of), network], of, ("mse", "rmsd")).rows
    (windows,) = of.windows("test")
    gap = windows.history[:, :, -1].astype(float) - windows.target[:, 0]
    assert last.mse == pytest.approx(np.mean(gap**2))
    by_window = (gap**2).mean((1, 2, 3))
    error = by_window.std(ddof=1) / np.sqrt(len(by_window))
    assert last.metrics["mse"]["standard_error"] == pytest.approx(error)
    assert last.metrics["rmsd"]["mean"] == pytest.approx(np.sqrt(3 * by_window).mean())
    each = []
    for predictor in network.predictors:
        frames = np.asarray(predictor(windows.history, of.system), float)
        each.append(np.mean((frames - windows.target[:, 0]) ** 2))
    assert ours.metrics["mse"]["seeds"] == pytest.approx(each, rel=1e-5)
    assert ours.mse == pytest.approx(np.mean(each), rel=1e-5)
    assert ours.seeds == [1, 2] and ours.parameters > 100


def test_predictors_by_name_and_forecasters_and_a_metric_of_ones_own(network):
    of = task()
    largest = {"largest": lambda p, t: np.abs(p - t).max(axis=(1, 2, 3))}
    named = evaluate({"mine": network.predictor}, of, largest).rows[0]
    assert named.name == "mine" and set(named.metrics) == {"mse", "largest"}
    assert named.metrics["largest"]["mean"] ** 2 > named.mse
    forecaster = evaluate(network.forecaster, of).rows[0]
    assert forecaster.mse == pytest.approx(named.mse)
    with pytest.raises(KeyError, match="rmse"):
        evaluate(network, of, ("rmse",))


def test_further_horizons_are_reached_by_feeding_back():
    of = task(window=WindowConfig(past=4, delta=2, horizons=(1, 2)))
    predictor = fit("AR-LS", of).predictor
    row = evaluate({"a": predictor}, of).rows[0]
    (windows,) = of.windows("test")
    first = predictor.predict(windows.history)
    again = np.concatenate([windows.history[:, :, 1:], first[:, :, None]], axis=2)
    second = predictor.predict(again)
    assert row.mse == pytest.approx(np.mean((first - windows.target[:, 0]) ** 2))
    assert row.metrics["mse@2"]["mean"] == pytest.approx(
        np.mean((second - windows.target[:, 1]) ** 2)
    )


def test_batches_and_padding_change_no_forecast(network, monkeypatch):
    of = task((3, 4))
    predictor = NetworkPredictor(network.predictor.variables, SMALL.build())
    padded = predictions(predictor, of, "test", [(6, 20)] * 2)
    for (windows, frames), (_, grown) in zip(
        predictions(predictor, of, "test"), padded, strict=True
    ):
        expected = predictor(windows.history, of.systems[windows.which])
        np.testing.assert_allclose(frames[:, 0], expected, atol=2e-6)
        np.testing.assert_allclose(grown[:, 0], expected, atol=2e-6)
        assert np.abs(expected - windows.history[:, :, -1]).max() > 1e-3
    monkeypatch.setattr("estag_jax.models.memory.CACHE", 30_000)
    small = [frames for _, frames in predictions(predictor, of, "test")]
    assert len(small) > 4
    monkeypatch.undo()
    whole = [frames for _, frames in predictions(predictor, of, "test")]
    np.testing.assert_allclose(np.concatenate(small[: len(small) // 2]), whole[0], atol=2e-6)


def test_validation_and_test_windows_are_compiled_once():
    traced = []

    class Counting(ESTAG):
        def __call__(self, history, node_features, graph):
            traced.append(history.shape)
            return super().__call__(history, node_features, graph)

    of = task(split=type(SPLIT)(train=23, validation=11, test=17))
    fitted = fit(Network(Counting(SMALL)), of, train=training(2))
    before = len(traced)
    evaluate(fitted, of)
    # Without seeds' axis it is another program, compiled once for both parts.
    assert len(traced) - before <= 1
    evaluate(fitted, of, part="validation")
    assert len(traced) - before <= 1


class Unknown(nn.Module):
    """A module that puts out one number too few."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        return history[:, :-1, -1]


def test_a_result_survives_its_file(network):
    of = task()
    result = evaluate([fit("VAR ridge", of), network], of, rollout_steps=3, rollouts=5)
    saved = result.to_dict()
    again = Result.from_dict(saved)
    assert again == result and again.row("VAR ridge").parameters == result.rows[0].parameters
    assert again.row("nothing") is None
    assert set(result.rollout["predictors"]) == {"VAR ridge", network.label}
    for bad in ({}, [], None, saved | {"format": 99}):
        with pytest.raises(ValueError, match="format"):
            Result.from_dict(bad)


def test_a_forecast_of_another_shape_is_an_error():
    of = Task(task().trajectories[0], WindowConfig(past=4, delta=2), SPLIT, FULL)
    predictor = NetworkPredictor({"params": {}}, Unknown())
    with pytest.raises(ValueError, match="must both be"):
        evaluate({"unknown": predictor}, of)
    assert jax.device_count() >= 1


# Test MSE in 10^-3 Å², measured before this program was written (T=10, Δ=10, heavy atoms).
FINDINGS = {
    "aspirin": (0.719, 0.542, 0.156, 0.0509),
    "ethanol": (0.498, 0.428, 0.121, 0.0849),
    "uracil": (0.632, 0.549, 0.147, 0.0455),
}


@pytest.mark.data
@pytest.mark.parametrize("molecule", FINDINGS)
def test_figures_are_those_of_the_findings(shared_data, molecule):
    trajectory = load(str(shared_data / "md_xtb" / f"{molecule}_xtb.npz"))
    task = Task(trajectory, WindowConfig(past=10, delta=10), "paper")
    assert task.count("train") == 500 and min(task.count(p) for p in PARTS[1:]) > 1900
    names = ("Last frame", "Constant velocity", "AR-LS", "VAR ridge")
    rows = evaluate([fit(name, task) for name in names], task).rows
    assert [1e3 * row.mse for row in rows] == pytest.approx(FINDINGS[molecule], rel=0.1)
