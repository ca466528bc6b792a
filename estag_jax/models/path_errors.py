"""Error bars of path ridge for systems that it never saw, from training systems that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from estag_jax.models.error_bars import JOINT_UP_TO, PERCENTS, ErrorBars
from estag_jax.ops.error_bars import ORDERS

Tree = Mapping[str, tuple[int, str]]
"""Level and parent of each class, parents first; the parent of the class of all nodes is ""."""

WINDOWS = 100
"""Of a system that is left out, to measure its errors."""

PRIOR = 2.0
"""Nodes of the mean variance of a level that are added to those of a class."""


class LeftOut(NamedTuple):
    """Forecasts of a training system by the others.

    Args:
      classes: whose weights each node took [N].
      squares: |e|² / 3 [W, N].
    """

    classes: tuple[str, ...]
    squares: np.ndarray


def variances(tree: Tree, found: Sequence[LeftOut]) -> np.ndarray:
    """The variance of a component of the error of nodes that take the weights of each class.

        σ_c² = max((Σ_i mean |e_i|² / 3 + PRIOR σ_L²) / (n_c + PRIOR), mean of σ² of the classes below c)

    over the n_c nodes that took the weights of class c while their system was left out, σ_L² the same
    mean over the class's level. So an environment that was not seen has a larger error bar than those of
    its element that were seen have on average.

    Args:
      tree: level and parent of each class, parents first.
      found: of each system.

    Returns:
      [classes].
    """
    names = np.array([name for one in found for name in one.classes])
    squares = np.concatenate([one.squares.mean(axis=0) for one in found])
    at = np.array([tree[name][0] for name in names])
    of_class: dict[str, float] = {}
    for name, (level, _) in reversed(list(tree.items())):
        own, near = squares[names == name], squares[at == level]
        mean = near.mean() if len(near) else squares.mean()
        of_class[name] = (own.sum() + PRIOR * mean) / (len(own) + PRIOR)
        if below := [of_class[child] for child, (_, parent) in tree.items() if parent == name]:
            of_class[name] = max(of_class[name], float(np.mean(below)))
    return np.array([of_class[name] for name in tree])


def quantiles(tree: Tree, found: Sequence[LeftOut]) -> np.ndarray:
    """Of |e|² / σ², each system measured with the variances of the others [99]."""
    index = {name: number for number, name in enumerate(tree)}
    distances = []
    for number, one in enumerate(found):
        of_class = variances(tree, [*found[:number], *found[number + 1 :]])
        which = [index[name] for name in one.classes]
        distances.append((3 * one.squares / of_class[which]).ravel())
    return np.quantile(np.concatenate(distances), PERCENTS)


def error_bars(variance: np.ndarray, quantile: np.ndarray, past: int) -> ErrorBars:
    """The same variance in all directions and of all windows.

    Args:
      variance: of each node [N].
      quantile: of |e|² / σ² [99].
      past: T.
    """
    nodes, invariants = len(variance), 3 * min(ORDERS, past)
    variance = np.asarray(variance, np.float64)
    return ErrorBars(
        axes=np.tile(np.arange(nodes), (3, 1)),
        covariance=variance[:, None, None, None] * np.eye(3),
        rest=variance[:, None],
        weights=np.zeros(invariants),
        centre=np.zeros((invariants, nodes, 1)),
        floor=np.ones(invariants),
        limits=np.zeros(2),
        quantiles=np.asarray(quantile, np.float64),
        factor=np.diag(np.sqrt(np.repeat(variance, 3))) if nodes <= JOINT_UP_TO else None,
    )
