"""What the Fourier filters of a network pick, and whether that is where the motion has its peaks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from estag_jax.data.task import Task
from estag_jax.models.base import NetworkPredictor, Predictor
from estag_jax.models.estag import EDFTFeatures


class Score(NamedTuple):
    """How filters and power go together.

    Args:
      value: the mean correlation over nodes, between -1 and 1.
      p: the probability of as large a value where the peaks lie anywhere.
      null: the values of the surrogates [S].
    """

    value: float
    p: float
    null: np.ndarray


def learned_filters(predictor: Predictor, task: Task) -> np.ndarray | None:
    """w_k of each node of the first system [N, T - 1]; None for methods without Fourier filters.

    Args:
      predictor: of one seed.
      task: its systems; the filters depend on the kind of a node and on no frame.
    """
    if not isinstance(predictor, NetworkPredictor):
        return None
    history = next(task.windows("test", 1)).history
    inputs: Any = predictor.inputs(task.systems[0])

    def is_filter(module: Any, method: str) -> bool:
        return module.name == "filter" and isinstance(module.parent, EDFTFeatures)

    _, seen = predictor.module.apply(
        predictor.variables,
        np.asarray(history),
        *inputs,
        capture_intermediates=is_filter,
        mutable=["intermediates"],
    )
    found = seen.get("intermediates", {}).get("edft")
    if found is None:
        return None
    raw = np.asarray(found["filter"]["__call__"][0], np.float64)[0]  # of the one graph
    return 1 / (1 + np.exp(-raw.reshape(len(raw), -1)))


def window_response(frequencies: np.ndarray, past: int) -> np.ndarray:
    """How the power at a frequency spreads over the T - 1 bins of a window's transform.

        D_k(f) = |Σ_t exp(2πi (f - k / T) t)|² / T²

    Args:
      frequencies: [F] in cycles a frame.
      past: T.

    Returns:
      [T - 1, F], k = 1 … T - 1.
    """
    bins, frames = np.arange(1, past) / past, np.arange(past)
    phase = 2j * np.pi * (np.asarray(frequencies)[None] - bins[:, None])[..., None] * frames
    return np.abs(np.exp(phase).sum(axis=-1)) ** 2 / past**2


def peak_score(
    filters: np.ndarray,
    power: np.ndarray,
    frequencies: np.ndarray,
    surrogates: int,
    seed: int = 0,
) -> Score:
    """Whether filters weigh those frequencies most at which their nodes move most.

    Filters become functions of the frequency, g_i(f) = Σ_k (w_ik - mean_k w_ik) D_k(f), and the logarithm
    of the power is smoothed to what a window of T frames resolves. The score is the correlation of both over
    f, averaged over nodes. The null: surrogates of the smoothed power along the frequency axis with the same
    Fourier amplitudes and random phases, the same for all nodes (Theiler et al. 1992). Their peaks are as
    wide and as high, and lie elsewhere. p counts the surrogates that reach the score, the data as one of
    them.

    Args:
      filters: w [N, T - 1].
      power: of each node [N, F].
      frequencies: evenly spaced from 0 to half a cycle a frame [F].
      surrogates: S.
      seed: of the phases.

    Returns:
      The score; 0 with p = 1 where all filters are flat.
    """
    response = window_response(frequencies, filters.shape[1] + 1)
    about = filters - filters.mean(axis=1, keepdims=True)
    picked = _standard(np.where(np.abs(about) > 1e-9, about, 0) @ response)
    seen = power @ (response.T @ response)
    seen = _standard(np.log(np.maximum(seen, 1e-12 * seen.max(axis=1, keepdims=True) + 1e-300)))
    value = float((picked * seen).mean())
    mirrored = np.concatenate([seen, seen[:, -2:0:-1]], axis=1)  # a spectrum is even and periodic
    waves = np.fft.rfft(mirrored, axis=1)
    rng, null = np.random.default_rng(seed), np.empty(surrogates)
    for i in range(surrogates):
        turned = waves * np.exp(2j * np.pi * rng.random(waves.shape[1]))
        moved = np.fft.irfft(turned, mirrored.shape[1], axis=1)[:, : seen.shape[1]]
        null[i] = (picked * _standard(moved)).mean()
    # Rounding must not tell equal values apart.
    reached = np.count_nonzero(null >= value - 1e-12)
    return Score(value, (1 + reached) / (1 + surrogates), null)


def _standard(values: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and variance 1; rows that are constant become 0."""
    about = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((about**2).mean(axis=1, keepdims=True))
    flat = size < 1e-9 * (np.abs(values).max(axis=1, keepdims=True) + 1e-300)
    return np.where(flat, 0, about / np.where(flat, 1, size))
