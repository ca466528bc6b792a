"""Frame ridge: every node from the past of its neighbourhood, by ridge regression in its local frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.models.base import SPEED, ClosedForm, Predictor, windows_of
from estag_jax.models.frame_regressions import RIDGES, Regressions, both_ways
from estag_jax.models.frames import (
    ALL_UP_TO,
    NEIGHBOURS,
    choose_axes,
    mean_of_views,
    nearest_nodes,
    seen_from_nodes,
)
from estag_jax.models.linear import differences, fitting_windows
from estag_jax.models.symmetries import Views, automorphisms
from estag_jax.ops import linalg
from estag_jax.ops.frames import backward_differences

AFFORDABLE = 10**13
"""Floating-point operations that a fit may take without being asked: a few minutes on one core."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FramePredictor(Predictor):
    """A forecast that is linear in the past frames as each node sees them from its local frame.

        x*_ic = x_ic(T-1) + sum_t a_t (x_ic(t) - x_ic(T-1)) + R_i^T (W_ic y_i + k_ic)
        y_ij0 = R_i (x_j(T-1) - x_i(T-1)),   y_ijm = R_i (D x_j)_m

    R_i is the local frame of node i at the last frame and D takes backward differences of the orders
    m = 1 … T-1 (ops.frames). Components 1 and 2 of y are invariant, the third changes sign under
    reflection; W maps even to even and odd to odd, so the forecast is exactly O(3)-equivariant. Where
    R_i is degenerate, the first two terms (AR-LS) are left along the directions that it lacks. Where
    nodes are tied, a node's third term is the mean over its views (models.symmetries), else V is N.

    Args:
      axes: the points of the local frames [3, V]: origin, first, second (models.frames).
      neighbours: the nodes that each node looks at [V, M].
      base: a [T-1].
      even: W to the components 1 and 2 [V, C, 2, M*C, T, 2].
      odd: W to the component 3 [V, C, M*C, T].
      constant: k, for the components 1 and 2 [V, C, 2].
      ridge: the chosen λ relative to the mean of the Gram matrix's diagonal.
      degenerate: share of the training windows in which a node's frame is nearly degenerate [N].
      reversible: whether every window was fitted backwards in time too.
    """

    axes: Array
    neighbours: Array
    base: Array
    even: Array
    odd: Array
    constant: Array
    ridge: Array
    degenerate: Array
    reversible: Array

    @property
    def parameters(self) -> int:
        arrays = self.base, self.even, self.odd, self.constant
        return sum(np.size(array) for array in arrays)

    @property
    def chosen(self) -> dict[str, Any]:
        return {
            "ridge": float(self.ridge),
            "reversible": bool(self.reversible),
            "degenerate frames": float(np.mean(self.degenerate)),
        }

    def predict(self, history: Array, inputs: Any = None) -> Array:
        del inputs
        backend, history = linalg.backend_of(history)
        xp, matmul = backend.xp, backend.matmul
        (views, channels), nodes = np.shape(self.constant)[:2], np.size(self.degenerate)
        past = np.shape(self.even)[-2]
        windows = windows_of(history, nodes, past, channels)
        base, even, odd, constant = (
            xp.asarray(array, history.dtype)
            for array in (self.base, self.even, self.odd, self.constant)
        )
        frames, y = seen_from_nodes(
            backend,
            backward_differences(xp, windows),
            windows[:, :, -1],
            self.axes,
            self.neighbours,
            xp.eye(past, dtype=history.dtype)[0],
        )

        def mapped(weights, outputs, seen):
            """W y for every view: [V, outputs, inputs] and [B, V, …] -> [B, V, outputs]."""
            seen = xp.swapaxes(seen.reshape(*seen.shape[:2], -1), 0, 1)
            weights = xp.swapaxes(weights.reshape(views, outputs, -1), 1, 2)
            return xp.swapaxes(matmul(seen, weights), 0, 1)

        flat = mapped(even, 2 * channels, y[..., :2]).reshape(-1, views, channels, 2) + constant
        step = xp.concatenate([flat, mapped(odd, channels, y[..., 2])[..., None]], axis=-1)
        moved = matmul(xp.moveaxis(differences(windows), 2, -1), base)
        added = mean_of_views(xp, matmul(step, frames), self.axes, nodes)
        frame = windows[:, :, -1] + moved + added
        return frame.reshape(*history.shape[:-4], nodes, channels, 3)


