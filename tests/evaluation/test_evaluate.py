"""``evaluate``: errors of fits, predictors and forecasters, and how forecasts are computed."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import FULL, QUICK, task, training

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation import predictions as forecasts
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.predictions import batch_width, predictions
from estag_jax.evaluation.result import CALIBRATION, Result
from estag_jax.evaluation.rollout import rollout_errors
from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.models.linear import LinearPredictor
from estag_jax.sources.catalog import load
from estag_jax.testing import randomize
from estag_jax.training.fit import Fit, fit

TRACES = []


class Counting(nn.Module):
    """A network that says when it is traced."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        if isinstance(history, jax.core.Tracer):
            TRACES.append(history.shape)
        return QUICK.build()(history, node_features, graph)


def network(of, module=None, key=0):
    """A network predictor with random weights."""
    module = module or QUICK.build()
    (windows, *_) = of.windows("test")
    inputs = network_inputs(of.systems[0], "one-hot")
    shapes = jax.eval_shape(module.init, jax.random.key(0), windows.history[:1], *inputs)
    return NetworkPredictor(jax.tree.map(jnp.asarray, randomize(shapes, key, scale=0.3)), module)


@jax.jit
def apply(predictor, history, inputs):
    return predictor.predict(history, inputs)


def walk(bodies=3, **split):
    """Of random walks, so that errors differ by node and window."""
    x = np.random.default_rng(bodies).normal(size=(400, bodies, 3)).cumsum(axis=0)
    window, given = WindowConfig(past=4, delta=2), dict(train=9, validation=13, test=17) | split
    return Task(Trajectory.from_arrays(x.astype(np.float32)), window, SplitConfig(**given), FULL)


def test_fits_predictors_and_forecasters_have_the_same_errors():
    of = walk()
    solved, trained = fit("ar-ls", of), fit(QUICK, of, seeds=(3, 5), train=training(2))
    expected = []
    for one in (solved, trained):
        (windows,) = of.windows("test")
        errors = [
            ((np.asarray(apply(p, windows.history, p.inputs(of.system))) - windows.target[:, 0]) ** 2)
            .mean((1, 2, 3))
            for p in one.predictors
        ]  # fmt: skip
        expected.append(np.array(errors))
    result = evaluate([solved, trained], of)
    assert [row.name for row in result.rows] == ["AR-LS", "EgnnConfig"]
    for row, errors in zip(result.rows, expected, strict=True):
        assert row.mse == pytest.approx(errors.mean(), rel=1e-5)
        windows = errors.mean(axis=0)
        spread = windows.std(ddof=1) / np.sqrt(len(windows))
        assert row.metrics["mse"]["standard_error"] == pytest.approx(spread, rel=1e-5)
        np.testing.assert_allclose(row.metrics["mse"]["seeds"], errors.mean(axis=1), rtol=1e-5)
    first, second = result.rows
    assert (first.seeds, first.parameters, first.equivariant) == ([], 3, True)
    assert second.seeds == [3, 5] and second.epochs == 2 and second.equivariant is None
    assert second.settings["hidden"] == 4 and second.best_epoch == trained.best_epoch.tolist()
    np.testing.assert_allclose(second.validation_mse, trained.validation_mse)

    best = int(np.argmin(trained.validation_mse))
    given = {"a": solved.predictor, "b": trained.forecaster, "c": trained.predictors[1 - best]}
    named = evaluate(given, of)
    assert [row.name for row in named.rows] == ["a", "b", "c"]
    found = [row.mse for row in named.rows]
    seeds = expected[1].mean(axis=1)
    assert found == pytest.approx([expected[0].mean(), seeds[best], seeds[1 - best]], rel=1e-5)
    assert seeds[0] != pytest.approx(seeds[1], rel=1e-3)
    assert evaluate(trained.forecaster, of).rows[0].name == "EgnnConfig"
    assert evaluate(solved.predictor, of).rows[0].name == "LinearPredictor"


