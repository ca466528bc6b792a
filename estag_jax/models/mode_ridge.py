"""Mode ridge: what autoregression leaves, from the normal modes of a body, by ridge regression."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import evenly, frames_of, inside_frames_of
from estag_jax.graph import Array
from estag_jax.models.base import SPEED, ClosedForm, Predictor, windows_of
from estag_jax.models.frame_ridge import AFFORDABLE
from estag_jax.models.in_context import InContextAr, InContextPredictor
from estag_jax.models.mode_regressions import Body, in_body_frame, principal_modes, regress
from estag_jax.npz import part_of
from estag_jax.ops import linalg
from estag_jax.ops.body_frames import mean_structure

FRAMES = 2000
"""Frames at most from which the mean structure and its modes are computed."""


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
        del inputs
        backend, history = linalg.backend_of(history)
        xp, matmul = backend.xp, backend.matmul
        (nodes, channels, _), past = np.shape(self.mean), len(self.weights)
        windows = windows_of(history, nodes, past, channels)
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
        body = Body(
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
