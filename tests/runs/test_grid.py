"""The grid of a table: what is run, skipped, kept and taken up again."""

import dataclasses

import numpy as np
import pytest
from helpers.springs import FULL, SPLIT, WINDOW, frames, training

from estag_jax.config import to_dict
from estag_jax.data.settings import WindowConfig
from estag_jax.models import catalog
from estag_jax.runs import folder, grid
from estag_jax.runs.published import PUBLISHED
from estag_jax.runs.settings import RunConfig
from estag_jax.training.callbacks import Callback

MODELS = ("Last frame", "AR-LS", "ST_EGNN", "ESTAG")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "springs.npy"
    np.save(path, frames())
    return RunConfig(
        data=(str(path),), window=WINDOW, split=SPLIT, graph=FULL, train=training(epochs=2)
    )


@pytest.fixture
def asked():
    """What was trained, in order."""
    return []


@pytest.fixture
def announce(asked):
    def announce(data, row):
        asked.append((data, row))
        return ()

    return announce


def rows(results):
    return {(r.data, r.name): r for result in results for r in result.rows}


def test_cells_are_run_once_and_failures_are_reported_and_tried_again(
    config, tmp_path, asked, announce, monkeypatch
):
    out, bad = tmp_path / "table", dataclasses.replace(config, data="synthetic:sprngs")
    broken = dataclasses.replace(
        catalog.METHODS["ST_GNN"], config=lambda channels: catalog.EstagConfig(edft_channel=7)
    )
    monkeypatch.setitem(catalog.METHODS, "ST_GNN", broken)
    methods = (*MODELS, "ST_GNN")
    found = rows(grid.run_grid({"walk": config, "typo": bad}, methods, 2, out, announce=announce))
    assert found["typo", "(data)"].status == "failed"
    assert "did you mean" in found["typo", "(data)"].reason
    assert found["walk", "ST_GNN"].status == "failed"
    assert "edft_channel=7" in found["walk", "ST_GNN"].reason
    estag = found["walk", "ESTAG"]
    assert estag.seeds == [1, 2] and len(estag.metrics["mse"]["seeds"]) == 2
    assert estag.mse == pytest.approx(np.mean(estag.metrics["mse"]["seeds"]))
    assert estag.published == pytest.approx(PUBLISHED["walk"]["ESTAG"]) == pytest.approx(0.0040)
    assert estag.epochs == 2
    assert {"Last frame", "AR-LS", "VAR ridge"} <= {name for _, name in found}
    assert ("walk", "Middle frame") not in found
    assert asked == [("walk", "ST_GNN"), ("walk", "ST_EGNN"), ("walk", "ESTAG")]

    asked.clear()
    again = rows(grid.run_grid({"walk": config}, methods, 2, out, announce=announce))
    assert asked == [("walk", "ST_GNN")]  # only what failed is tried again
    assert again["walk", "ESTAG"] == estag
    asked.clear()
    grid.run_grid({"walk": config}, ("AR-LS", "ESTAG"), 1, out, announce=announce)  # other seeds
    path = out / "cells/walk/ESTAG.json"
    path.write_text(path.read_text()[:-40])  # torn
    grid.run_grid({"walk": config}, ("AR-LS", "ESTAG"), 1, out, announce=announce)
    assert asked == [("walk", "ESTAG")] * 2


def test_a_killed_cell_goes_on_where_it_stopped(config, tmp_path):
    class Stop(BaseException):
        pass

    class Kill(Callback):
        def evaluated(self, loop, evaluation):
            if loop.epoch == 4:
                raise Stop

    class Watch(Callback):
        def begin(self, loop):
            begun.append(loop.epoch)

    longer = dataclasses.replace(config, train=training(epochs=8))
    begun = []
    with pytest.raises(Stop):
        grid.run_grid(
            {"walk": longer}, ("AR-LS", "ESTAG"), 2, tmp_path / "a", announce=lambda d, r: [Kill()]
        )
    assert not (tmp_path / "a" / folder.LOCK).exists()
    resumed = grid.run_grid(
        {"walk": longer}, ("AR-LS", "ESTAG"), 2, tmp_path / "a", announce=lambda d, r: [Watch()]
    )
    assert begun == [4]
    straight = grid.run_grid({"walk": longer}, ("AR-LS", "ESTAG"), 2, tmp_path / "b")
    one, two = (rows(r)["walk", "ESTAG"] for r in (resumed, straight))
    assert one.metrics == two.metrics and one.best_epoch == two.best_epoch
    assert not list((tmp_path / "a").rglob("*.training"))