def test_a_seed_that_diverged_is_named_and_left_out():
    of = walk()
    fitted = Fit(
        "three",
        QUICK,
        of,
        tuple(network(of, key=k) for k in (1, 2, 3)),
        seeds=(10, 20, 30),
        best_epoch=np.array([2, 0, 4]),
        validation_mse=np.array([1.0, np.inf, 2.0]),
    )
    (row,) = evaluate(fitted, of).rows
    assert row.seeds == [10, 30] and row.diverged == [20] and row.best_epoch == [2, 4]
    alone = [evaluate(fitted.predictors[i], of).rows[0].mse for i in (0, 2)]
    assert row.metrics["mse"]["seeds"] == pytest.approx(alone)
    assert row.mse == pytest.approx(np.mean(alone))


def test_metrics_by_name_and_of_ones_own():
    of, predictor = walk(), LinearPredictor(np.array([0.1, 0.0, -0.4]))
    (windows,) = of.windows("test")
    gap = predictor.predict(windows.history) - windows.target[:, 0]
    (row,) = evaluate({"p": predictor}, of, ("rmsd",)).rows
    rmsd = np.sqrt((gap**2).sum(-1).mean((1, 2)))
    assert set(row.metrics) == {"mse", "rmsd", *CALIBRATION}
    assert row.metrics["rmsd"]["mean"] == pytest.approx(rmsd.mean())

    def worst(prediction, target):
        return np.abs(prediction - target).max(axis=(1, 2, 3))

    (row,) = evaluate({"p": predictor}, of, {"worst": worst}).rows
    assert set(row.metrics) == {"mse", "worst", *CALIBRATION}
    assert row.metrics["worst"]["mean"] == pytest.approx(np.abs(gap).max((1, 2, 3)).mean())
    with pytest.raises(ValueError, match="no metric 'rsmd', did you mean 'rmsd'"):
        evaluate({"p": predictor}, of, ("rsmd",))


def test_the_part_can_be_chosen():
    of, predictor = walk(), LinearPredictor(np.zeros(3))
    for part, count in (("train", 9), ("validation", 13), ("test", 17)):
        (windows,) = of.windows(part)
        errors = (windows.history[:, :, -1].astype(float) - windows.target[:, 0]) ** 2
        assert len(errors) == count
        assert evaluate(predictor, of, part=part).rows[0].mse == pytest.approx(errors.mean())


@pytest.mark.parametrize("compiled", [False, True])
def test_further_horizons_are_reached_by_feeding_forecasts_back(compiled):
    of = task((3, 4), window=WindowConfig(past=4, delta=2, horizons=(1, 2, 4)), dtype=np.float32)
    predictor = network(of) if compiled else LinearPredictor(np.array([0.1, 0.7, -0.4]))
    errors = {1: [], 2: [], 4: []}
    for windows in of.windows("test"):
        x = of.trajectories[windows.which].positions
        inputs = predictor.inputs(of.systems[windows.which])
        history = windows.history
        for step in range(1, 5):
            frame = np.asarray(apply(predictor, history, inputs))
            history = np.concatenate([history[:, :, 1:], frame[:, :, None]], axis=2)
            if step in errors:
                gap = frame.astype(float) - x[windows.starts + 2 * (3 + step)]
                errors[step].append((gap**2).mean((1, 2, 3)))
    (row,) = evaluate(predictor, of).rows
    found = {name: row.metrics[name]["mean"] for name in row.metrics if name[:3] == "mse"}
    expected = {step: np.concatenate(parts).mean() for step, parts in errors.items()}
    assert found == pytest.approx(
        {"mse": expected[1], "mse@2": expected[2], "mse@4": expected[4]}, rel=1e-4
    )
    assert len({round(value, 6) for value in found.values()}) == 3


