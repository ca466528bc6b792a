"""Forecasts of any number of windows by few compiled programs, for services that many call at once."""

from __future__ import annotations

import threading

import numpy as np

from estag_jax.graph import Array
from estag_jax.models import compiled
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.history import checked_history

MOST = 1024
"""Windows of a call of a compiled program."""

_COMPILING = threading.Lock()
"""Held while a program is compiled or started; else threads that come together would each compile it."""


def predict_many(forecaster: Forecaster, history: Array) -> np.ndarray:
    """Forecasts of any number of windows, from any number of threads.

    A batch is filled up to a power of two by its last window, so that there are at most 11 programs. Not for
    use within transformations of jax, where ``forecaster.predict`` is.

    Args:
      forecaster: see models.forecaster.
      history: past frames, oldest first [B, N, T, C, 3].

    Returns:
      [B, N, C, 3].

    Raises:
      ValueError: another shape, no real numbers, or NaN or infinity with its place.
    """
    system = forecaster.system
    expected = system.num_nodes, forecaster.past, system.channels, 3
    if np.ndim(history) != 5:
        raise ValueError(f"history has shape {np.shape(history)}, expected (windows, *{expected})")
    whole = np.asarray(checked_history(history, expected))
    found = [np.empty((0, *whole.shape[1:2], *whole.shape[3:]), whole.dtype)]
    for begin in range(0, len(whole), MOST):
        part = whole[begin : begin + MOST]
        width = 1 << (len(part) - 1).bit_length()
        filled = part[np.minimum(np.arange(width), len(part) - 1)]
        # Cut by numpy, where jax would compile a program for each number of windows.
        with _COMPILING:
            frames = compiled.predict(compiled.placed(forecaster), filled, forecaster.inputs)
        found.append(np.asarray(frames)[: len(part)])
    return np.concatenate(found)
