"""Limited motion: forecasts that stay within what the training windows show, for long rollouts."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, NetworkMethod, Predictor
from estag_jax.models.constrained import Constrained, unconstrainable
from estag_jax.models.corrected import CorrectedPredictor
from estag_jax.models.linear import fitting_windows
from estag_jax.models.started import Started
from estag_jax.ops.constraints import bond_groups, limit_lengths, limit_steps

MARGIN = 0.1
"""By which a step may be longer than any in training, and the range of a bond's lengths wider."""

SWEEPS = 10
"""Passes over all bonds."""


@dataclasses.dataclass(frozen=True)
class Limited:
    """What ``forecaster.limited(task)`` is made of.

    Args:
      method: whose forecasts are corrected.
    """

    method: ClosedForm | NetworkMethod | Started | Constrained


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LimitedPredictor(CorrectedPredictor):
    """A predictor whose forecasts stay within limits.

    A point that moves further in a step than ``steps`` moves so far in the same direction; then bonds that
    are shorter or longer than ``lengths`` get the nearest length that they may have (ops.constraints).
    Forecasts within the limits stay as they are.

    Args:
      predictor: makes the forecasts.
      steps: the longest step of each point [N, C].
      lengths: the shortest and the longest length of each bond, in the order of
        ops.constraints.bond_groups [bonds, 2]; none where nodes have several points.
    """

    steps: Array
    lengths: Array

    def bonds(self, system: System) -> tuple[np.ndarray, ...]:
        return () if unconstrainable(system) else bond_groups(system.bonds)

    def correct(self, frame: Array, history: Array, groups: tuple[Array, ...]) -> Array:
        frame = limit_steps(frame, history[..., -1, :, :], self.steps)
        if not groups:
            return frame
        ends = np.cumsum([len(group) for group in groups])[:-1]
        limits = [self.lengths[b:e] for b, e in zip((0, *ends), (*ends, None), strict=True)]
        return limit_lengths(frame[..., 0, :], limits, groups, SWEEPS)[..., None, :]

    def to_arrays(self) -> dict[str, np.ndarray]:
        own = {"limits/steps": self.steps, "limits/lengths": self.lengths}
        return super().to_arrays() | {name: np.asarray(array) for name, array in own.items()}


def limited(predictor: Predictor, task: Task) -> LimitedPredictor:
    """The predictor within what the past frames of a task's training windows show.

    Steps may be longer than the longest there by MARGIN, and the range of a bond's lengths is widened by
    MARGIN of it at both ends.
    """
    frames = np.moveaxis(fitting_windows(task, "train")[0], 2, 1)  # [W, T, N, C, 3]
    steps = np.linalg.norm(np.diff(frames, axis=1), axis=-1).max(axis=(0, 1))
    lengths = np.empty((0, 2))
    if unconstrainable(task.system) is None:
        first, second = np.concatenate(bond_groups(task.system.bonds)).T
        found = np.linalg.norm(frames[:, :, first, 0] - frames[:, :, second, 0], axis=-1)
        low, high = found.min(axis=(0, 1)), found.max(axis=(0, 1))
        wider = MARGIN * (high - low)
        lengths = np.stack([low - wider, high + wider], axis=1)
    return LimitedPredictor(predictor, (1 + MARGIN) * steps, lengths)
