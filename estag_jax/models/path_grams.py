"""The normal equations of path ridge by class of node, their solution with back-off, and its strengths."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.linalg

from estag_jax.io import tell
from estag_jax.models.bond_paths import ALL
from estag_jax.models.frame_regressions import both_ways
from estag_jax.ops.frames import backward_differences
from estag_jax.ops.linalg import NUMPY
from estag_jax.ops.paths import Kind, Paths, Scales, path_features

BLOCK = 64 * 2**20
"""Bytes of features in memory at once."""

SMALLEST = 1e-4
"""Of the mean squared features that the prior is scaled by, relative to the square of a typical step."""


@dataclasses.dataclass(frozen=True)
class Strengths:
    """The prior of path ridge; an infinite λ leaves a level out.

    Args:
      everything: λ of the weights of all nodes.
      element: λ of an element's deviation from these.
      environment: λ of an environment's deviation from its element.
      factors: g; the prior of terms with ρ or μ is 1/g² times as strong.
      products: the same of products of two differences.
    """

    everything: float = 1e-4
    element: float = 1.0
    environment: float = 0.1
    factors: float = 0.03
    products: float = 0.1

    def of(self, kinds: Sequence[Kind]) -> np.ndarray:
        """g of features of these kinds [Q]."""
        given = FIXED | {"factors": self.factors, "products": self.products}
        return np.array([given[kind] for kind in kinds])


FIXED: dict[Kind, float] = {"own": 3.0, "bonds": 1.0, "far": 0.3}
"""g of the other kinds, by validation windows of the six shared molecules after fits to 25 windows."""

GRIDS = {
    "everything": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    "element": (0.01, 0.1, 1.0, 10.0, np.inf),
    "environment": (1e-4, 1e-3, 0.01, 0.1, 1.0, np.inf),
    "factors": (0.01, 0.03, 0.1, 0.3, 1.0),
    "products": (0.03, 0.1, 0.3, 1.0),
}
"""Values that cross-validation moves along, one setting after another."""

ROUNDS = 2
"""Passes over the settings."""

SURE = 2.0
"""Standard errors by which a value must be better than the one before."""

TRIES = 2 * ROUNDS * len(GRIDS)
"""About how many settings are tried: a step up and one down in each pass."""


def at_most(past: int) -> int:
    """More than the features of a node in windows of ``past`` frames, for memory and cost."""
    return 70 * past


def measure(histories: Sequence[np.ndarray], paths: Sequence[Paths]) -> Scales:
    """The units of features: root mean squares of differences, mean lengths at the last frame.

    Args:
      histories: [W, N, T, 1, 3] of each system.
      paths: of each system.
    """
    squares = [
        np.mean(backward_differences(np, history)[:, :, 1:, 0] ** 2, axis=(0, 1, 3))
        for history in histories
    ]
    size = np.sqrt(np.mean(squares, axis=0))
    lengths = []
    for table in ("one", "two"):
        found = []
        for history, listed in zip(histories, paths, strict=True):
            ends = getattr(listed, table)[..., -1]
            here, column = np.nonzero(ends >= 0)
            last = history[:, :, -1, 0]
            apart = last[:, ends[here, column]] - last[:, here]
            found.append(np.linalg.norm(apart, axis=-1).mean(axis=0))
        lengths.append(np.concatenate(found))
    bond, angle = (np.mean(each) if each.size else 1.0 for each in lengths)
    return Scales(np.where(size > 0, size, 1.0), bond, angle, 0.07 * bond)


def blocks(starts: np.ndarray, count: int) -> list[np.ndarray]:
    """Windows in consecutive blocks by their starts, as indices."""
    return np.array_split(np.argsort(starts, kind="stable"), min(count, len(starts)))


class PathGrams:
    """[F y]^T [F y] summed over the nodes of a class, means over the windows of a system, by part.

    A part is what cross-validation leaves out: a system, or a block of one system's windows.

    Args:
      scales: what features are measured in.
      both: every window is taken backwards in time too.
      noise: standard deviation of what is added to the coordinates of past frames.
    """

    def __init__(self, scales: Scales, both: bool, noise: float = 0.0):
        self.scales, self.both, self.noise = scales, both, noise
        self._rng = np.random.default_rng(0)
        self.parts: list[dict[tuple[str, ...], np.ndarray]] = []
        self.nodes: list[dict[tuple[str, ...], int]] = []
        self.windows: list[int] = []
        self.numbers: list[int] = []
        self.kinds: list[Kind] = []
        self._cache: dict = {}
        self._sums: dict[str, np.ndarray] = {}

    def add(
        self,
        number: int,
        history: np.ndarray,
        target: np.ndarray,
        paths: Paths,
        chains: Sequence[tuple[str, ...]],
    ) -> None:
        """Adds a part.

        Args:
          number: of the system.
          history: [W, N, T, 1, 3].
          target: [W, N, 1, 3].
          paths: of the system.
          chains: the classes of each node.
        """
        self._cache.clear()
        self._sums.clear()
        vars(self).pop("tree", None)
        if self.both:
            history, target = both_ways(history, target)
        if self.noise:
            history = history + self.noise * self._rng.normal(size=history.shape)
        members: dict[tuple[str, ...], list[int]] = {}
        for node, chain in enumerate(chains):
            members.setdefault(tuple(chain), []).append(node)
        step = target[:, :, 0] - history[:, :, -1, 0]
        grams: dict[tuple[str, ...], np.ndarray] = {}
        width = at_most(history.shape[2])
        at_once = max(1, BLOCK // (24 * width * history.shape[1]))
        for begin in range(0, len(history), at_once):
            some = slice(begin, begin + at_once)
            found = list(path_features(NUMPY, history[some, :, :, 0], paths, self.scales))
            self.kinds = [kind for kind, group in found for _ in range(group.shape[2])]
            rows = np.concatenate([group for _, group in found] + [step[some, :, None]], axis=2)
            for chain, nodes in members.items():
                own = np.swapaxes(rows[:, nodes], 2, 3).reshape(-1, rows.shape[2])
                grams[chain] = grams.get(chain, 0.0) + own.T @ own
        self.parts.append(grams)
        self.nodes.append({chain: len(nodes) for chain, nodes in members.items()})
        self.windows.append(len(history))
        self.numbers.append(number)

    def solve(
        self, classes: Iterable[str], strengths: Strengths, without: int | None = None
    ) -> dict[str, np.ndarray]:
        """The weights [Q] of classes, those that have no training nodes left out.

        Args:
          classes: their names.
          strengths: of the prior.
          without: the part that is left out.
        """
        scale = self._scale(without)
        prior = scale / strengths.of(self.kinds) ** 2
        levels = strengths.everything, strengths.element, strengths.environment
        asked, weights = set(classes), {}
        for name, (level, parent) in self.tree.items():
            if name not in asked:
                continue
            start = weights.get(parent, np.zeros(len(scale)))
            key = (name, without, levels[: level + 1], strengths.factors, strengths.products)
            if key not in self._cache:
                gram = self._gram(name, without)
                if gram is None:
                    continue
                self._cache[key] = start
                if np.isfinite(levels[level]):
                    matrix = gram[:-1, :-1] + levels[level] * np.diag(prior)
                    right = gram[:-1, -1] - gram[:-1, :-1] @ start
                    root = scipy.linalg.cho_factor(matrix, overwrite_a=True)
                    self._cache[key] = start + scipy.linalg.cho_solve(root, right)
            weights[name] = self._cache[key]
        return weights

    def choose(self) -> Strengths:
        """The strengths of least mean logarithm of the error on parts that are left out.

        Each setting moves along its grid while the error falls. Parts are few: a step is taken where the
        mean improvement is more than ``SURE`` of its standard errors over the parts.
        """
        best = Strengths()
        if len(self.parts) < 2:
            return best
        errors = self.errors(best)
        for turn in range(ROUNDS):
            before = best
            for number, (name, grid) in enumerate(GRIDS.items()):
                tell("strengths", turn * len(GRIDS) + number, ROUNDS * len(GRIDS))
                for way in (1, -1):
                    while 0 <= (at := grid.index(getattr(best, name)) + way) < len(grid):
                        tried = dataclasses.replace(best, **{name: grid[at]})
                        gain = errors - (found := self.errors(tried))
                        if gain.mean() <= SURE * gain.std(ddof=1) / np.sqrt(len(gain)):
                            break
                        best, errors = tried, found
            if best == before:
                break
        return best

    def errors(self, strengths: Strengths) -> np.ndarray:
        """The logarithm of the squared error on each part, by weights of the others."""
        logs = []
        for number, part in enumerate(self.parts):
            weights = self.solve({name for chain in part for name in chain}, strengths, number)
            total = 0.0
            for chain, gram in part.items():
                own = next((weights[name] for name in reversed(chain) if name in weights), None)
                vector = np.append(np.zeros(len(gram) - 1) if own is None else -own, 1.0)
                total += vector @ gram @ vector
            count = 3 * self.windows[number] * sum(self.nodes[number].values())
            logs.append(np.log(max(total / count, 1e-300)))
        return np.array(logs)

    @functools.cached_property
    def tree(self) -> dict[str, tuple[int, str]]:
        """Level and parent of each class, parents first."""
        chains = sorted({chain for part in self.parts for chain in part})
        return {
            chain[level]: (level, chain[level - 1] if level else "")
            for level in range(3)
            for chain in chains
        }

    def _gram(self, name: str, without: int | None) -> np.ndarray | None:
        """The Gram matrix of a class without a part; None where no other part has the class."""
        if name not in self._sums:
            self._sums[name] = sum(self._of_part(n, name) for n in range(len(self.parts)))
        if without is None:
            return self._sums[name]
        if not any(
            name in chain for n, part in enumerate(self.parts) for chain in part if n != without
        ):
            return None
        number = self.numbers[without]
        every, left = self._count(number), self._count(number) - self.windows[without]
        # The mean is over the windows that are left, where the part is some of its system's.
        ratio = every / left if left else 1.0
        return ratio * (self._sums[name] - self._of_part(without, name))

    def _of_part(self, n: int, name: str) -> np.ndarray | float:
        grams = [gram for chain, gram in self.parts[n].items() if name in chain]
        return sum(grams, 0.0) / self._count(self.numbers[n])

    def _count(self, number: int) -> int:
        """Windows of a system, over all parts."""
        pairs = zip(self.numbers, self.windows, strict=True)
        return sum(windows for system, windows in pairs if system == number)

    def _scale(self, without: int | None) -> np.ndarray:
        """S, the mean squared features [Q]."""
        if ("scale", without) not in self._cache:
            nodes = {
                self.numbers[n]: sum(self.nodes[n].values())
                for n in range(len(self.parts))
                if n != without
            }
            scale = np.diag(self._gram(ALL, without))[:-1] / sum(nodes.values())
            # Features that never occur get a prior all the same.
            self._cache["scale", without] = np.maximum(scale, SMALLEST * np.mean(scale))
        return self._cache["scale", without]