def test_heads_stand_in_one_table_and_nothing_is_run_twice(config, tmp_path, asked, announce):
    """A second call with another head adds rows; the first call's are kept, with their own seeds."""
    out = tmp_path / "table"
    methods = ("AR-LS", "ST_EGNN", "EGNN + residual head", "ST_GMN")
    first = rows(grid.run_grid({"walk": config}, methods, 2, out))
    assert "several channels" in first["walk", "ST_GMN"].reason
    both = grid.run_grid({"walk": config}, methods, 1, out, "residual", announce=announce)
    assert [name for _, name in asked] == ["ST_EGNN (residual)"]
    found = rows(both)
    assert found["walk", "ST_EGNN"].head == "softmax"
    assert found["walk", "ST_EGNN"].seeds == [1, 2]
    assert found["walk", "ST_EGNN (residual)"].head == "residual"
    assert found["walk", "ST_EGNN (residual)"].seeds == [1]
    assert found["walk", "ST_EGNN"].published and not found["walk", "ST_EGNN (residual)"].published
    same = found["walk", "EGNN + residual head"]
    assert same.status == "skipped" and same.reason == "the same method as ST_EGNN (residual)"
    order = [row.name for row in both[0].rows if row.status == "finished"]
    assert order.index("ST_EGNN") + 1 == order.index("ST_EGNN (residual)")
    assert order[0] == "Last frame"

    # Cells of other windows, here a longer gap between frames, are no part of a table.
    other = dataclasses.replace(config, window=WindowConfig(past=4, delta=1))
    cells = grid.run_grid({"walk": other}, ("AR-LS",), 1, out)
    assert {row.name for row in cells[0].rows} == {"Last frame", "AR-LS", "VAR ridge"}


def test_a_table_of_networks_has_all_closed_forms(config, tmp_path):
    cells = grid.run_grid({"walk": config}, ("ESTAG without layers",), 1, tmp_path / "t")
    names = [row.name for row in cells[0].rows]
    usual = [name for name in catalog.YARDSTICKS if not catalog.METHODS[name].config(1).vectors]
    assert names == [*usual, "ESTAG without layers"]
    stored = grid.stored(tmp_path / "t")
    assert [row.name for row in stored[0].rows] == names


def test_stored_data_are_in_the_order_of_their_numbers(config, tmp_path):
    for past in (20, 3, 5):
        windows = dataclasses.replace(config, window=WindowConfig(past=past, delta=1))
        grid.run_grid({f"walk, T = {past}": windows}, ("AR-LS",), 1, tmp_path)
    names = [result.rows[0].data for result in grid.stored(tmp_path)]
    assert names == ["walk, T = 3", "walk, T = 5", "walk, T = 20"]


def test_settings_that_an_update_adds_leave_cells_finished():
    """What a setting that was added says by default, earlier versions did: the key is the same."""
    today = to_dict(catalog.EstagConfig())
    before = {name: value for name, value in today.items() if name not in grid.ADDED}
    assert grid._as_before(today) == before != today
    changed = to_dict(catalog.EstagConfig(edft_nodes=False))
    assert grid._as_before(changed) == before | {"edft_nodes": False}


def test_every_published_row_is_a_method():
    names = {entry.published for entry in catalog.METHODS.values()}
    for figures in PUBLISHED.values():
        assert set(figures) <= names
    assert PUBLISHED["aspirin"]["ESTAG"] == pytest.approx(0.063e-3)
    assert PUBLISHED["adk"]["ST_GMN"] == 1.526
