"""The regressions of frame ridge: what nodes see of the training windows, and ridge paths on it."""

from __future__ import annotations

import numpy as np

from estag_jax.io import tell
from estag_jax.models.frames import seen_from_nodes
from estag_jax.models.linear import differences, least_squares
from estag_jax.models.symmetries import Views
from estag_jax.ops.frames import backward_differences
from estag_jax.ops.linalg import NUMPY
from estag_jax.ops.ridge import GRID, ridge_path

RIDGES = 10.0**GRID
"""λ relative to the mean of the Gram matrix's diagonal."""


def both_ways(history: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows, and the same with time reversed."""
    run = np.concatenate([history, target[:, :, None]], axis=2)[:, :, ::-1]
    return np.concatenate([history, run[:, :, :-1]]), np.concatenate([target, run[:, :, -1]])


class Regressions:
    """The two regressions of each class of nodes, even and odd, for some training windows.

    Args:
      train: history [W, N, T, C, 3] and target [W, N, C, 3].
      views: the frames, what is looked at, and the classes.
      shape: what the last frame is divided by, as differences are by their root mean squares.
    """

    def __init__(
        self,
        train: tuple[np.ndarray, np.ndarray],
        views: Views,
        shape: float = 1.0,
    ):
        self.views = views
        history, target = train
        past = history.shape[2]
        self.channels, self.past = history.shape[3], past
        self.nodes = views.axes[0] // self.channels
        self.members = [np.flatnonzero(views.classes == k) for k in range(views.classes.max() + 1)]
        self.base = least_squares(history, target)
        size = np.sqrt(np.mean(backward_differences(np, history) ** 2, axis=(0, 1, 3, 4)))
        self.sizes = np.append(shape, np.where(size > 0, size, 1.0)[1:])
        self.train = self.differenced(train)

    def differenced(self, windows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Differences of all orders [W, N, T, C, 3], what the base leaves of the step, and the last frame."""
        history, target = windows
        last = history[:, :, -1]
        rest = target - last - np.tensordot(differences(history), self.base, (2, 0))
        return backward_differences(np, history) / self.sizes[:, None, None], rest, last

    def seen(self, part: tuple[np.ndarray, ...], view: int) -> tuple[np.ndarray, np.ndarray]:
        """Differences [W, M*C, T, 3] and what is to be fitted [W, C, 3], in the frame of a view."""
        past, rest, last = part
        shift = np.eye(self.past)[0] / self.sizes
        axes, near = self.views.axes[:, [view]], self.views.neighbours[[view]]
        frames, z = seen_from_nodes(NUMPY, past, last, axes, near, shift)
        return z[:, 0], np.matmul(rest[:, self.nodes[view]], np.swapaxes(frames[:, 0], 1, 2))

    def seen_by(self, part: tuple[np.ndarray, ...], k: int) -> tuple[np.ndarray, np.ndarray]:
        """The same from all views of a class, one after another."""
        z, rest = zip(*(self.seen(part, view) for view in self.members[k]), strict=True)
        return np.concatenate(z), np.concatenate(rest)

    def designs(self, k: int, *parts: tuple[np.ndarray, ...]):
        """Mean and size of the shape in the frames of a class, and designs and responses of each part."""
        seen = [self.seen_by(part, k) for part in parts]
        shape = seen[0][0][:, :, 0, :2]
        mean = shape.mean(axis=0)
        size = np.sqrt(np.mean((shape - mean) ** 2)) or 1.0
        pairs = []
        for z, rest in seen:
            z[:, :, 0, :2] -= mean
            z[:, :, 0] /= size
            rows = len(z)
            even = np.concatenate([z[..., :2].reshape(rows, -1), np.ones((rows, 1))], axis=1)
            odd = z[..., 2].reshape(rows, -1)
            pairs.append(((even, rest[..., :2].reshape(rows, -1)), (odd, rest[..., 2])))
        return mean, size, pairs

    def validation_path(self, validation: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The mean squared error on the validation windows for each of RIDGES."""
        part, errors = self.differenced(validation), np.zeros(len(RIDGES))
        for k, members in enumerate(self.members):
            share = len(set(self.nodes[members])) / len(members)
            _, _, (train, held_out) = self.designs(k, self.train, part)
            for (design, response), (other, expected) in zip(train, held_out, strict=True):
                basis, coefficients = ridge_path(design, response)
                seen = other @ basis
                for place, ridge in enumerate(RIDGES):
                    error = np.sum((seen @ coefficients(ridge) - expected) ** 2)
                    errors[place] += share * error
            tell("strength of ridge", k + 1, len(self.members))
        return errors / validation[1].size

    def solve(self, ridge: float) -> dict[str, np.ndarray]:
        """What the predictor needs, for a λ."""
        count, channels, past = len(self.members), self.channels, self.past
        points = self.views.neighbours.shape[1] * channels
        even, odd = np.zeros((count, channels, 2, points, past, 2)), []
        constant = np.zeros((count, channels, 2))
        for k in range(count):
            mean, size, ((first, second),) = self.designs(k, self.train)
            sizes = np.array([size, *self.sizes[1:]])
            weights = _ridge(*first, ridge).T.reshape(channels, 2, -1)
            by_order = weights[..., :-1].reshape(channels, 2, points, past, 2)
            constant[k] = weights[..., -1]
            constant[k] -= np.einsum("cape,pe->ca", by_order[..., 0, :], mean) / size
            even[k] = by_order / sizes[:, None]
            by_order = _ridge(*second, ridge).T.reshape(channels, points, past)
            odd.append(by_order / sizes)
            tell("weights", k + 1, count)
        classes = self.views.classes
        return {
            "base": self.base,
            "even": even[classes],
            "odd": np.array(odd)[classes],
            "constant": constant[classes],
            "ridge": np.float64(ridge),
        }


def _ridge(design: np.ndarray, response: np.ndarray, ridge: float) -> np.ndarray:
    basis, coefficients = ridge_path(design, response)
    return basis @ coefficients(ridge)
