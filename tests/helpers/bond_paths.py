"""A system with all kinds of bond paths, its windows, and their features."""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.trajectory import Trajectory
from estag_jax.models.bond_paths import paths_of
from estag_jax.ops.linalg import NUMPY
from estag_jax.ops.paths import Scales, path_features

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
