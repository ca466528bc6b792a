"""What a forecaster computes, compiled once for each number of windows.

Operation by operation a forecast takes a hundred times as long, and a rollout is compiled at every call.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp

from estag_jax.graph import Array
from estag_jax.models.base import Predictor
from estag_jax.models.error_bars import Distribution, ErrorBars
from estag_jax.ops import rollout as ops

if TYPE_CHECKING:
    from estag_jax.models.forecaster import Forecaster

_PLACED: WeakKeyDictionary[Forecaster, dict[Any, Predictor]] = WeakKeyDictionary()


def placed(forecaster: Forecaster) -> Predictor:
    """The predictor with jax's arrays, kept with the forecaster: else each call would convert numpy's."""
    predictor = forecaster.predictor
    there = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(predictor))  # or traced
    if there or not predictor.compiled:
        return predictor
    kept, precision = _PLACED.setdefault(forecaster, {}), jnp.result_type(float)
    if precision not in kept:
        with jax.ensure_compile_time_eval():
            kept[precision] = jax.tree.map(jnp.asarray, predictor)
    return kept[precision]


@jax.jit
def predict(predictor: Predictor, history: jax.Array, inputs: Any) -> jax.Array:
    """The next frame [B, N, C, 3] after histories [B, N, T, C, 3]."""
    return predictor.predict(history, inputs)


@partial(jax.jit, static_argnames="joint")
def distribution(
    bars: ErrorBars, history: jax.Array, forecast: jax.Array, joint: bool
) -> Distribution:
    """Error bars of forecasts [B, N, C, 3], see ErrorBars.distribution."""
    return bars.distribution(history, forecast, joint)


def path(
    predictor: Predictor,
    history: Array,
    inputs: Any,
    bars: ErrorBars | None,
    noise: Array | None,
    steps: int,
) -> Array:
    """The next frames [steps, B, N, C, 3]; with error bars, each with the error that its noise says; pure."""
    disturb = None if bars is None else bars.draw
    return ops.rollout(lambda h: predictor.predict(h, inputs), history, steps, noise, disturb)


@partial(jax.jit, static_argnames=("steps", "samples"))
def rollout(
    predictor: Predictor,
    history: jax.Array,
    inputs: Any,
    bars: ErrorBars | None,
    key: jax.Array,
    steps: int,
    samples: int | None,
) -> jax.Array:
    """The next frames [steps, B, N, C, 3], or K paths [K, steps, B, N, C, 3] with drawn errors."""
    if samples is None:
        return path(predictor, history, inputs, None, None, steps)

    def drawn(key: jax.Array) -> jax.Array:
        shape = (steps, *history.shape[:2], *history.shape[3:-1], 6)
        noise = jax.random.normal(key, shape, history.dtype)
        return path(predictor, history, inputs, bars, noise, steps)

    return jax.vmap(drawn)(jax.random.split(key, samples))
