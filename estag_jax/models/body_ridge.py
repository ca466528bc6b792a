"""Body ridge: every node from the past of all nodes, by ridge regression in the frame of the body."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.models.base import SPEED, ClosedForm, Predictor, windows_of
from estag_jax.models.body_frames import UP, BodyFrames, Pairs, seen_from_body
from estag_jax.models.body_regressions import Seen, seen_by
from estag_jax.models.linear import differences, fitting_vectors, fitting_windows
from estag_jax.models.memory import memory_refused
from estag_jax.models.ridge import AFFORDABLE
from estag_jax.npz import part_of
from estag_jax.ops import linalg
from estag_jax.ops.ridge import line_search, ridge_path


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class BodyPredictor(Predictor):
    """A forecast that is linear in the past frames as seen from the frame of the body.

        x* = x(T-1) + sum_t a_t (x(t) - x(T-1)) + R^T (W z + k)
        z_t = R (x(t) - x(T-1)) for t < T-1,  z_{T-1} = R (x(T-1) - o)

    R is the frame of the whole body (ops.body_frames) and o its centroid. All of z are invariants, so any W
    is exactly O(3)-equivariant; in the walking frame, together with the direction of up. Along the
    directions that R lacks the first two terms (AR-LS) are left.

    Args:
      frames: the frame of a window.
      base: a [T-1].
      weights: W [N*C, 3, T, N*C, 3].
      constant: k [N*C, 3].
      ridge: the chosen λ relative to the mean of the Gram matrix's diagonal; 0 where there is none.
      degenerate: share of the training windows whose frame is nearly degenerate.
    """

    frames: BodyFrames
    base: Array
    weights: Array
    constant: Array
    ridge: Array
    degenerate: Array

    @property
    def parameters(self) -> int:
        return sum(np.size(array) for array in (self.base, self.weights, self.constant))

    @property
    def chosen(self) -> dict[str, Any]:
        pairs = int(np.sum(self.frames.mirror != np.arange(len(self.frames.mirror)))) // 2
        ridge = {"ridge": float(self.ridge)} if np.any(self.ridge) else {}
        return ridge | {
            "frame": "walking" if self.frames.walking else "body",
            "mirror pairs": pairs,
            "degenerate frames": float(self.degenerate),
        }

    @property
    def vectors(self) -> tuple[str, ...]:
        return (UP,) if self.frames.walking else ()

    def seen(self, history: Array, inputs: Any) -> tuple[linalg.Backend, Array, Array, Array]:
        """Backend, windows [B, N, T, C, 3], frames [B, 3, 3] and z [B, T, N*C, 3] of a history.

        Raises:
          ValueError: as in ``predict``.
        """
        backend, history = linalg.backend_of(history)
        nodes, channels = np.shape(self.frames.mean)[:2]
        past = len(self.base) + 1
        windows = windows_of(history, nodes, past, channels)
        frames = self.frames.of(backend, windows, inputs)
        return backend, windows, frames, seen_from_body(backend, windows, frames)

    def forecast(self, backend: linalg.Backend, windows: Array, frames: Array, step: Array):
        """x* of windows, given what is added in the frame: step [B, N*C, 3]."""
        base = backend.xp.asarray(self.base, windows.dtype)
        moved = backend.matmul(backend.xp.moveaxis(differences(windows), 2, -1), base)
        last = windows[:, :, -1]
        return last + moved + backend.matmul(step, frames).reshape(last.shape)

    def step(self, backend: linalg.Backend, z: Array) -> Array:
        """W z + k [B, N*C, 3]."""
        weights, constant = (
            backend.xp.asarray(array, z.dtype) for array in (self.weights, self.constant)
        )
        rows = z.reshape(len(z), -1)
        return (
            backend.matmul(rows, weights.reshape(-1, rows.shape[1]).T).reshape(-1, *constant.shape)
            + constant
        )

    def predict(self, history: Array, inputs: Any = None) -> Array:
        backend, windows, frames, z = self.seen(history, inputs)
        frame = self.forecast(backend, windows, frames, self.step(backend, z))
        return frame.reshape(*history.shape[:-4], *frame.shape[1:])

    def to_arrays(self) -> dict[str, np.ndarray]:
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        frames = own.pop("frames")
        own |= {f"frames/{f.name}": getattr(frames, f.name) for f in dataclasses.fields(frames)}
        return {name: np.asarray(value) for name, value in own.items()}

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> BodyPredictor:
        del method
        own = part_of(arrays, "frames/")
        frames = BodyFrames(**own | {"walking": bool(own["walking"])})
        return cls(frames, **{name: value for name, value in arrays.items() if "/" not in name})


@dataclasses.dataclass(frozen=True)
class BodyRidge(ClosedForm):
    """Ridge regression in the frame of the whole body; one system only.

        min_W |R step - W z - k|² + λ |W|²

    with the pose and the differences of all nodes as inputs z, each lag divided by its root mean square
    (models.body_regressions). The frame is that of up, heading and left, where the task knows up, or that
    of the mean structure; every window may be used twice, the second time mirrored with left and right
    exchanged. Which of these, and λ, is decided by the validation windows.

    Args:
      mirror: pairs of left and right nodes; None finds them from graph and mean structure, () uses none.
      memory: bytes that the fit may take.
    """

    predictor = BodyPredictor
    needs = 2
    tied = True

    mirror: Pairs | None = None
    memory: int = AFFORDABLE

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        rows, width, outputs = self._sizes(task)
        needed = 8 * (2 * rows * width + 3 * min(rows, width) ** 2 + 2 * width * outputs)
        return memory_refused(needed, self.memory, f"{task.system.num_nodes} nodes", "memory")

    def seconds(self, task: Task) -> float:
        rows, width, outputs = self._sizes(task)
        rank = min(rows, width)
        solved = 2 * rows * width * rank + 10 * rank**3
        tried = 2 * task.count("validation") * rank * (width + 30 * outputs)
        return 4 * (solved + tried) / SPEED

    def _sizes(self, task: Task) -> tuple[int, int, int]:
        """Rows, with mirror images, inputs and outputs of the regression."""
        outputs = 3 * task.system.num_nodes * task.system.channels
        return 2 * task.count("train"), outputs * task.window.past, outputs

    def fit(self, task: Task) -> BodyPredictor:
        if why := self.refuse(task):
            raise ValueError(f"body ridge {why}")
        history, target = fitting_windows(task, "validation")
        inputs = fitting_vectors(task, "validation")
        fits = [_fitted(seen) for seen in seen_by(task, self.mirror)]
        errors = [np.mean((fit.predict(history, inputs) - target) ** 2) for fit in fits]
        return fits[int(np.argmin(errors))]


def _fitted(seen: Seen) -> BodyPredictor:
    """The fit to what is seen of the training windows, λ by the validation windows."""
    count, past, points = seen.z.shape[:3]
    design, response = seen.scaled(seen.z), seen.step - seen.centre
    basis, coefficients = ridge_path(design.reshape(count, -1), response.reshape(count, -1))
    z, step = seen.held_out
    rows = seen.scaled(z).reshape(len(z), -1) @ basis
    expected = (step - seen.centre).reshape(len(z), -1)

    def error(exponent: float) -> float:
        return float(np.mean((rows @ coefficients(10.0**exponent) - expected) ** 2))

    ridge = 10.0 ** line_search(error)
    weights = (basis @ coefficients(ridge)).T.reshape(points, 3, past, points, 3)
    return BodyPredictor(
        seen.frames,
        **seen.linear(weights / seen.size[:, None, None]),
        ridge=np.float64(ridge),
        degenerate=np.float64(seen.degenerate),
    )
