"""Whether long rollouts look like the trajectory, frame by frame no longer: structure, size, spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import jensenshannon

from estag_jax.data.statistics import power_spectrum
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import evenly, frames_of, gather
from estag_jax.evaluation.predictions import inputs_of_windows
from estag_jax.evaluation.rollout import roll
from estag_jax.evaluation.spectra import thinned
from estag_jax.evaluation.structure import (
    distribution_distances,
    masses,
    radius_of_gyration,
    terms,
)
from estag_jax.models.base import Predictor

FACTOR = 1.5
"""A rollout whose radius of gyration leaves the range of the trajectory by this factor has diverged."""


def long_rollouts(
    predictor: Predictor, task: Task, steps: Sequence[int] = (100, 1000), starts: int = 10
) -> list[dict[str, Any]]:
    """Compares rollouts of the first system with the frames of its test windows.

    Args:
      predictor: of one seed.
      task: its test windows give the starts, evenly chosen, and the frames that are compared.
      steps: lengths of the rollouts; shorter ones are the beginnings of the longest.
      starts: how many rollouts at most.

    Returns:
      For each length, JSON-ready: ``steps``, ``starts``, ``diverged`` (the share of rollouts),
      ``structure`` (see structure.distribution_distances; {} where no bonds are known), ``gyration``
      (mean and standard deviation of the rollouts that did not diverge, and of the truth) and
      ``spectrum`` (frequencies in 1 / time_unit, power of the trajectory and of the rollouts that did
      not diverge, and their Jensen-Shannon distance; None where too few frames are there). Nothing for a
      horizon of more than one step.
    """
    trajectory, window = task.trajectories[0], task.window
    tested = np.asarray(task.splits[0].test)
    if window.horizons[0] != 1 or not len(tested):
        return []
    chosen = evenly(tested, starts)
    history, _ = gather(trajectory.positions, chosen, window)
    paths = roll(predictor, history, inputs_of_windows(predictor, task, 0, chosen), max(steps))
    paths = np.swapaxes(np.asarray(paths, np.float64), 0, 1)  # [B, S, N, C, 3]
    truth = trajectory.positions[np.unique(frames_of(tested, window))].astype(np.float64)
    return [_figures(paths[:, :length], truth, trajectory, window.delta) for length in steps]


def _figures(
    paths: np.ndarray, truth: np.ndarray, trajectory: Trajectory, delta: int
) -> dict[str, Any]:
    system, weights = trajectory.system, masses(trajectory.system)
    own, true = (frames[..., system.anchor, :] for frames in (paths, truth))
    with np.errstate(over="ignore", invalid="ignore"):
        sizes, expected = radius_of_gyration(own, weights), radius_of_gyration(true, weights)
    low, high = expected.min() / FACTOR, expected.max() * FACTOR
    good = ((sizes > low) & (sizes < high)).all(axis=1)
    bonds = None if system.bonds is None or not len(system.bonds) else system.bonds
    found: dict[str, Any] = {}
    if bonds is not None:
        frames = own.reshape(-1, *own.shape[2:])
        found = distribution_distances(frames, true, terms(bonds, system.num_nodes))
    return {
        "steps": paths.shape[1],
        "starts": len(paths),
        "diverged": float(1 - good.mean()),
        "structure": found,
        "gyration": {
            "mean": float(sizes[good].mean()) if good.any() else None,
            "deviation": float(sizes[good].std()) if good.any() else None,
            "truth": float(expected.mean()),
            "deviation of the truth": float(expected.std()),
        },
        "spectrum": _spectra(paths[good], trajectory, delta),
    }


def _spectra(paths: np.ndarray, trajectory: Trajectory, delta: int) -> dict[str, Any] | None:
    """Power spectra of paths and trajectory, both with the paths' step and segments of their length."""
    if not len(paths):
        return None
    count, steps = paths.shape[:2]
    true = thinned(trajectory, delta)
    frames = paths.reshape(-1, *paths.shape[2:])
    own = true.changed(positions=frames, lengths=(steps,) * count, run_names=(), missing=None)
    of_truth, of_paths = (power_spectrum(one, min(steps - 1, 256)) for one in (true, own))
    if of_truth is None or of_paths is None or len(of_truth[0]) != len(of_paths[0]):
        return None
    (frequencies, expected), (_, power) = of_truth, of_paths
    return {
        "frequencies": frequencies.tolist(),
        "truth": expected.tolist(),
        "power": power.tolist(),
        "distance": float(np.nan_to_num(jensenshannon(expected, power, base=2))),
    }
