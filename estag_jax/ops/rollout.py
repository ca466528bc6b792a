"""Forecasts of many frames: a predictor fed with its own forecasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array

Predict = Callable[[Array], Array]
"""From a history [..., N, T, C, 3] to the next frame [..., N, C, 3]."""


Disturb = Callable[[Array, Array, Array], Array]
"""From a history, the forecast after it and random numbers to a disturbed forecast."""


def rollout(
    predict: Predict,
    history: Array,
    steps: int,
    noise: Array | None = None,
    disturb: Disturb | None = None,
) -> Array:
    """Predicts ``steps`` frames, each from the T frames before it.

    Pure: may be jitted, differentiated and vmapped. A jax array is rolled out in one lax.scan, a numpy
    array in a plain loop, for which nothing is compiled.

    Args:
      predict: one-step forecaster.
      history: past frames [..., N, T, C, 3].
      steps: how many frames to predict.
      noise: random numbers of each step [steps, ...], for ``disturb``.
      disturb: what makes of each forecast the frame that is fed back; None feeds the forecast back.

    Returns:
      [steps, ..., N, C, 3].

    Example:
      >>> history = np.arange(2.0).reshape(1, 2, 1, 1) + np.zeros(3)  # one node, at 0 and then at 1
      >>> frames = rollout(lambda h: 2 - h[..., -2, :, :], history, steps=4)
      >>> frames[:, 0, 0, 0].tolist()
      [2.0, 1.0, 0.0, 1.0]
    """
    return rollout_with(lambda h, _: (predict(h), None), history, None, steps, noise, disturb)[0]


def rollout_with(
    predict: Callable[[Array, Any], tuple[Array, Any]],
    history: Array,
    state: Any,
    steps: int,
    noise: Array | None = None,
    disturb: Disturb | None = None,
) -> tuple[Array, Any]:
    """:func:`rollout` with a state that is handed on from step to step, a list of neighbours for example.

    Args:
      predict: from a history and the state to the next frame and the next state.
      history, steps, noise, disturb: as for rollout.
      state: before the first step.

    Returns:
      The frames [steps, ..., N, C, 3] and the state after the last step.
    """

    def following(history: Array, state: Any, numbers: Array | None) -> tuple[Array, Any]:
        frame, state = predict(history, state)
        return frame if disturb is None else disturb(history, frame, numbers), state

    if isinstance(history, np.ndarray):
        frames = []
        for i in range(steps):
            frame, state = following(history, state, None if noise is None else noise[i])
            frames.append(frame)
            history = _shifted(np, history, frame)
        return np.stack(frames), state

    def step(carry, numbers):
        history, state = carry
        frame, state = following(history, state, numbers)
        return (_shifted(jnp, history, frame), state), frame

    (_, state), frames = jax.lax.scan(step, (history, state), noise, length=steps)
    return frames, state


def at_horizons(predict: Predict, history: Array, horizons: Sequence[int]) -> Array:
    """The frames at the horizons of a window: the first by one forecast, the others fed back.

    The steps are written out one after the other, for few of them.

    Args:
      predict: from a history to the frame at the first horizon.
      history: past frames [B, N, T, C, 3].
      horizons: increasing; of several the first is 1.

    Returns:
      [B, P, N, C, 3].
    """
    xp = np if isinstance(history, np.ndarray) else jnp
    frames = [predict(history)]
    for _ in range(horizons[-1] - horizons[0] if len(horizons) > 1 else 0):
        history = _shifted(xp, history, frames[-1])
        frames.append(predict(history))
    chosen = [frames[horizon - horizons[0]] for horizon in horizons]
    return xp.stack(chosen, axis=-4)


def _shifted(xp, history: Array, frame: Array) -> Array:
    """The history one frame later: without its first frame, the new one behind."""
    frame = xp.asarray(frame, history.dtype)[..., None, :, :]
    return xp.concatenate([history[..., 1:, :, :], frame], axis=-3)
