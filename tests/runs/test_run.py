"""Runs: what a folder holds, what is resumed, and what is refused."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.springs import Stop, config, frames

import estag_jax
from estag_jax.config import from_dict, to_dict
from estag_jax.data.settings import SplitConfig
from estag_jax.evaluation.result import Result
from estag_jax.io import FileError
from estag_jax.models.autoregression import ArLs
from estag_jax.models.estag import EstagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.runs import folder
from estag_jax.runs.folder import RunError
from estag_jax.runs.readers import evaluate_run, load_task
from estag_jax.runs.run import train
from estag_jax.runs.settings import RunConfig
from estag_jax.training.callbacks import Callback, TrainingDiverged


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


class Killed(Callback):
    """Ends training after some epoch as an error would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def evaluated(self, loop, evaluation):
        if loop.epoch == self.epoch:
            raise Stop


@pytest.mark.parametrize(
    "model, start, changes",
    [
        (None, None, {}),
        (None, None, dict(clip_norm=0.1, weight_decay=1e-3)),
        (None, None, dict(clip_norm=0.1, skip_nonfinite=3, loss="mae")),
        (None, "var-ridge", {}),  # what it starts from is fitted again
        (StgcnConfig(hidden=4, gated=4, layers=1), None, {}),  # with batch statistics
    ],
    ids=["Adam", "decayed", "not finite skipped", "a network on a closed form", "batch statistics"],
)
def test_a_resumed_run_repeats_an_uninterrupted_one_bit_for_bit(
    model, start, changes, springs, tmp_path
):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    settings = config(springs, epochs=8, model=model, **changes)
    settings = dataclasses.replace(settings, start=start)
    straight = train(settings, whole)
    with pytest.raises(Stop):
        train(settings, halves, callbacks=[Killed(4)])
    assert [line["epoch"] for line in folder.read_metrics(halves)] == [2, 4]
    assert estag_jax.load(halves).past == 4  # what is there already is of use
    resumed = train(settings, halves, resume=True)
    for a, b in zip(leaves(straight.forecaster), leaves(resumed.forecaster), strict=True):
        assert np.array_equal(a, b)
    strip = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in folder.read_metrics(path)]
        for path in (whole, halves)
    ]
    assert strip[0] == strip[1]
    assert [line["epoch"] for line in strip[0]] == [2, 4, 6, 8]
    assert [r.metrics for r in straight.result.rows] == [r.metrics for r in resumed.result.rows]


def test_more_epochs_may_be_asked_for(springs, tmp_path):
    longer = train(config(springs, epochs=4), tmp_path / "run")
    assert longer.result.rows[-1].epochs == 4
    longer = train(config(springs, epochs=8), tmp_path / "run", resume=True)
    straight = train(config(springs, epochs=8), tmp_path / "other")
    assert longer.result.rows[-1].metrics == straight.result.rows[-1].metrics


def test_a_run_leaves_its_files_and_a_forecaster(springs, tmp_path):
    out = tmp_path / "run"
    finished = train(config(springs), out)
    result = folder.read_result(out)
    assert {"compile", "train", "total"} <= set(result.about["seconds"])
    assert result.versions["jax"] == jax.__version__
    names = [row.name for row in result.rows]
    assert names[-1] == "EgnnConfig"
    assert {"Last frame", "AR-LS", "VAR ridge"} <= set(names)
    saved = from_dict(RunConfig, result.about["config"])
    assert saved == finished.config and saved.model == config(springs).model
    assert not list(out.rglob("*.partial")) and not (out / folder.LOCK).exists()
    assert folder.foreign(out) == []

    forecaster = estag_jax.load(out)
    (windows,) = finished.task.windows("test")
    predicted = np.asarray(forecaster.predict(windows.history), float)
    mse = np.mean((predicted - windows.target[:, 0]) ** 2)
    assert mse == pytest.approx(result.rows[-1].mse, rel=1e-4)
    again = evaluate_run(out)
    assert [r.metrics for r in again.rows] == [r.metrics for r in result.rows]


def test_a_closed_form_is_a_run_like_any_other(springs, tmp_path):
    out = tmp_path / "run"
    settings = dataclasses.replace(config(springs), method="var-ridge", model=None)
    finished = train(settings, out)
    assert [row.name for row in finished.result.rows][-1] == "VAR ridge"
    assert len({row.name for row in finished.result.rows}) == len(finished.result.rows)
    forecaster = estag_jax.load(out)
    history = forecaster.history(frames(), 10)
    np.testing.assert_allclose(
        forecaster.predict(history), finished.forecaster.predict(history), rtol=1e-5
    )
    assert forecaster.rollout(history, 3).shape == (3, 3, 1, 3)
    assert evaluate_run(out).rows[-1].mse == pytest.approx(finished.result.rows[-1].mse)


def test_divergence_keeps_the_last_good_forecaster(springs, tmp_path):
    class Spoil(Callback):
        def evaluated(self, loop, evaluation):
            if loop.epoch == 4:
                bad = jax.tree.map(lambda leaf: leaf * np.nan, loop.state.variables)
                loop.state = loop.state._replace(variables=bad)

    out = tmp_path / "run"
    with pytest.raises(
        TrainingDiverged, match=r"by epoch 6 .* best epoch was [24]; the largest .*; lower"
    ):
        train(config(springs, epochs=40), out, callbacks=[Spoil()])
    forecaster = estag_jax.load(out)
    assert all(np.isfinite(leaf).all() for leaf in leaves(forecaster.predictor))
    assert not (out / folder.LOCK).exists()


