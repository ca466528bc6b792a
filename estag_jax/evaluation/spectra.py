"""Spectra of a task's first system: of its trajectory at the step of the windows, and as windows see it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.signal import find_peaks

from estag_jax.data.statistics import coherences, node_powers
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import gather
from estag_jax.ops.edft import edft, node_power

SEGMENT, WINDOWS = 256, 500
"""Frames of a segment, and the most windows that are transformed."""

MULTIPLES = 4
"""Of a fundamental frequency that are looked at, itself among them."""


class Spectra(NamedTuple):
    """Power by node and frequency.

    Args:
      frequencies: from 0 to half a cycle a frame of the windows [F], in 1 / time_unit.
      power: of each node's velocity [N, F], see data.statistics.node_powers.
      pairs: edges whose coherence is given [P, 2].
      coherence: [P, F], see data.statistics.coherences.
      bins: frequencies of the windows' transform, k = 1 … T // 2 [K], in 1 / time_unit.
      seen: ||f_i(k)||² of ops.edft in these bins, the mean over training windows [N, K].
    """

    frequencies: np.ndarray
    power: np.ndarray
    pairs: np.ndarray
    coherence: np.ndarray
    bins: np.ndarray
    seen: np.ndarray

    @property
    def cycles(self) -> np.ndarray:
        """The frequencies in cycles a frame [F]."""
        return np.linspace(0, 0.5, len(self.frequencies))

    @property
    def total(self) -> np.ndarray:
        """The power of all nodes, adding up to one [F]."""
        total = self.power.sum(axis=0)
        return total / total.sum()


def thinned(trajectory: Trajectory, delta: int) -> Trajectory:
    """Every ``delta``-th frame of each run: the frames as windows see them, without external vectors."""
    taken = [np.arange(run.start, run.stop, delta) for run in trajectory.runs]
    frames = np.concatenate(taken)
    return trajectory.changed(
        positions=trajectory.positions[frames],
        lengths=tuple(map(len, taken)),
        missing=None if trajectory.missing is None else trajectory.missing[frames],
        frame_step=trajectory.frame_step * delta,
        published=None,
        vectors={},
    )


def spectra(task: Task) -> Spectra:
    """The spectra of a task's first system.

    Raises:
      DataError: too few frames at the step of the windows, or windows of a single frame.
    """
    trajectory, window = task.trajectories[0], task.window
    seen_by_windows = thinned(trajectory, window.delta)
    # An even segment ends at half a cycle a frame.
    longest = max(seen_by_windows.lengths) - 1
    segment = min(SEGMENT, longest - longest % 2)
    graph, bonds = trajectory.system.graph, trajectory.system.bonds
    pairs = np.stack([graph.senders[0], graph.receivers[0]], axis=1) if bonds is None else bonds
    pairs = np.unique(np.sort(np.asarray(pairs, int).reshape(-1, 2), axis=1), axis=0)
    found = node_powers(seen_by_windows, segment)
    between = coherences(seen_by_windows, pairs, min(segment, 64))
    if found is None or between is None or window.past < 2 or not found[1].any():
        raise DataError(
            f"{trajectory.source}: a spectrum needs 16 consecutive frames at the step of the windows "
            f"(Δ={window.delta}) in which something moves, and T of at least 2; lower Δ"
        )
    starts = np.asarray(task.splits[0].train)[:WINDOWS]
    history, _ = gather(trajectory.positions, starts, window)
    transformed = edft(jnp.asarray(history[:, :, :, trajectory.system.anchor]), graph)
    seen = np.asarray(node_power(transformed)).mean(axis=0)
    half = window.past // 2
    bins = np.arange(1, half + 1) / (window.past * seen_by_windows.frame_step)
    return Spectra(*found, pairs, between[1], bins, seen[:, :half])


def peaks(found: Spectra, count: int = 6) -> np.ndarray:
    """Frequencies of the most prominent peaks of the power of all nodes, the strongest first."""
    total = found.total
    at, facts = find_peaks(np.append(total, 0), prominence=0)
    return found.frequencies[at[np.argsort(-facts["prominences"], kind="stable")][:count]]


def fundamental(frequencies: np.ndarray, power: np.ndarray) -> tuple[float, float]:
    """The frequency f with the largest Σ_m P(m f) - P((m - 1/2) f), m = 1 … MULTIPLES.

    Of a walk it is the frequency of the stride, two steps, although the steps are stronger.

    Args:
      frequencies: evenly spaced from 0 [F].
      power: adding up to one [F].

    Returns:
      The frequency, and the share of the power within 1.5 bins of its multiples; NaN and 0 for fewer
      than 16 bins.
    """
    count = len(frequencies)
    if count < 16:
        return float("nan"), 0.0
    # Below 2.5 bins the lobes of neighbouring multiples overlap.
    bins, multiples = np.arange(2.5, count / MULTIPLES, 0.1), np.arange(1, MULTIPLES + 1)[:, None]

    def at(places: np.ndarray) -> np.ndarray:
        return np.interp(places, np.arange(count), power).sum(axis=0)

    best = bins[np.argmax(at(bins * multiples) - at(bins * (multiples - 0.5)))]
    near = (np.abs(np.arange(count) - best * multiples) <= 1.5).any(axis=0)
    return float(best * frequencies[1]), float(power[near].sum())
