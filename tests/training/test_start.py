"""Networks that start from a closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import jolted, task, training

import estag_jax
from estag_jax.data.settings import WindowConfig
from estag_jax.data.splits import Split
from estag_jax.models.autoregression import ArLs
from estag_jax.models.linear import LinearPredictor
from estag_jax.models.started import Started, StartedPredictor
from estag_jax.training.fit import fit
from estag_jax.training.start import FOLDS, folds, remaining


class Drift(nn.Module):
    """The last frame and a learned multiple of the last step."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        weight = self.param("weight", nn.initializers.ones, (), history.dtype)
        return history[:, :, -1] + 0.1 * weight * (history[:, :, -1] - history[:, :, -2])


class Leaning(nn.Module):
    """A network that knows a direction: a negative control."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        weight = self.param("weight", nn.initializers.ones, (3,), history.dtype)
        return history[:, :, -1] + 0.01 * weight * jnp.arange(3.0, dtype=history.dtype)


def test_folds_cover_all_windows_and_share_no_frame_with_the_rest():
    of = jolted()
    starts = of.splits[0].train
    seen = []
    for held, apart in folds(starts, of.window.span):
        seen += held.tolist()
        one, other = (
            {s + k for s in starts[part] for k in range(of.window.span + 1)}
            for part in (held, apart)
        )
        assert len(apart) and one.isdisjoint(other)
    assert sorted(seen) == list(range(len(starts)))


def test_targets_are_what_fits_leave_that_have_not_seen_the_window():
    """One block by hand: a least-squares fit to the windows that share no frame with it."""
    of = jolted()
    left = remaining(of, ArLs(), ArLs().fit(of))
    (windows,), (ours,) = of.windows("train"), left.windows("train")
    np.testing.assert_array_equal(ours.history, windows.history)
    starts = of.splits[0].train
    held = np.argsort(starts)[: len(starts) // FOLDS]
    apart = starts > starts[held].max() + of.window.span

    def steps(which):
        x, y = windows.history[which], windows.target[which, 0]
        return np.moveaxis(x[:, :, :-1] - x[:, :, -1:], 2, -1), y - x[:, :, -1]

    design, move = steps(apart)
    weights = np.linalg.lstsq(design.reshape(-1, 3), move.reshape(-1), rcond=None)[0]
    design, move = steps(held)
    expected = windows.history[held][:, :, -1] + move - design @ weights
    np.testing.assert_allclose(ours.target[held, 0], expected, atol=1e-10)
    whole = np.linalg.lstsq(
        steps(slice(None))[0].reshape(-1, 3), steps(slice(None))[1].reshape(-1), rcond=None
    )[0]
    assert np.abs(ours.target[held, 0] - expected - design @ (weights - whole)).max() > 1e-6

    (windows,), (ours,) = of.windows("validation"), left.windows("validation")
    forecast = windows.history[:, :, -1] + np.einsum(
        "t,wntcx->wncx", whole, windows.history[:, :, :-1] - windows.history[:, :, -1:]
    )
    expected = windows.history[:, :, -1] + windows.target[:, 0] - forecast
    np.testing.assert_allclose(ours.target[:, 0], expected, atol=1e-10)


def test_the_forecaster_adds_the_network_to_the_closed_form_of_all_windows(tmp_path):
    of = jolted()
    fitted = fit(Leaning(), of, start="var-ridge", train=training(4), seeds=(1, 2))
    assert fitted.label == "Leaning (from VAR ridge)" and len(fitted.predictors) == 2
    assert isinstance(fitted.method, Started) and fitted.task is of
    one = fitted.predictor
    (windows,) = of.windows("validation")
    x = windows.history
    base = fit("VAR ridge", of).predictor
    inputs = one.network.inputs(of.system)
    expected = base.predict(x) + np.asarray(one.network.predict(x, inputs)) - x[:, :, -1]
    forecaster = fitted.forecaster
    np.testing.assert_allclose(forecaster.predict(x), expected, atol=2e-5)
    error = np.mean((np.asarray(forecaster.predict(x)) - windows.target[:, 0]) ** 2)
    assert error == pytest.approx(fitted.validation_mse.min(), rel=1e-3)

    forecaster.save(tmp_path / "both.npz")
    again = estag_jax.load(tmp_path / "both.npz", method=Leaning())
    assert again.method == fitted.method and again.chosen == pytest.approx(fitted.chosen)
    predict = jax.jit(lambda f, h: f.predict(h))
    np.testing.assert_allclose(predict(again, x), forecaster.predict(x), atol=2e-5)
    np.testing.assert_allclose(
        jax.vmap(again.predict)(jnp.asarray(x)), forecaster.predict(x), atol=2e-5
    )
    path = jax.jit(lambda f, h: f.rollout(h, 3))(again, x[0])
    np.testing.assert_allclose(path[0], forecaster.predict(x[0]), atol=2e-5)
    slope = jax.grad(lambda h: again.predict(h).sum())(jnp.asarray(x[0]))
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0
    row = estag_jax.evaluate(fitted, of).rows[0]
    assert row.parameters == one.network.parameters + base.parameters


def test_both_parts_turn_with_the_window():
    of = jolted()
    predict = jax.jit(lambda f, h: f.predict(h))
    with jax.enable_x64(True):
        for network, equivariant in ((Drift(), True), (Leaning(), False)):
            fitted = fit(network, of, start="frame-ridge", train=training(2))
            (windows,) = of.windows("test")
            x = jnp.asarray(windows.history, jnp.float64)
            rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
            forecast = np.asarray(predict(fitted.forecaster, x))
            assert np.abs(forecast - x[:, :, -1]).max() > 1e-3
            for turn in (rotation, -rotation):
                moved = np.asarray(predict(fitted.forecaster, x @ turn + 3.0))
                off = np.abs(moved - (forecast @ turn + 3.0)).max()
                assert (off < 1e-6) == equivariant


def test_systems_are_trained_together():
    several = task((3, 4))
    fitted = fit(Leaning(), several, start="AR-LS", train=training(2))
    assert isinstance(fitted.predictor, StartedPredictor)
    assert estag_jax.evaluate(fitted, several).rows[0].mse > 0
    left = remaining(several, ArLs(), ArLs().fit(several))
    for before, after in zip(several.windows("train"), left.windows("train"), strict=True):
        np.testing.assert_array_equal(before.history, after.history)


def test_what_cannot_be_a_start_is_one_line():
    with pytest.raises(ValueError, match="start takes a closed form .*; ESTAG is none"):
        fit(Drift(), task(), start="ESTAG")
    with pytest.raises(ValueError, match="cannot start from VAR ridge: it has weights"):
        fit(Drift(), task((3, 4)), start="var-ridge")
    ahead = task(window=WindowConfig(past=4, delta=2, horizons=(1, 2)))
    with pytest.raises(ValueError, match="several horizons"):
        fit(Drift(), ahead, start="AR-LS")
    crowded = jolted(split=[Split(np.arange(5), np.arange(50, 60), np.arange(90, 99), "given")])
    with pytest.raises(ValueError, match="shares a frame with the same block"):
        fit(Drift(), crowded, start="AR-LS")


def test_a_linear_start_leaves_a_linear_network_nothing():
    """ESTAG without layers is AR-LS by gradient descent: from AR-LS its weights stay near zero."""
    of = jolted()
    base = fit("AR-LS", of)
    fitted = fit("ESTAG without layers", of, start="AR-LS", epochs=60, learning_rate=1e-2)
    assert isinstance(base.predictor, LinearPredictor)
    assert fitted.validation_mse[0] == pytest.approx(base.validation_mse[0], rel=0.02)
    (windows,) = of.windows("test")
    x, inputs = windows.history, fitted.predictor.network.inputs(of.system)
    added = np.asarray(fitted.predictor.network.predict(x, inputs)) - x[:, :, -1]
    step = base.predictor.predict(x) - x[:, :, -1]
    assert 0 < np.square(added).mean() < 0.02 * np.square(step).mean()
