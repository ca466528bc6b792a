"""Seeds trained together and the table runner: against single runs, by hand, and when it fails."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from estag_jax.models.closed_form import PREDICTORS
from estag_jax.models.registry import MODELS, build, model_name
from estag_jax.models.rows import ROWS, Row, choose, settings
from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import TrainingDiverged
from estag_jax.train.seeds import count_parameters, fit_seeds, seed_errors
from helpers.paths import ROOT

from estag_jax.data.splits import SplitConfig
from estag_jax.data.windows import WindowConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.report import grid_report as report
from estag_jax.runs import grid
from estag_jax.runs.published import CLOSED_FORM, PUBLISHED
from estag_jax.runs.run import train
from estag_jax.simulate.synthetic import SyntheticConfig
from estag_jax.sources.catalog import ReadConfig
from estag_jax.train.settings import RunConfig, TrainConfig

SMALL = RunConfig(
    data="synthetic:springs",
    read=ReadConfig(synthetic=SyntheticConfig(runs=6, frames=40)),
    window=WindowConfig(past=4, delta=1),
    split=SplitConfig("by-trajectory", train=23, validation=15, test=15),
    model=EstagConfig(hidden=4, layers=1),
    train=TrainConfig(epochs=6, batch=7, evaluate_every=2),
)


def changed(**train):
    return dataclasses.replace(SMALL, train=dataclasses.replace(SMALL.train, **train))


@pytest.fixture(scope="module")
def experiment():
    return Experiment.prepare(SMALL)


@pytest.mark.parametrize(
    "model", [SMALL.model, StgcnConfig(layers=1)], ids=["estag", "batch statistics"]
)
def test_seeds_together_are_the_seeds_alone(tmp_path, experiment, model):
    together = fit_seeds(experiment.with_model(model), (3, 5))
    errors = seed_errors(experiment.with_model(model))(
        together.variables, experiment.starts("test"), experiment.dataset
    )
    for i, seed in enumerate((3, 5)):
        alone = train(dataclasses.replace(changed(seed=seed), model=model), tmp_path / str(seed))
        assert alone.result["best"]["epoch"] == together.best_epoch[i]
        assert together.validation_mse[i] == pytest.approx(
            alone.result["best"]["validation_mse"], rel=2e-3
        )
        row = alone.result["rows"][-1]
        assert float(np.mean(errors[i])) == pytest.approx(row["test_mse"], rel=2e-3)
        assert count_parameters(together.variables) == row["parameters"]
        for a, b in zip(
            jax.tree.leaves(jax.tree.map(lambda x, i=i: x[i], together.variables)),
            jax.tree.leaves(alone.variables),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3)
    assert abs(together.validation_mse[0] - together.validation_mse[1]) > 1e-9


def test_running_statistics_are_learnt_and_used(experiment):
    network = experiment.with_model(StgcnConfig(layers=1))
    before = network.init_variables(1)["batch_stats"]
    after = fit_seeds(network, (1,)).variables["batch_stats"]
    moved = [
        float(np.abs(b[0] - a).max())
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    ]
    assert min(moved) > 0


def test_patience_stops_each_seed_by_itself(experiment):
    """A step size of almost zero: no evaluation but the first is better by more than rounding."""
    stopping = dataclasses.replace(experiment, config=changed(patience=2, epochs=60))
    stopping.__dict__["dataset"] = experiment.dataset
    fitted = fit_seeds(stopping, (1, 2))
    alone = fit_seeds(stopping, (2,))
    assert fitted.best_epoch[1] == alone.best_epoch[0]
    assert fitted.epochs <= 60 and alone.epochs <= fitted.epochs
    if alone.epochs < 60:
        assert alone.epochs == alone.best_epoch[0] + 2 * SMALL.train.evaluate_every


def test_a_seed_that_diverges_does_not_stop_the_others(experiment):
    hot = dataclasses.replace(experiment, config=changed(learning_rate=1e30))
    with pytest.raises(TrainingDiverged, match="diverged from every seed; lower"):
        fit_seeds(hot, (1, 2))
    with pytest.raises(ValueError, match="each once"):
        fit_seeds(experiment, (1, 1))


# --- rows ---


def test_rows_are_found_by_name_and_unknown_ones_name_the_nearest():
    assert list(choose(["estag", "st-egnn", "ST_SE(3)-tr"])) == ["ESTAG", "ST_EGNN", "ST_SE(3)-Tr"]
    assert choose([]) == choose(["all"]) == ROWS
    with pytest.raises(ValueError, match="no model 'EqMotoin', did you mean 'EqMotion'"):
        choose(["EqMotoin"])


def test_every_registered_model_has_a_row_and_every_published_row_is_here():
    for channels in (1, 4):
        used = {model_name(row.config(channels)) for row in ROWS.values()}
        assert used == set(MODELS)
        for row in ROWS.values():
            for head in ("residual", "softmax", "absolute", "last"):
                assert build(settings(row, channels, head)).config.head == head
    names = {row.published for row in ROWS.values()} | set(CLOSED_FORM.values())
    for figures in PUBLISHED.values():
        assert set(figures) <= names
    assert PUBLISHED["aspirin"]["ESTAG"] == pytest.approx(0.063e-3)
    assert PUBLISHED["walk"]["ESTAG"] == pytest.approx(0.0040)
    assert PUBLISHED["adk"]["ST_GMN"] == 1.526


# --- the grid ---


class Broken:
    """Settings of no model."""


def few(**more):
    rows = {"ESTAG": Row(lambda channels: EstagConfig(hidden=3, layers=1), "ESTAG")}
    return rows | more


def test_grid_resumes_and_reports_what_fails(tmp_path):
    config = dataclasses.replace(SMALL, train=dataclasses.replace(SMALL.train, epochs=2))
    bad = dataclasses.replace(config, data="synthetic:sprngs")
    broken = few(broken=Row(lambda channels: EstagConfig(hidden=3, layers=1, edft_channel=7)))
    asked = []

    def announce(data, row, epochs):
        asked.append((data, row, epochs))
        return lambda epoch, evaluation: None

    cells = grid.run_grid({"walk": config, "typo": bad}, broken, 2, tmp_path, announce=announce)
    by_row = {(c["data"], c["row"]): c for c in cells}
    assert by_row["typo", "(data)"]["status"] == "failed"
    assert "did you mean" in by_row["typo", "(data)"]["reason"]
    assert by_row["walk", "broken"]["status"] == "failed"
    assert "edft_channel=7" in by_row["walk", "broken"]["reason"]
    estag = by_row["walk", "ESTAG"]
    assert estag["status"] == "finished" and len(estag["test_mse"]) == 2
    assert estag["mean"] == pytest.approx(np.mean(estag["test_mse"]))
    assert estag["sd"] == pytest.approx(np.std(estag["test_mse"], ddof=1))
    assert estag["published"] == pytest.approx(0.0040) and estag["epochs"] == 2
    assert asked == [("walk", "ESTAG", 2), ("walk", "broken", 2)]

    asked.clear()
    again = grid.run_grid({"walk": config}, broken, 2, tmp_path, announce=announce)
    assert asked == [("walk", "broken", 2)]  # only what failed is tried again
    assert next(c for c in again if c["row"] == "ESTAG") == json.loads(json.dumps(estag))
    asked.clear()
    grid.run_grid({"walk": config}, few(), 1, tmp_path, announce=announce)  # other seeds
    path = tmp_path / "cells/walk/ESTAG.json"
    path.write_text(path.read_text()[:-40])  # torn
    grid.run_grid({"walk": config}, few(), 1, tmp_path, announce=announce)
    assert asked == [("walk", "ESTAG", 2)] * 2

    files = report.write_report(cells, tmp_path, "A title", "the command")
    assert [f.name for f in files] == ["table.md", "table.csv", "table.png"]
    text = files[0].read_text()
    assert "- broken: failed, " in text and "*published [" in text and "`the command`" in text
    line = next(x for x in text.splitlines() if x.startswith("| ESTAG |"))
    assert line.split("|")[2].strip() == "residual" and "*0.0040*" in line
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert len(rows) == len(cells)
    ours = next(r for r in rows if r["row"] == "ESTAG")
    last = next(r for r in rows if r["row"] == "Last frame (PT-t)")
    assert float(ours["ratio_last_frame"]) == pytest.approx(
        float(ours["mean"]) / float(last["mean"])
    )
    assert files[2].stat().st_size > 10_000


def test_heads_stand_in_one_table_and_nothing_is_run_twice(tmp_path):
    """A second call with another head adds rows; the first call's are kept, with their own seeds."""
    config = dataclasses.replace(SMALL, train=dataclasses.replace(SMALL.train, epochs=1))
    small = dict(hidden=3, layers=1)
    rows = few(
        ST_EGNN=Row(lambda channels: StEgnnConfig(**small), "ST_EGNN"),
        again=Row(lambda channels: StEgnnConfig(head="residual", **small)),
        several=Row(lambda channels: StEgnnConfig.gmn(), several_channels=True),
    )
    first = grid.run_grid({"walk": config}, rows, 2, tmp_path)
    reasons = {c["row"]: c["reason"] for c in first if c["status"] == "skipped"}
    assert list(reasons) == ["several"] and "several channels" in reasons["several"]

    asked = []

    def announce(data, row, epochs):
        asked.append(row)
        return lambda epoch, evaluation: None

    both = grid.run_grid({"walk": config}, rows, 1, tmp_path, "residual", announce)
    # ESTAG's own head is residual: with another number of seeds it is another cell.
    assert asked == ["ESTAG", "ST_EGNN (residual)"]
    found = {c["row"]: c for c in both if c["status"] == "finished"}
    assert found["ST_EGNN"]["head"] == "softmax" and len(found["ST_EGNN"]["seeds"]) == 2
    assert found["ST_EGNN (residual)"]["head"] == "residual"
    assert len(found["ST_EGNN (residual)"]["seeds"]) == 1
    assert found["ST_EGNN"]["published"] and not found["ST_EGNN (residual)"]["published"]
    assert {c["row"]: c["reason"] for c in both if c["status"] == "skipped"} == {
        "several (residual)": reasons["several"],
        "again": "the same network as ST_EGNN (residual)",
    }
    order = [c["row"] for c in both if c["status"] == "finished"]
    assert order[: len(PREDICTORS)] == list(PREDICTORS)
    assert order.index("ST_EGNN") + 1 == order.index("ST_EGNN (residual)") < order.index("ESTAG")
    # The first call ran the same network under its own name too.
    assert [c["row"] for c in grid.stored(tmp_path)] == [*order, "again"]

    # Cells of other windows, here a longer gap between frames, are no part of a table.
    other = dataclasses.replace(config, window=WindowConfig(past=4, delta=2))
    cells = grid.run_grid({"walk": other}, few(), 1, tmp_path, "softmax")
    assert {c["row"] for c in cells} == {*PREDICTORS, "ESTAG (softmax)"}


def test_closed_forms_are_known_by_their_published_names_too():
    assert choose(["PT-t", "first frame"]) == {}
    assert list(choose(["PT-s", "estag"])) == ["ESTAG"]
    with pytest.raises(ValueError, match="no model 'PT-x', did you mean 'PT-"):
        choose(["PT-x"])


def test_a_table_without_networks_is_the_closed_forms(tmp_path):
    cells = grid.run_grid({"walk": SMALL}, choose(["PT-t"]), 1, tmp_path)
    assert [c["row"] for c in cells] == list(PREDICTORS)
    text = report.markdown(cells)
    assert "| Last frame (PT-t) | – |" in text and "T=4, Δ=1" in text


# --- RESULTS.md ---


def test_results_are_what_the_kept_cells_say():
    """Every figure in the tables of RESULTS.md is printed from experiments/results/."""
    script = ROOT / "experiments" / "results.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)
