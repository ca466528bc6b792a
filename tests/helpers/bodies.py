"""A skeleton that walks over ground in any direction, and tasks of its windows."""

import dataclasses

import numpy as np

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory

NAMES = (
    "pelvis",
    "chest",
    "head",
    "knee",
    "foot",
    "knee'",
    "foot'",
    "elbow",
    "hand",
    "elbow'",
    "hand'",
)
BONES = np.array([[0, 1], [1, 2], [0, 3], [3, 4], [0, 5], [5, 6], [1, 7], [7, 8], [1, 9], [9, 10]])
PAIRS = ((3, 5), (4, 6), (7, 9), (8, 10))
MIRROR = np.array([0, 1, 2, 5, 6, 3, 4, 9, 10, 7, 8])
UP = np.array([0, 0, 1.0])


def walk(frames, seed=0, speed=1.0):
    """Positions [frames, 11, 3]: legs and arms swing in opposite phases, the way turns slowly."""
    rng = np.random.default_rng(seed)
    t = 0.25 * np.arange(frames)
    phase = t * speed * rng.uniform(0.9, 1.1) + rng.uniform(0, 6) + 0.1 * np.sin(0.1 * t)
    swing = rng.uniform(0.4, 0.6)
    turn = rng.uniform(0, 6) + 0.3 * np.sin(0.05 * t + rng.uniform(0, 6))
    x = np.zeros((frames, 11, 3))  # left, up, ahead
    x[:, :3, 1] = [1.0, 1.5, 1.8]
    x[:, 1, 2], x[:, 2, 2] = 0.05, 0.15
    for side, knee, foot, elbow, hand in ((1, 3, 4, 7, 8), (-1, 5, 6, 9, 10)):
        angle = swing * np.sin(phase + (side < 0) * np.pi)
        bend = 0.4 * (1 - np.cos(phase + (side < 0) * np.pi + 0.7))
        for node, at, long, direction in (
            (knee, 0, 0.5, angle), (foot, knee, 0.5, angle - bend),
            (elbow, 1, 0.3, -0.7 * angle), (hand, elbow, 0.3, -0.7 * angle + 0.3 + 0.3 * bend),
        ):  # fmt: skip
            away = np.stack([0 * angle, -np.cos(direction), np.sin(direction)], axis=1)
            x[:, node] = x[:, at] + long * away
            x[:, node, 0] += side * 0.12 * (at < 2)
    x[..., 1] += 0.03 * np.cos(2 * phase)[:, None]
    x[..., 2] += 0.3 * (t * speed)[:, None]
    ahead = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    left = np.stack([-np.sin(turn), np.cos(turn), 0 * turn], axis=1)
    found = x[..., :1] * left[:, None] + x[..., 1:2] * UP + x[..., 2:] * ahead[:, None]
    return found + 0.002 * rng.normal(size=found.shape)


def walking(trials=9, frames=60, vectors=True, dtype=np.float64, change=None):
    """A task of trials of walking: the runs alternate between train, validation and test.

    Args:
      change: of the positions [frames, N, 3] and of up [3]: a function of an array.
    """
    change = change or (lambda x: x)
    x = np.concatenate([walk(frames, seed) for seed in range(trials)])
    trajectory = Trajectory.from_arrays(
        change(x).astype(dtype), names=NAMES, bonds=BONES, lengths=(frames,) * trials
    )
    if vectors:
        up = change(UP) - change(np.zeros(3))
        system = dataclasses.replace(trajectory.system, vectors={"up": up})
        trajectory = dataclasses.replace(trajectory, system=system)
    window = WindowConfig(past=4, delta=2)
    split = SplitConfig("by-trajectory", 120, 60, 60, runs="alternating")
    return Task(trajectory, window, split, GraphConfig(kind="bonds"))