def test_rollouts_of_each_predictor_are_in_the_result():
    of = walk()
    given = {"still": LinearPredictor(np.zeros(3)), "net": network(of)}
    result = evaluate(given, of, rollout_steps=4, rollouts=6)
    assert result.rollout["steps"] == 4 and result.rollout["windows"] == 6
    assert set(result.rollout["predictors"]) == {"still", "net"}
    for name, predictor in given.items():
        errors = rollout_errors(predictor, of, 4, 6)
        figures = result.rollout["predictors"][name]
        np.testing.assert_allclose(figures["mse"], errors.mean(axis=1), rtol=1e-5)
        (windows,) = of.windows("test")
        centred = windows.target[:, 0] - windows.target[:, 0].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(figures["diverged"], (errors > (centred**2).mean()).mean(1))
    assert evaluate(given, of).rollout == {}
    further = task(window=WindowConfig(past=4, delta=2, horizons=(2,)))
    assert evaluate(fit("last frame", further), further, rollout_steps=4).rollout == {}


def test_batches_give_what_single_calls_give(monkeypatch):
    of = task((3, 5))
    predictor = network(of)
    for width, at_once in ((7, 7), (500, 500), (6, 2)):
        monkeypatch.setattr(forecasts, "call_width", lambda *a, w=(width, at_once): w)
        seen = 0
        for windows, found in predictions(predictor, of, "test"):
            assert len(found) == len(windows.starts) <= width
            inputs = predictor.inputs(of.systems[windows.which])
            single = [apply(predictor, h[None], inputs)[0] for h in windows.history[-2:]]
            np.testing.assert_allclose(found[-2:, 0], single, rtol=1e-5, atol=1e-5)
            seen += len(found)
        assert seen == of.count("test")


def test_systems_that_are_padded_have_the_same_forecasts():
    of = task((3, 5))
    predictor = network(of)
    both = [
        [found for _, found in predictions(predictor, of, "test", sizes)]
        for sizes in (None, [(6, 40)] * 2)
    ]
    for plain, padded in zip(*both, strict=True):
        assert plain.shape == padded.shape
        np.testing.assert_allclose(padded, plain, rtol=1e-5, atol=1e-5)


def test_seeds_together_are_seeds_one_by_one():
    of = walk()
    several = [network(of, key=k) for k in (1, 2, 3)]
    for chosen in (several, several[:1]):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *chosen)
        ((_, found),) = predictions(stacked, of, "test", seeds=True)
        single = [next(predictions(p, of, "test"))[1] for p in chosen]
        assert found.shape == (len(chosen), 17, 1, 3, 1, 3)
        np.testing.assert_allclose(found, single, rtol=1e-5, atol=1e-5)


def test_one_compilation_serves_all_parts_weights_and_systems_of_a_size():
    of = task((4, 4), split=SplitConfig(train=9, validation=11, test=30))
    assert of.count("validation") != of.count("test")
    predictor = network(of, Counting())
    other = jax.tree.map(lambda leaf: leaf * 0.5, predictor)
    TRACES.clear()
    found = [
        np.concatenate([frames for _, frames in predictions(p, of, part)])
        for p in (predictor, other)
        for part in ("validation", "test", "validation")
    ]
    assert TRACES == [(batch_width(of), 4, 4, 1, 3)]
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[3]).max() > 1e-4


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


def test_predictors_go_to_a_system_of_another_size():
    of, other = walk(3), walk(5)
    given = {"AR-LS": fit("ar-ls", of).predictor, "net": network(of)}
    rows = evaluate(given, other).rows
    (windows,) = other.windows("test")
    assert windows.target.shape[2] == 5
    for row, predictor in zip(rows, given.values(), strict=True):
        gap = (
            np.asarray(apply(predictor, windows.history, predictor.inputs(other.system)))
            - windows.target[:, 0]
        )
        assert row.mse == pytest.approx((gap**2).mean(), rel=1e-4)


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
    of = Task(trajectory, WindowConfig(past=10, delta=10), SplitConfig(kind="paper"))
    assert of.count("train") == 500
    assert min(of.count("validation"), of.count("test")) > 1900
    names = ("Last frame", "Constant velocity", "AR-LS", "VAR ridge")
    measured = [1e3 * row.mse for row in evaluate([fit(name, of) for name in names], of).rows]
    assert measured == pytest.approx(FINDINGS[molecule], rel=0.1)
