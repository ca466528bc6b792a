"""Forecasters of networks that were not trained."""

import jax
import jax.numpy as jnp

from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.models.forecaster import Forecaster
from estag_jax.testing import randomize


def histories(of, part="test"):
    """The past frames of a part of a task of one system."""
    (windows,) = of.windows(part)
    return windows.history


def with_random_weights(config, of):
    """As after training, without the time that it takes."""
    module, inputs = config.build(), network_inputs(of.system, config.elements)
    shapes = jax.eval_shape(module.init, jax.random.key(0), histories(of)[:1], *inputs)
    variables = jax.tree.map(jnp.asarray, randomize(shapes))
    predictor = NetworkPredictor(variables, module, config.elements)
    return Forecaster.bind(predictor, config, of.trajectories[0], of.window)
