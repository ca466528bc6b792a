"""Mode ridge: what autoregression leaves, from the normal modes of a body, by ridge regression."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import evenly, frames_of, gather, inside_frames_of
from estag_jax.graph import Array
from estag_jax.io import part_of
from estag_jax.models.base import SPEED, ClosedForm, Predictor
from estag_jax.models.frame_regressions import both_ways
from estag_jax.models.frame_ridge import AFFORDABLE
from estag_jax.models.in_context import InContextAr, InContextPredictor
from estag_jax.models.linear import checked
from estag_jax.ops import linalg
from estag_jax.ops.body_frames import mean_structure, nearly_degenerate, polar_frame
from estag_jax.ops.ridge import line_search, ridge_path

FRAMES = 2000
"""Frames at most from which the mean structure and its modes are computed."""

BLOCK = 64
"""Windows that are turned at once."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ModePredictor(Predictor):
    """In-context AR, and a map of the modes' past that is linear in the frame of the body.

        z(t) = V^T (R (x(t) - o) - m),   x* = f(x) + R^T V sum_t W_t z(t)

    f is in-context AR, R the polar frame of the window about the mean structure m (ops.body_frames), o
    the centroid of the last frame and V the principal modes of the training frames in that frame. z is
    invariant under O(3), so the forecast is exactly equivariant. Along directions that a degenerate frame
    lacks, f alone is left.

    Args:
      prior: f.
      mean: m [N, C, 3].
      modes: V [3 N C, K].
      weights: W [T, K, K], from modes to modes.
      ridges: the chosen λ of weights that modes share, of each mode's own and of all modes together.
      degenerate: share of the training windows whose frame is nearly degenerate.
      reversible: whether every window was fitted backwards in time too.
    """

    prior: InContextPredictor
    mean: Array
    modes: Array
    weights: Array
    ridges: Array
    degenerate: Array
    reversible: Array

    @property
    def parameters(self) -> int:
        return self.prior.parameters + np.size(self.weights)

    @property
    def chosen(self) -> dict[str, Any]:
        names = "shared ridge", "ridge of each mode", "ridge of all modes"
        return {
            **self.prior.chosen,
            **{name: f"{float(ridge):.3g}" for name, ridge in zip(names, self.ridges, strict=True)},
            "reversible": bool(self.reversible),
            "degenerate frames": float(self.degenerate),
        }

    def predict(self, history: Array, inputs: Any = None) -> Array:
        """The predicted frame; pure, for numpy (computed in float64) and under ``jax.jit``.

        Args:
          history: past frames [..., N, T, C, 3].
          inputs: not looked at.

        Returns:
          [..., N, C, 3]; float64 from numpy input, at least float32 from a jax array.

        Raises:
          ValueError: the history has another T, N or C than the weights, or fewer than 4 axes.
        """
        del inputs
        backend, history = linalg.backend_of(history)
        xp, matmul = backend.xp, backend.matmul
        (nodes, channels, _), past = np.shape(self.mean), len(self.weights)
        if history.shape[-4:] != (nodes, past, channels, 3):
            raise ValueError(
                f"history has shape {history.shape}, expected [..., {nodes}, {past}, {channels}, 3]"
            )
        windows = history.reshape(-1, *history.shape[-4:])
        mean, modes, weights = (
            xp.asarray(a, history.dtype) for a in (self.mean, self.modes, self.weights)
        )
        frames, seen = in_body_frame(backend, windows, mean)
        z = matmul(seen, modes).reshape(len(windows), -1)
        moved = matmul(matmul(z, weights.reshape(z.shape[1], -1)), modes.T)
        moved = matmul(moved.reshape(len(windows), -1, 3), frames).reshape(-1, *mean.shape)
        return self.prior.predict(history) + moved.reshape(*history.shape[:-4], *mean.shape)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The leaves by name, those of f as ``prior/…``."""
        arrays = {f"prior/{name}": array for name, array in self.prior.to_arrays().items()}
        rest = (field.name for field in dataclasses.fields(self) if field.name != "prior")
        return arrays | {name: np.asarray(getattr(self, name)) for name in rest}

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> ModePredictor:
        own = InContextPredictor.from_arrays(method, part_of(arrays, "prior/"))
        return cls(own, **{name: array for name, array in arrays.items() if "/" not in name})


@dataclasses.dataclass(frozen=True)
class ModeRidge(ClosedForm):
    """Ridge regression on the modes of a body, for proteins above all; one system only.

    In-context AR is fitted first. What it leaves, y in the modes and in the frame of the body, is fitted
    three times: by weights that all modes k share, by each mode's deviations from them, and what that
    leaves by the past of all modes,

        min_a sum_k |y_k - z_k a|² + λ0 s |a|²
        min_D |y_k - z_k D_k|² + λ1 s |D_k - a|²
        min_B |y - z D - u B|² + λ2 s |B|²,   u_k = z_k v_k^(-1/4)

    with v_k the variances of the modes and s the means of the Gram matrices' diagonals: small modes
    are given more weight than their size, less than by whitening. Every λ, and whether windows are
    fitted backwards in time too, as suits equilibrium dynamics, is the best on the validation windows.

    All windows that lie within the frames of training windows are fitted. They are more than the drawn
    ones where those overlap, and read no other frame.

    Args:
      modes: at most.
      windows: at most; of more some are taken, evenly.
      reversible: fit every window forwards and backwards; None takes the better on the validation
        windows.
      operations: floating-point operations that the fit may take.
    """

    predictor = ModePredictor
    tied = True

    modes: int = 256
    windows: int = 4000
    reversible: bool | None = None
    operations: int = AFFORDABLE

    def __post_init__(self):
        for name in ("modes", "windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task) or InContextAr().refuse(task):
            return why
        if (needed := self._operations(task)) > self.operations:
            return (
                f"would take {needed:.0e} operations for {task.system.num_nodes} nodes, more than the "
                f"{self.operations:.0e} allowed (operations; or lower modes or windows)"
            )
        return None

    def seconds(self, task: Task) -> float:
        return self._operations(task) / SPEED

    def _operations(self, task: Task) -> float:
        rows, size = 2 * len(self._starts(task)), 3 * task.system.num_nodes * task.system.channels
        inputs = min(self.modes, size) * task.window.past
        rank, frames = min(rows, inputs), min(FRAMES, size)
        tried = 60 * task.count("validation") * rank * min(self.modes, size)
        decomposed = 10 * frames**3 + 2 * FRAMES * size * frames
        return 2 * (2 * rows * inputs * rank + 10 * rank**3 + tried) + decomposed

    def _starts(self, task: Task) -> np.ndarray:
        """The first frames of the windows that are fitted."""
        lengths = task.trajectories[0].lengths
        return evenly(inside_frames_of(task.splits[0].train, lengths, task.window), self.windows)

    def fit(self, task: Task) -> ModePredictor:
        if why := self.refuse(task):
            raise ValueError(f"mode ridge {why}")
        prior, starts, past = InContextAr().fit(task), self._starts(task), task.window.past
        inside = np.unique(frames_of(starts, task.window))
        body = _Body(
            task, prior, mean_structure(task.trajectories[0].positions[evenly(inside, FRAMES)])
        )
        seen = [seen for _, seen, _ in body.turned(evenly(starts, FRAMES // past or 1))]
        modes, variances = principal_modes(
            np.concatenate(seen).reshape(-1, body.mean.size), self.modes
        )
        degenerate, *forwards = body.in_modes(starts, modes)
        _, *validation = body.in_modes(task.splits[0].validation, modes)
        fits = {}
        # Backwards in time a window has its target before it, at the distance of one step.
        choices = [False, True] if self.reversible is None else [self.reversible]
        for both in choices if task.window.horizons[0] == 1 else [False]:
            given = forwards
            if both:
                _, *backwards = body.in_modes(starts, modes, backwards=True)
                given = [np.concatenate(pair) for pair in zip(forwards, backwards, strict=True)]
            fits[both] = regress(*given, *validation, variances)
        best = min(fits, key=lambda both: fits[both][0])
        _, weights, ridges = fits[best]
        return ModePredictor(
            prior,
            body.mean,
            modes,
            weights,
            np.array(ridges),
            np.float64(degenerate),
            np.array(best),
        )


class _Body:
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
