"""AR-LS: autoregression by least squares, shared by all nodes or by node."""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import gather
from estag_jax.models.linear import LinearForm, LinearPredictor, checked, differences

_BLOCK = 64 * 2**20
"""Bytes of a block of windows in float64."""


@dataclasses.dataclass(frozen=True)
class ArLs(LinearForm):
    """One weight per past frame, shared by all nodes of all systems, by least squares.

    min_w sum |x(T) - x(T-1) - sum_t w_t (x(t) - x(T-1))|², summed over windows, nodes, channels and
    coordinates: the pooling of ESTAG (arXiv 2405.12868, section 3.4) alone, at its optimum. Windows are
    added block by block to a QR factorisation, so memory does not grow with their number.
    """

    def fit(self, task: Task) -> LinearPredictor:
        past, triangle = task.window.past, np.empty((0, task.window.past))
        largest = max(system.num_nodes for system in task.systems)
        at_once = max(1, _BLOCK // (8 * 3 * past * largest * task.systems[0].channels))
        for windows in task.windows("train", at_once):
            history, target = checked(windows.history, windows.target)
            step = (target - history[:, :, -1])[:, :, None]
            rows = np.concatenate([differences(history), step], axis=2)
            rows = np.moveaxis(rows, 2, -1).reshape(-1, past)
            triangle = np.linalg.qr(np.concatenate([triangle, rows]), mode="r")
        weights = np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0]
        return LinearPredictor(weights, fitted=weights.size)


@dataclasses.dataclass(frozen=True)
class ArLsPerNode(LinearForm):
    """``ArLs`` for every node and channel separately; one system only."""

    tied = True

    def fit(self, task: Task) -> LinearPredictor:
        (trajectory,), (drawn,) = task.trajectories, task.splits
        nodes, channels, past = task.system.num_nodes, task.system.channels, task.window.past
        weights = np.empty((nodes, channels, past - 1))
        block = max(1, _BLOCK // (8 * 3 * past * channels * len(drawn.train)))
        for begin in range(0, nodes, block):
            some = slice(begin, min(begin + block, nodes))
            history, target = checked(
                *gather(trajectory.positions[:, some], drawn.train, task.window)
            )
            designs = differences(history).transpose(1, 3, 0, 4, 2)  # N, C, W, 3, T-1
            designs = designs.reshape(*designs.shape[:2], -1, past - 1)
            steps = np.moveaxis(target - history[:, :, -1], 0, 2).reshape(*designs.shape[:3])
            for i, c in np.ndindex(*designs.shape[:2]):
                weights[begin + i, c] = np.linalg.lstsq(designs[i, c], steps[i, c], rcond=None)[0]
        return LinearPredictor(weights, fitted=weights.size)
