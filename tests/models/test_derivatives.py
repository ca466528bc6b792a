"""Derivatives of forecasts in both modes, first and second, beside finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import task, training

from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.models.estag import EstagConfig
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.testing import randomize
from estag_jax.training.loop import Loop

pytestmark = pytest.mark.usefixtures("x64")

ESTAG = EstagConfig(hidden=4, layers=1)
ST_EGNN = StEgnnConfig(hidden=4, layers=1)
CHUNKS = StEgnnConfig(hidden=4, layers=1, edges_at_once=4)


def forecast(config, steps=1, fast=False):
    """A function of a history with a value, that history, and two directions."""
    of, rng = task(dtype=np.float64), np.random.default_rng(2)
    features, graph = network_inputs(of.system, config.elements)
    history = jnp.asarray(next(of.windows("test")).history[0])
    module = config.build()
    variables = module.init(jax.random.key(0), history[None], features, graph)
    variables = randomize(variables, jax.random.key(1))
    if fast:
        module = module.clone(features_first=True)

        def value(history):
            return (module.apply(variables, history[None], features, graph) ** 2).sum()

    else:
        predictor = NetworkPredictor(variables, module, config.elements)
        forecaster = Forecaster.bind(predictor, config, of.trajectories[0], of.window)

        def value(history):
            return (forecaster.rollout(history, steps) ** 2).sum()

    directions = rng.normal(size=(2, *history.shape))
    return jax.jit(value), history, *map(jnp.asarray, directions)


@pytest.mark.parametrize(
    "config, steps",
    [pytest.param(ESTAG, 2, marks=pytest.mark.slow), (ST_EGNN, 1)],
    ids=["rollout of ESTAG", "forecast of ST_EGNN"],
)
def test_forward_mode_and_hessians_are_finite_differences(config, steps):
    value, history, along, other = forecast(config, steps)
    slope, curve = jax.jit(
        lambda h: jax.jvp(lambda h: jax.jvp(value, (h,), (along,))[1], (h,), (other,))
    )(history)
    ahead, back = value(history + 1e-6 * along), value(history - 1e-6 * along)
    np.testing.assert_allclose(slope, (ahead - back) / 2e-6, rtol=1e-6)
    gradient = jax.jit(jax.grad(value))
    ahead, back = gradient(history + 1e-6 * along), gradient(history - 1e-6 * along)
    times = (ahead - back) / 2e-6
    np.testing.assert_allclose(curve, jnp.vdot(times, other), rtol=1e-5)
    for product in (
        lambda h: jax.jvp(jax.grad(value), (h,), (along,))[1],
        jax.grad(lambda h: jnp.vdot(jax.grad(value)(h), along)),
    ):
        np.testing.assert_allclose(
            jax.jit(product)(history), times, rtol=1e-4, atol=1e-5 * abs(times).max()
        )


@pytest.mark.parametrize("config, fast", [(CHUNKS, False), (ST_EGNN, True)], ids=["chunks", "fast"])
def test_where_forward_mode_is_refused_reverse_mode_gives_hessians(config, fast):
    value, history, along, _ = forecast(config, fast=fast)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(value, (history,), (along,))
    gradient = jax.jit(jax.grad(value))
    ahead, back = gradient(history + 1e-6 * along), gradient(history - 1e-6 * along)
    times = (ahead - back) / 2e-6
    found = jax.jit(jax.grad(lambda h: jnp.vdot(jax.grad(value)(h), along)))(history)
    np.testing.assert_allclose(found, times, rtol=1e-4, atol=1e-5 * abs(times).max())


def test_a_loss_may_take_forward_mode_in_training():
    """Of a network that is computed by its fast path otherwise."""

    def smooth(predict, batch):
        ones = jnp.ones_like(batch.history)
        frame, shift = jax.jvp(predict, (batch.history,), (ones,))
        return ((frame - batch.target[:, 0]) ** 2).mean((1, 2, 3)) + ((shift - 1) ** 2).mean(
            (1, 2, 3)
        )

    of = task(dtype=np.float64)
    loop = Loop("ST_EGNN", ST_EGNN, of, (1,), training(), smooth)
    (loss,) = loop.run_epoch(loop.compile())
    # Forecasts move with the history, so the second term is rounding alone.
    plain = Loop("ST_EGNN", ST_EGNN, of, (1,), training())
    np.testing.assert_allclose(loss, plain.run_epoch(plain.compile())[0], rtol=1e-10)
