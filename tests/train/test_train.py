"""Training: what is computed, what is kept, and what happens when it is interrupted."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import TrainingDiverged
from helpers.paths import ROOT

import estag_jax
from estag_jax.config import from_dict, to_dict
from estag_jax.data.graphs import GraphConfig
from estag_jax.data.splits import SplitConfig
from estag_jax.data.windows import WindowConfig, gather
from estag_jax.models.estag import ESTAG, EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.runs import folder as runfiles
from estag_jax.runs.run import load_run, train
from estag_jax.train.settings import RunConfig, TrainConfig, make_optimizer
from estag_jax.train.step import init_state, make_epoch, make_errors


@pytest.fixture
def springs(tmp_path):
    """A file with three bodies on springs, 400 frames: enough for small blocked windows."""
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(3, 3)) * 2
    x, v = rest + 0.3 * rng.normal(size=(3, 3)), np.zeros((3, 3))
    frames = []
    for _ in range(400):
        v = v - 0.05 * (x - rest)
        x = x + 0.3 * v
        frames.append(x.copy())
    path = tmp_path / "springs.npy"
    np.save(path, np.array(frames, np.float32))
    return path


def config(path, epochs=4, **model):
    return RunConfig(
        data=str(path),
        window=WindowConfig(past=4, delta=2),
        split=SplitConfig(train=23, validation=20, test=20),
        graph=GraphConfig(kind="full"),
        model=EstagConfig(hidden=4, layers=1, **model),
        train=TrainConfig(epochs=epochs, batch=7, evaluate_every=2),
    )


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_an_epoch_is_plain_adam_on_the_mean_squared_error(springs):
    """Against a loop in plain Python over single windows, with the same shuffle."""
    experiment = Experiment.prepare(config(springs))
    data, settings = experiment.dataset, experiment.config.train
    starts, optimizer = experiment.starts("train"), make_optimizer(settings)
    variables = experiment.init_variables()
    key = jax.random.key(3)
    epoch = make_epoch(
        experiment.model, optimizer, WindowConfig(4, 2), settings.batch, experiment.mesh
    )
    state, loss = jax.jit(epoch)(init_state(variables, optimizer), key, jnp.int32(5), starts, data)

    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, 5), starts))
    expected, opt_state, losses = variables, optax.adam(5e-3).init(variables), []
    optimizer = optax.adam(5e-3)

    @jax.jit
    def one(variables, history, target):
        out = experiment.model.apply(variables, history, data.node_features, data.topology)
        return jnp.mean((out - target) ** 2)

    for i in range(0, len(order), settings.batch):
        batch = order[i : i + settings.batch]
        history, target = gather(experiment.trajectory.positions, batch, experiment.config.window)
        pairs = [
            jax.value_and_grad(one)(expected, h, t) for h, t in zip(history, target, strict=True)
        ]
        losses += [float(value) for value, _ in pairs]
        gradient = jax.tree.map(lambda *g: sum(g) / len(g), *[g for _, g in pairs])
        updates, opt_state = optimizer.update(gradient, opt_state)
        expected = optax.apply_updates(expected, updates)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    for a, b in zip(leaves(state.variables), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


def test_errors_of_windows_do_not_depend_on_the_batch(springs):
    experiment = Experiment.prepare(config(springs))
    variables, starts = experiment.init_variables(), experiment.starts("validation")
    results = [
        np.asarray(
            make_errors(experiment.model, WindowConfig(4, 2), batch)(
                variables, starts, experiment.dataset
            )
        )
        for batch in (1, 7, 20, 500)
    ]
    assert results[0].shape == starts.shape
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5)


def test_a_resumed_run_repeats_an_uninterrupted_one_bit_for_bit(springs, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    straight = train(config(springs, epochs=8), whole)
    train(config(springs, epochs=4), halves)
    resumed = train(config(springs, epochs=8), halves, resume=True)
    for a, b in zip(leaves(straight.variables), leaves(resumed.variables), strict=True):
        assert np.array_equal(a, b)
    strip = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in runfiles.read_metrics(path)]
        for path in (whole / runfiles.METRICS, halves / runfiles.METRICS)
    ]
    assert strip[0] == strip[1]
    assert [line["epoch"] for line in strip[0]] == [2, 4, 6, 8]
    assert straight.result["rows"] == resumed.result["rows"]


def test_a_run_leaves_its_files_and_a_forecaster(springs, tmp_path):
    out = tmp_path / "run"
    finished = train(config(springs), out)
    result = json.loads((out / runfiles.RESULT).read_text())
    assert result["status"] == "finished"
    assert {"compile", "train", "total"} <= set(result["seconds"])
    assert result["versions"]["jax"] == jax.__version__
    names = [row["name"] for row in result["rows"]]
    assert names[-1] == "estag" and {"Last frame", "AR-LS", "VAR ridge"} <= set(names)
    assert from_dict(RunConfig, result["config"]) == config(springs)
    assert not list(out.rglob("*.partial"))

    experiment, variables, best = load_run(out)
    assert best == finished.result["best"]
    history, target = experiment.windows("test")
    forecaster = estag_jax.load(out)
    predicted = jax.vmap(forecaster.predict)(history)
    mse = np.mean((np.asarray(predicted, float) - target) ** 2)
    assert mse == pytest.approx(result["rows"][-1]["test_mse"], rel=1e-4)


def test_the_forecaster_is_jittable_differentiable_and_consistent(springs, tmp_path):
    train(config(springs), tmp_path / "run")
    forecaster = estag_jax.load(tmp_path / "run")
    frames = np.load(springs)
    history = forecaster.history(frames, 10)
    np.testing.assert_array_equal(history[:, :, 0], frames[10:18:2].swapaxes(0, 1))
    path = jax.jit(forecaster.rollout, static_argnums=1)(history, 3)
    step = history
    for frame in path:
        np.testing.assert_allclose(frame, forecaster.predict(step), rtol=1e-5, atol=1e-5)
        step = jnp.concatenate([step[:, 1:], frame[:, None]], axis=1)
    gradient = jax.grad(lambda h: jnp.sum(forecaster.rollout(h, 3) ** 2))(history)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    batch = jnp.stack([history, history + 1.0])
    np.testing.assert_allclose(
        jax.vmap(forecaster.predict)(batch)[1], forecaster.predict(history + 1.0), atol=1e-5
    )
    with pytest.raises(ValueError, match="needs 402 frames"):
        forecaster.history(frames, 395)
    with pytest.raises(ValueError, match="expected"):
        forecaster.history(frames[:, :2])


def test_divergence_keeps_the_last_good_checkpoint(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    # A far too large step after the resume; the settings on disk are made to agree.
    wild = dataclasses.replace(
        config(springs, epochs=40),
        train=TrainConfig(epochs=40, batch=7, evaluate_every=2, learning_rate=1e30),
    )
    runfiles.write_json(out / runfiles.CONFIG, to_dict(wild))
    with pytest.raises(TrainingDiverged, match=r"diverged by epoch \d+ .*epoch \d+ is kept; lower"):
        train(wild, out, resume=True)
    _, variables, best = load_run(out)
    assert np.isfinite(best["validation_mse"])
    assert all(np.isfinite(leaf).all() for leaf in leaves(variables))


def test_a_folder_is_not_overwritten_by_accident(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    with pytest.raises(runfiles.RunError, match="--resume .* --overwrite"):
        train(config(springs, epochs=2), out)
    with pytest.raises(runfiles.RunError, match=r"other settings \(model.hidden\)"):
        other = dataclasses.replace(config(springs), model=EstagConfig(hidden=5, layers=1))
        train(other, out, resume=True)
    train(config(springs, epochs=2), out, overwrite=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(runfiles.RunError, match="holds no run"):
            train(config(springs), tmp_path / "full", **flags)


def test_changed_data_are_noticed_on_resume(springs, tmp_path):
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    frames = np.load(springs)
    np.save(springs, frames + np.float32(0.5))
    with pytest.raises(runfiles.RunError, match="is not what"):
        train(config(springs, epochs=4), out, resume=True)
    with pytest.raises(runfiles.RunError, match="is not what"):
        load_run(out)


def test_damaged_and_missing_runs_are_one_line(springs, tmp_path):
    with pytest.raises(runfiles.RunError, match="is .* the folder of a run"):
        estag_jax.load(tmp_path)
    out = tmp_path / "run"
    train(config(springs, epochs=2), out)
    (out / runfiles.SYSTEM).write_bytes(b"PK broken")
    with pytest.raises(runfiles.RunError, match="damaged"):
        estag_jax.load(out)
    (out / runfiles.CONFIG).write_text("{")
    with pytest.raises(runfiles.RunError, match="not JSON"):
        estag_jax.load(out)


def test_configs_survive_a_round_trip_and_refuse_unknown_fields():
    for model in (EstagConfig.reference(4), StEgnnConfig(layers=3)):
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
        "import sys, tests.test_train as t; from estag_jax.runs.run import train;"
        "train(t.config(sys.argv[1]), sys.argv[2])"
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
        results[devices] = json.loads((out / runfiles.RESULT).read_text())
        assert results[devices]["device"]["count"] == devices
    one, eight = (results[n]["rows"][-1]["test_mse"] for n in (1, 8))
    assert eight == pytest.approx(one, rel=1e-3)
    assert estag_jax.load(tmp_path / "8").past == 4


def test_float64_data_train_in_float64(springs, tmp_path):
    np.save(springs, np.load(springs).astype(np.float64))
    # Globally, as a user does: orbax restores in threads of its own, which a context does not reach.
    jax.config.update("jax_enable_x64", True)
    try:
        finished = train(config(springs, epochs=2), tmp_path / "run")
    finally:
        jax.config.update("jax_enable_x64", False)
    assert {leaf.dtype for leaf in leaves(finished.variables)} == {np.dtype(np.float64)}


def test_a_model_that_starts_from_the_data_gets_the_training_windows(springs):
    experiment = Experiment.prepare(config(springs))

    class FromData(ESTAG):
        def data_init(self, variables, history, target):
            weights = jnp.full(3, np.mean(target) + history.shape[0], jnp.float32)
            params = variables["params"] | {"pooling": {"weights": weights}}
            return {"params": params}

    experiment = dataclasses.replace(experiment, model=FromData(experiment.config.model))
    started = experiment.init_variables()["params"]["pooling"]["weights"]
    _, target = experiment.windows("train")
    np.testing.assert_allclose(started, np.mean(target) + 23, rtol=1e-5)
