"""A system with all kinds of bond paths, its windows, its motion, and their features."""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models.bond_paths import paths_of
from estag_jax.ops.linalg import NUMPY
from estag_jax.ops.paths import Scales, path_features

FULL = GraphConfig(kind="full")
WINDOW, SPLIT = WindowConfig(past=5, delta=1), SplitConfig(train=40, validation=20, test=20)
SCALES = Scales(np.array([0.3, 0.4, 0.5, 0.6]), 1.4, 2.4, 0.1)
# A ring of six with a tail of two, a methyl and a carbonyl oxygen: all kinds of paths and planes.
BONDS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 6), (6, 7), (6, 8), (3, 9)]
NUMBERS = [6, 6, 6, 7, 6, 6, 6, 8, 8, 6]
HYDROGENS = [0, 1, 1, 0, 1, 1, 0, 0, 1, 3]


def system(bonds=BONDS, numbers=NUMBERS, hydrogens=HYDROGENS):
    """Atoms and their bonds."""
    bonds = np.array(bonds, np.int64).reshape(-1, 2)
    atoms = Trajectory.from_arrays(
        np.zeros((1, len(numbers), 3)), atomic_numbers=numbers, bonds=bonds
    )
    return dataclasses.replace(atoms.system, hydrogens=np.array(hydrogens))


def renamed(given, permutation):
    """The system with node ``permutation[i]`` renamed i."""
    new = np.argsort(permutation)
    return system(
        new[np.asarray(given.bonds)],
        np.asarray(given.atomic_numbers)[permutation],
        np.asarray(given.hydrogens)[permutation],
    )


def windows(nodes, count=6, past=5, seed=0):
    """Nodes that jitter about fixed places: history [W, N, T, 1, 3] and target."""
    rest = 1.5 * np.random.default_rng(nodes).normal(size=(nodes, 1, 1, 3))
    x = rest + 0.3 * np.random.default_rng(seed).normal(size=(count, nodes, past + 1, 1, 3))
    return x[:, :, :-1], x[:, :, -1]


def features(history, given, scales=SCALES):
    found = path_features(NUMPY, history[:, :, :, 0], paths_of(given), scales)
    return np.concatenate([group for _, group in found], axis=2)


def trajectory(given, frames=220, seed=0, dtype=np.float64):
    """Bodies on springs along the bonds of a system."""
    rng = np.random.default_rng(seed)
    n = given.num_nodes
    x, v = 1.5 * rng.normal(size=(n, 3)), 0.05 * rng.normal(size=(n, 3))
    home, found = x.copy(), []
    for _ in range(frames):
        force = -0.5 * (x - home)
        for i, j in [] if given.bonds is None else np.asarray(given.bonds):
            apart = x[j] - x[i]
            pull = (1 - 1.4 / np.linalg.norm(apart)) * apart
            force[i] += pull
            force[j] -= pull
        v = v + 0.1 * force
        x = x + 0.1 * v
        found.append(x + 0.001 * rng.normal(size=x.shape))
    return Trajectory(given, np.array(found, dtype)[:, :, None])


def task(*systems, **changes):
    given = [trajectory(s, seed=k) for k, s in enumerate(systems)]
    return Task(given, changes.pop("window", WINDOW), changes.pop("split", SPLIT), FULL)
