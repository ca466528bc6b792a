"""``evaluate``: errors of fits, predictors and forecasters, and how forecasts are computed."""

import numpy as np
import pytest
from helpers.random_walks import apply, network, walk
from helpers.springs import QUICK, task, training

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.result import CALIBRATION
from estag_jax.evaluation.rollout import rollout_errors
from estag_jax.models.linear import LinearPredictor
from estag_jax.sources.catalog import load
from estag_jax.training.fit import Fit, fit


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