def test_changed_data_are_noticed(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    np.save(springs, np.load(springs) + np.float32(0.5))
    with pytest.raises(RunError, match="is not what"):
        train(config(springs, epochs=4), out, resume=True)
    with pytest.raises(RunError, match="is not what"):
        load_task(out)
    assert evaluate_run(out, [str(springs)]).rows[-1].mse > 0


def test_data_of_another_system_step_or_unit_are_refused(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    x = frames()
    cases = {
        "nodes: 4": dict(positions=frames(4)),
        "time unit: fs": dict(positions=x, dt_fs=2.0),
        "length unit: nm": dict(positions=x, length_unit="nm"),
    }
    for fact, arrays in cases.items():
        other = tmp_path / "other.npz"
        np.savez(other, **arrays)
        with pytest.raises(RunError, match=f"{fact}.* trained on"):
            evaluate_run(out, [str(other)])


def test_data_without_a_step_are_answered_with_the_command_that_writes_it(springs, tmp_path):
    out, other = tmp_path / "run", tmp_path / "other.npz"
    np.savez(tmp_path / "timed.npz", positions=frames(), dt_fs=2.0, length_unit="nm")
    train(dataclasses.replace(config(springs, epochs=2), data=(str(tmp_path / "timed.npz"),)), out)
    for arrays, option in (
        (dict(length_unit="nm"), "--read.frame-step 2fs"),
        (dict(length_unit="Å", dt_fs=2.0), "--read.unit nm"),
    ):
        np.savez(other, positions=frames(), **arrays)
        command = f"estag data prepare {other} {option} --out FILE.npz"
        with pytest.raises(RunError, match=f"trained on .*{re.escape(command)}"):
            evaluate_run(out, [str(other)])


def test_damaged_missing_old_and_new_runs_are_one_line(springs, tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        estag_jax.load(tmp_path)
    with pytest.raises(FileError, match="nowhere"):
        estag_jax.load(tmp_path / "nowhere")
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    saved = json.loads((out / folder.RUN).read_text())
    (out / folder.RUN).write_text(json.dumps(saved | {"version": 99}))
    with pytest.raises(RunError, match="format 99"):
        estag_jax.load(out)
    (out / folder.RUN).write_text("{")
    with pytest.raises(RunError, match="not JSON"):
        estag_jax.load(out)
    (out / folder.RUN).write_text(json.dumps(saved))
    (out / folder.FORECASTER).write_bytes(b"PK broken")
    with pytest.raises(FileError, match="forecaster.npz"):
        estag_jax.load(out)
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.json", "system.npz"):
        (old / name).write_text("{}")
    for attempt in (estag_jax.load, lambda path: train(config(springs), path, overwrite=True)):
        with pytest.raises(RunError, match="before version 0.2.*train again"):
            attempt(old)


def test_reading_a_run_does_not_disturb_its_training(springs, tmp_path):
    """A save every epoch, and readers all the while: the trainer is unharmed, and each load right."""
    out, stop, seen, wrong = tmp_path / "run", threading.Event(), [], []

    def read():
        while not stop.is_set():
            if not (out / folder.RUN).exists():
                continue
            try:
                forecaster = estag_jax.load(out)
                assert all(np.isfinite(leaf).all() for leaf in leaves(forecaster.predictor))
                folder.read_metrics(out)
                seen.append(1)
            except RunError:
                pass  # no forecaster yet
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        train(config(springs, epochs=30, evaluate_every=1), out)
    finally:
        stop.set()
        reader.join()
    assert not wrong and len(seen) > 20
    with pytest.raises(RunError, match="--resume"):
        train(config(springs, epochs=30, evaluate_every=1), out)


def test_configs_survive_a_round_trip_and_refuse_unknown_fields():
    for model in (EstagConfig.released(4), ArLs()):
        before = RunConfig(model=model, split=SplitConfig(fractions=(0.5, 0.25, 0.25)))
        assert from_dict(RunConfig, json.loads(json.dumps(to_dict(before)))) == before
    with pytest.raises(ValueError, match="no field 'hiden'"):
        from_dict(RunConfig, {"model": {"type": "EstagConfig", "hiden": 3}})
    with pytest.raises(ValueError, match="'Other' is not one of"):
        from_dict(RunConfig, {"model": {"type": "Other"}})


@pytest.mark.distributed
def test_eight_devices_train_like_one(springs, tmp_path):
    """The same run in processes with one and with eight simulated devices."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); from helpers.springs import config;"
        "from estag_jax.runs.run import train; from estag_jax.io import write_json;"
        "train(config(sys.argv[1]), sys.argv[2])"
    )
    results = {}
    for devices in (1, 8):
        out = tmp_path / str(devices)
        subprocess.run(
            [sys.executable, "-c", code, str(springs), str(out)],
            env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
            cwd=ROOT,
            check=True,
        )
        results[devices] = folder.read_result(out)
        assert results[devices].rows[-1].device.startswith(f"{devices} ×")
    one, eight = (results[n].rows[-1].mse for n in (1, 8))
    assert eight == pytest.approx(one, rel=1e-3)
    assert estag_jax.load(tmp_path / "8").past == 4


def test_a_result_of_another_format_is_refused(tmp_path):
    for text in ("{}", "[]", '{"format": 99}', '{"format": 1, "rows": 3}'):
        (tmp_path / folder.RESULT).write_text(text)
        with pytest.raises(RunError, match="result.json"):
            folder.read_result(tmp_path)
    with pytest.raises(ValueError, match="format"):
        Result.from_dict(None)
