"""Forecasts of many frames: a predictor fed with its own forecasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """

    def following(history: Array, numbers: Array | None) -> Array:
        frame = predict(history)
        return frame if disturb is None else disturb(history, frame, numbers)

    if isinstance(history, np.ndarray):
        frames = []
        for i in range(steps):
            frames.append(following(history, None if noise is None else noise[i]))
            history = _shifted(np, history, frames[-1])
        return np.stack(frames)

    def step(history, numbers):
        frame = following(history, numbers)
        return _shifted(jnp, history, frame), frame

    return jax.lax.scan(step, history, noise, length=steps)[1]


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