@dataclasses.dataclass(frozen=True)
class FrameRidge(ClosedForm):
    """Ridge regression in local reference frames; one system only.

    For every node i, even (components 1 and 2) and odd part apart,

        min_W |R_i (step_i - base) - W z_i|² + λ |W|²

    where z are backward differences of orders 0 … T-1 of all neighbours in the frame of i, each order
    divided by its root mean square. A scalar weight for each pair of nodes (VAR ridge) cannot tell
    stretching a bond from bending it; a weight in a frame that turns with the molecule can. λ, shared
    by all nodes, and whether windows are fitted backwards in time too, as suits reversible dynamics,
    are the best on the validation windows.

    Args:
      neighbours: nodes that a node looks at, the nearest ones and itself; None takes all of up to 64
        nodes, else 16.
      reversible: fit every window forwards and backwards; None takes the better on the validation
        windows.
      tie: nodes that a symmetry of the graph of bonds exchanges share their weights
        (models.symmetries), so the forecast is equivariant to that symmetry too.
      operations: floating-point operations that the fit may take.
    """

    predictor = FramePredictor
    needs = 2
    tied = True

    neighbours: int | None = None
    reversible: bool | None = None
    tie: bool = False
    operations: int = AFFORDABLE

    def __post_init__(self):
        if self.neighbours is not None and self.neighbours < 1:
            raise ValueError(f"neighbours is {self.neighbours}, it must be at least 1")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        if self.tie:
            try:
                automorphisms(task.system)
            except ValueError as error:
                return str(error)
        if (needed := self._operations(task)) > self.operations:
            return (
                f"would take {needed:.0e} operations for {task.system.num_nodes} nodes with "
                f"{self._width(task)} inputs each, more than the {self.operations:.0e} allowed "
                f"(operations; or lower neighbours)"
            )
        return None

    def seconds(self, task: Task) -> float:
        return self._operations(task) / SPEED

    def _width(self, task: Task) -> int:
        return 2 * self.looks_at(task.system.num_nodes) * task.system.channels * task.window.past

    def _operations(self, task: Task) -> float:
        width, rows = self._width(task), 2 * task.count("train")
        rank = min(rows, width)
        return 4 * task.system.num_nodes * (2 * rows * width * rank + 10 * rank**3)

    def looks_at(self, nodes: int) -> int:
        """How many nodes a node looks at, itself included."""
        return min(nodes, self.neighbours or (nodes if nodes <= ALL_UP_TO else NEIGHBOURS))

    def fit(self, task: Task) -> FramePredictor:
        if why := self.refuse(task):
            raise ValueError(f"frame ridge {why}")
        train, validation = (fitting_windows(task, part) for part in ("train", "validation"))
        history = train[0]
        last = history[:, :, -1].reshape(len(history), -1, 3)
        axes, degenerate = choose_axes(task.system, last)
        anchors = history[:, :, -1, task.system.anchor]
        near = nearest_nodes(anchors, self.looks_at(task.system.num_nodes))
        views = Views.of_nodes(np.array(axes), near)
        if self.tie:
            views = views.tied(task.system)
        # Backwards in time a window has its target before it, at the distance of one step.
        choices = [self.reversible] if self.reversible is not None else [False, True]
        if task.window.horizons[0] != 1:
            choices = [False]
        problems = [Regressions(both_ways(*train) if both else train, views) for both in choices]
        paths = [problem.validation_path(validation) for problem in problems]
        best = int(np.argmin([path.min() for path in paths]))
        ridge = RIDGES[np.argmin(paths[best])]
        return FramePredictor(
            axes=views.axes,
            neighbours=views.neighbours,
            **problems[best].solve(ridge),
            degenerate=degenerate,
            reversible=np.array(choices[best]),
        )
