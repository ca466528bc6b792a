"""``fit``: losses, optimisers, callbacks, several systems, and what stops it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.springs import FULL, QUICK, SPLIT, WINDOW, frames, task, training

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.result import CALIBRATION
from estag_jax.models.base import Network
from estag_jax.models.estag import ESTAG, EstagConfig
from estag_jax.training import loop as fitting
from estag_jax.training.buckets import make_buckets, sizes
from estag_jax.training.callbacks import Callback, TrainingDiverged
from estag_jax.training.fit import fit
from estag_jax.training.losses import Batch, mae, rollout_mse

SMALL = EstagConfig(hidden=4, layers=1)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_training_lowers_the_validation_error():
    fitted = fit(SMALL, task(), train=training(30))
    assert fitted.validation_mse[0] < 0.5 * fitted.log[0]["validation_mse"]
    assert fitted.log[-1]["epoch"] == fitted.epochs == 30
    best = min(entry["validation_mse"] for entry in fitted.log)
    assert fitted.validation_mse[0] == pytest.approx(best)


def test_the_best_epoch_is_kept_and_not_the_last():
    class Worse(Callback):
        """Spoils the weights after the third evaluation."""

        def evaluated(self, loop, evaluation):
            if loop.epoch == 6:
                self.good = leaves(loop.state.variables)
                spoilt = jax.tree.map(lambda leaf: leaf * 1.5, loop.state.variables)
                loop.state = loop.state._replace(variables=spoilt)

    spoiler = Worse()
    fitted = fit(SMALL, task(), train=training(8), callbacks=[spoiler])
    assert fitted.best_epoch[0] == 6
    for a, b in zip(leaves(fitted.predictor.variables), spoiler.good, strict=True):
        np.testing.assert_array_equal(a, b[0])


def test_an_optimiser_and_a_loss_of_ones_own():
    def last_only(predict, batch):
        return jnp.mean((predict(batch.history) - batch.target[:, 0]) ** 2, axis=(1, 2, 3)) * 3

    of = task()
    plain = fit(QUICK, of, train=training(2), optimizer=optax.sgd(1e-2))
    tripled = fit(QUICK, of, train=training(2), optimizer=optax.sgd(1e-2 / 3), loss=last_only)
    for a, b in zip(
        leaves(plain.predictor.variables), leaves(tripled.predictor.variables), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    adam = fit(QUICK, of, train=training(2))
    assert not np.allclose(
        leaves(adam.predictor.variables)[0], leaves(plain.predictor.variables)[0]
    )
    assert tripled.log[0]["train_loss"] == pytest.approx(3 * plain.log[0]["train_loss"], rel=1e-3)


def test_a_loss_by_its_name():
    of = task()
    by_name, by_function, plain = (
        fit(QUICK, of, train=training(1), loss=loss).log[0]["train_loss"]
        for loss in ("mae", mae, None)
    )
    assert by_name == by_function != plain
    with pytest.raises(ValueError, match="'rolout'.*rollout"):
        fit(QUICK, of, loss="rolout")


def test_the_rollout_loss_feeds_forecasts_back():
    window = WindowConfig(past=4, delta=2, horizons=(1, 3))
    of = task(window=window)
    fitted = fit(QUICK, of, train=training(2))
    predictor, inputs = fitted.predictor, fitted.predictor.inputs(of.system)
    (windows,) = of.windows("validation")

    def predict(history):
        return predictor.predict(history, inputs)

    batch = Batch(jnp.asarray(windows.history), jnp.asarray(windows.target), inputs[1], (1, 3))
    history, found = windows.history, []
    for _ in range(3):
        found.append(np.asarray(predict(history)))
        history = np.concatenate([history[:, :, 1:], found[-1][:, :, None]], axis=2)
    one = ((found[0] - windows.target[:, 0]) ** 2).mean((1, 2, 3))
    three = ((found[2] - windows.target[:, 1]) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(rollout_mse(predict, batch), (one + three) / 2, rtol=1e-4)
    assert not np.allclose(one, three)
    assert set(evaluate(fitted, of).rows[0].metrics) == {"mse", "mse@3", *CALIBRATION}


def test_molecules_of_different_sizes_train_in_one_fit(monkeypatch):
    """In two buckets, compiled twice: not once for each of the four systems."""
    traced = []

    class Counting(ESTAG):
        def __call__(self, history, node_features, graph):
            traced.append(history.shape)
            return super().__call__(history, node_features, graph)

    of = task((3, 4, 4, 9), split=SPLIT)
    assert sizes(of) == [(5, 12), (4, 12), (4, 12), (9, 72)] or len(set(sizes(of))) <= 3
    fitted = fit(Network(Counting(SMALL)), of, train=training(20))
    programs = len(make_buckets(of, "one-hot"))
    # For each bucket: initialisation (once), the step with its gradient, and the validation forecast.
    assert len(set(traced)) <= 1 + 2 * programs
    assert len(traced) <= 1 + 4 * programs
    assert fitted.validation_mse[0] < 0.7 * fitted.log[0]["validation_mse"]
    found = evaluate(fitted, of).rows[0]
    assert np.isfinite(found.mse)


def test_padding_changes_nothing_that_is_trained():
    """Two systems of one size train alike, whether a bucket pads them or not."""
    given = [Trajectory.from_arrays(frames(4, seed=s)) for s in (1, 2)]
    of = Task(given, WINDOW, SPLIT, FULL)
    plain = fit(SMALL, of, train=training(2))
    original = fitting.sizes, fitting.make_buckets
    try:
        from estag_jax.training import buckets

        buckets_sizes = buckets.sizes
        buckets.sizes = fitting.sizes = lambda task: [(6, 14)] * 2
        padded = fit(SMALL, of, train=training(2))
    finally:
        buckets.sizes = buckets_sizes
        fitting.sizes, fitting.make_buckets = original
    assert padded.validation_mse[0] == pytest.approx(plain.validation_mse[0], rel=1e-4)
    for a, b in zip(
        leaves(plain.predictor.variables), leaves(padded.predictor.variables), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_patience_ends_training_and_a_step_of_nothing_is_never_better():
    fitted = fit(QUICK, task(), train=training(60, patience=2), optimizer=optax.sgd(0.0))
    assert fitted.epochs == 6 and fitted.best_epoch[0] == 2


def test_one_seed_that_diverges_does_not_stop_the_others():
    class Spoil(Callback):
        def evaluated(self, loop, evaluation):
            if loop.epoch == 2:
                bad = jax.tree.map(lambda leaf: leaf.at[1].set(jnp.nan), loop.state.variables)
                loop.state = loop.state._replace(variables=bad)

    fitted = fit(QUICK, task(), seeds=(1, 2), train=training(8), callbacks=[Spoil()])
    assert fitted.epochs == 8
    assert fitted.best_epoch[1] == 2 and fitted.best_epoch[0] > 2
    assert np.isfinite(fitted.validation_mse).all()
    alone = fit(QUICK, task(), seeds=(1,), train=training(8))
    assert fitted.validation_mse[0] == pytest.approx(alone.validation_mse[0], rel=1e-4)


def test_divergence_is_one_line_with_the_remedy():
    with pytest.raises(TrainingDiverged, match="by epoch 2 .*learning-rate") as raised:
        fit(QUICK, task(), train=training(8, learning_rate=1e30))
    assert "\n" not in str(raised.value)


def test_a_model_that_starts_from_the_data_gets_the_task():
    class FromData(ESTAG):
        def data_init(self, variables, task):
            (windows,) = task.windows("train")
            weights = jnp.full(3, float(windows.target.mean()))
            return {"params": variables["params"] | {"pooling": {"weights": weights}}}

    of = task()
    fitted = fit(FromData(SMALL), of, train=training(2), optimizer=optax.sgd(0.0))
    (windows,) = of.windows("train")
    weights = fitted.predictor.variables["params"]["pooling"]["weights"]
    np.testing.assert_allclose(weights, windows.target.mean(), rtol=1e-5)


def test_what_cannot_be_fitted_is_said_before_anything_is_compiled():
    with pytest.raises(ValueError, match="STGCN cannot take the trajectory: .*"):
        fit("STGCN", task((3, 5)))
    with pytest.raises(ValueError, match="VAR ridge .* several"):
        fit("var-ridge", task((3, 5)))
    with pytest.raises(ValueError, match="no method 'var-rigde', did you mean"):
        fit("var-rigde", task())
    with pytest.raises(ValueError, match=r"\[1, 1\] name one twice"):
        fit(SMALL, task(), seeds=(1, 1))
    with pytest.raises(TypeError, match="epoch"):
        fit(SMALL, task(), epoch=3)


def test_float64_data_train_in_float64():
    with jax.enable_x64(True):
        fitted = fit(SMALL, task(dtype=np.float64), train=training(2))
        assert {leaf.dtype for leaf in leaves(fitted.predictor.variables)} == {np.dtype("float64")}
