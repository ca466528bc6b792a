"""The regressions of mode ridge: windows as seen from a body, its principal modes, and ridge on them."""

from __future__ import annotations

import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import gather
from estag_jax.graph import Array
from estag_jax.models.frame_regressions import both_ways
from estag_jax.models.in_context import InContextPredictor
from estag_jax.models.linear import checked
from estag_jax.ops import linalg
from estag_jax.ops.body_frames import nearly_degenerate, polar_frame
from estag_jax.ops.ridge import line_search, ridge_path

BLOCK = 64
"""Windows that are turned at once."""


class Body:
    """Windows of a task as they are seen from the body.

    Args:
      task: of one system.
      prior: what is fitted first.
      mean: m [N, C, 3].
    """

    def __init__(self, task: Task, prior: InContextPredictor, mean: np.ndarray):
        self.task, self.prior, self.mean = task, prior, mean

    def turned(self, starts: np.ndarray, backwards: bool = False):
        """R [B, 3, 3], deviations [B, T, D], and what the prior leaves of the targets [B, D], in blocks."""
        for begin in range(0, len(starts), BLOCK):
            positions = self.task.trajectories[0].positions
            gathered = gather(positions, starts[begin : begin + BLOCK], self.task.window)
            windows = checked(*gathered)
            if backwards:
                windows = tuple(array[len(array) // 2 :] for array in both_ways(*windows))
            history, target = windows
            frames, seen = in_body_frame(linalg.NUMPY, history, self.mean)
            rest = (target - self.prior.predict(history)).reshape(len(history), -1, 3)
            yield frames, seen, (rest @ np.swapaxes(frames, 1, 2)).reshape(len(history), -1)

    def in_modes(self, starts: np.ndarray, modes: np.ndarray, backwards: bool = False):
        """Share of nearly degenerate frames, deviations [W, T, K] and rests [W, K] in the modes."""
        found = [
            (nearly_degenerate(frames), seen @ modes, rest @ modes)
            for frames, seen, rest in self.turned(starts, backwards)
        ]
        degenerate, z, y = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return degenerate.mean(), z, y


def in_body_frame(backend: linalg.Backend, history: Array, mean: Array) -> tuple[Array, Array]:
    """R of each window, and how its frames deviate from the mean structure.

    Args:
      backend: what the arrays are computed with.
      history: [B, N, T, C, 3].
      mean: m [N, C, 3], about its own centroid.

    Returns:
      [B, 3, 3], and R (x(t) - o) - m with o the centroid of the last frame [B, T, 3 N C].
    """
    xp, _, matmul = backend
    frames = polar_frame(backend, history, mean)
    past = history.shape[2]
    centred = history - history[:, :, -1:].mean(axis=(1, 3), keepdims=True)
    flat = xp.moveaxis(centred, 2, 1).reshape(len(history), -1, 3)
    turned = matmul(flat, xp.swapaxes(frames, 1, 2)).reshape(len(history), past, -1)
    return frames, turned - mean.reshape(-1)


def principal_modes(deviations: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of deviations [F, D] about zero [D, K], largest first, and their variances [K]."""
    rows = deviations / np.sqrt(len(deviations))
    if rows.shape[0] < rows.shape[1]:
        _, values, axes = np.linalg.svd(rows, full_matrices=False)
        return axes[:most].T, values[:most] ** 2
    values, axes = np.linalg.eigh(rows.T @ rows)
    return axes[:, ::-1][:, :most], np.maximum(values[::-1][:most], 0.0)


def regress(
    z: np.ndarray, y: np.ndarray, z_new: np.ndarray, y_new: np.ndarray, variances: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The ridge regressions of ModeRidge, every λ by the windows ``new``.

    Args:
      z: modes of the histories [W, T, K].
      y: of what is to be fitted [W, K].
      z_new: those of the windows that choose λ.
      y_new: likewise.
      variances: v [K].

    Returns:
      The squared error on them, W [T, K, K], and every λ [3].
    """
    past, count = z.shape[1:]
    gram = np.einsum("wtk,wsk->kts", z, z, optimize=True)
    moment = np.einsum("wtk,wk->kt", z, y, optimize=True)

    def ridge(gram: np.ndarray, moment: np.ndarray, exponent: float) -> np.ndarray:
        size = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / past
        damped = gram + 10.0**exponent * np.where(size > 0, size, 1.0) * np.eye(past)
        return np.linalg.solve(damped, moment[..., None])[..., 0]

    def shared(exponent: float) -> np.ndarray:
        """a, for each mode [K, T]."""
        weights = ridge(gram.sum(axis=0), moment.sum(axis=0), exponent)
        return np.broadcast_to(weights, (count, past))

    def own(exponent: float) -> np.ndarray:
        """D [K, T]."""
        left = moment - np.einsum("kts,ks->kt", gram, common)
        return common + ridge(gram, left, exponent)

    def left(z: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return y - np.einsum("wtk,kt->wk", z, weights, optimize=True)

    def missed(weights: np.ndarray) -> float:
        return float(np.sum(left(z_new, y_new, weights) ** 2))

    zeroth = line_search(lambda exponent: missed(shared(exponent)))
    common = shared(zeroth)
    first = line_search(lambda exponent: missed(own(exponent)))
    weights = own(first)
    # A mode that does not move (those of turning, of straight or plane bodies) says nothing.
    moves = variances > 1e-9 * variances[0]
    scale = np.where(moves, np.where(moves, variances, 1.0) / (variances[0] or 1.0), 1.0) ** -0.25
    scale = scale * moves
    flat = (z * scale).reshape(len(z), -1)
    basis, coefficients = ridge_path(flat, left(z, y, weights))
    new, rest = (z_new * scale).reshape(len(z_new), -1) @ basis, left(z_new, y_new, weights)

    def error(exponent: float) -> float:
        return float(np.sum((rest - new @ coefficients(10.0**exponent)) ** 2))

    second = line_search(error)
    full = (basis @ coefficients(10.0**second)).reshape(past, count, count) * scale[:, None]
    full[:, np.arange(count), np.arange(count)] += weights.T
    return error(second), full, 10.0 ** np.array([zeroth, first, second])
