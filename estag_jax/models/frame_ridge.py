"""Frame ridge: every node from the past of its neighbourhood, by ridge regression in its local frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.task import Part, Task
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.models.frames import ALL_UP_TO, NEIGHBOURS, Axes, choose_axes, nearest_nodes
from estag_jax.models.linear import checked, differences
from estag_jax.ops import linalg
from estag_jax.ops.frames import backward_differences, local_frames
from estag_jax.ops.ridge import ridge_path

AFFORDABLE = 10**13
"""Floating-point operations that a fit may take without being asked: a few minutes on one core."""

RIDGES = 10.0 ** np.arange(-10, 2.5, 0.5)
"""λ relative to the mean of the Gram matrix's diagonal."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FramePredictor(Predictor):
    """A forecast that is linear in the past frames as each node sees them from its local frame.

        x*_ic = x_ic(T-1) + sum_t a_t (x_ic(t) - x_ic(T-1)) + R_i^T (W_ic y_i + k_ic)
        y_ijt = R_i (x_j(t) - x_i(T-1))

    R_i is the local frame of node i at the last frame (ops.frames). Components 1 and 2 of y are
    invariant, the third changes sign under reflection; W maps even to even and odd to odd, so the
    forecast is exactly O(3)-equivariant. Where R_i is degenerate, the first two terms (AR-LS) are left
    along the directions that it lacks.

    Args:
      axes: the points of the local frames [3, N]: origin, first, second (models.frames).
      neighbours: the nodes that each node looks at [N, M].
      base: a [T-1].
      even: W to the components 1 and 2 [N, C, 2, M*C, T, 2].
      odd: W to the component 3 [N, C, M*C, T].
      constant: k, for the components 1 and 2 [N, C, 2].
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
        if isinstance(history, jax.Array):
            xp, matmul = jnp, linalg.matmul
            history = history.astype(jnp.result_type(history.dtype, jnp.float32))
        else:
            xp, matmul = np, np.matmul
            history = np.asarray(history, np.float64)
        nodes, channels = np.shape(self.constant)[:2]
        past = np.shape(self.even)[-2]
        if history.shape[-4:] != (nodes, past, channels, 3):
            raise ValueError(
                f"history has shape {history.shape}, expected [..., {nodes}, {past}, {channels}, 3]"
            )
        windows = history.reshape(-1, *history.shape[-4:])
        base, even, odd, constant = (
            xp.asarray(array, history.dtype)
            for array in (self.base, self.even, self.odd, self.constant)
        )
        frames, y = seen_from_nodes(
            xp, windows, windows[:, :, -1], self.axes, self.neighbours, xp.ones(past, history.dtype)
        )

        def mapped(weights, outputs, seen):
            """W y for every node: [N, outputs, inputs] and [B, N, …] -> [B, N, outputs]."""
            seen = xp.swapaxes(seen.reshape(*seen.shape[:2], -1), 0, 1)
            weights = xp.swapaxes(weights.reshape(nodes, outputs, -1), 1, 2)
            return xp.swapaxes(matmul(seen, weights), 0, 1)

        flat = mapped(even, 2 * channels, y[..., :2]).reshape(-1, nodes, channels, 2) + constant
        step = xp.concatenate([flat, mapped(odd, channels, y[..., 2])[..., None]], axis=-1)
        moved = matmul(xp.moveaxis(differences(windows), 2, -1), base)
        frame = windows[:, :, -1] + moved + matmul(step, frames)
        return frame.reshape(*history.shape[:-4], nodes, channels, 3)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> FramePredictor:
        del method
        return cls(**{f.name: arrays[f.name] for f in dataclasses.fields(cls)})


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
      operations: floating-point operations that the fit may take.
    """

    predictor = FramePredictor
    needs = 2
    tied = True

    neighbours: int | None = None
    reversible: bool | None = None
    operations: int = AFFORDABLE

    def __post_init__(self):
        if self.neighbours is not None and self.neighbours < 1:
            raise ValueError(f"neighbours is {self.neighbours}, it must be at least 1")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        nodes, channels = task.system.num_nodes, task.system.channels
        width = 2 * self._looks_at(nodes) * channels * task.window.past
        rows = 2 * task.count("train")
        needed = 4 * nodes * (2 * rows * width * min(rows, width) + 10 * min(rows, width) ** 3)
        if needed > self.operations:
            return (
                f"would take {needed:.0e} operations for {nodes} nodes with {width} inputs each, more than "
                f"the {self.operations:.0e} allowed (operations; or lower neighbours)"
            )
        return None

    def _looks_at(self, nodes: int) -> int:
        return min(nodes, self.neighbours or (nodes if nodes <= ALL_UP_TO else NEIGHBOURS))

    def fit(self, task: Task) -> FramePredictor:
        if why := self.refuse(task):
            raise ValueError(f"frame ridge {why}")
        train, validation = (_windows(task, part) for part in ("train", "validation"))
        history = train[0]
        last = history[:, :, -1].reshape(len(history), -1, 3)
        axes, degenerate = choose_axes(task.system, last)
        anchors = history[:, :, -1, task.system.anchor]
        near = nearest_nodes(anchors, self._looks_at(task.system.num_nodes))
        # Backwards in time a window has its target before it, at the distance of one step.
        choices = [self.reversible] if self.reversible is not None else [False, True]
        if task.window.horizons[0] != 1:
            choices = [False]
        problems = [
            _Regressions(_both_ways(*train) if both else train, axes, near) for both in choices
        ]
        paths = [problem.validation_path(validation) for problem in problems]
        best = int(np.argmin([path.min() for path in paths]))
        ridge = RIDGES[np.argmin(paths[best])]
        return FramePredictor(
            axes=np.array(axes),
            neighbours=near,
            **problems[best].solve(ridge),
            degenerate=degenerate,
            reversible=np.array(choices[best]),
        )


def seen_from_nodes(
    xp: Any, past: Array, last: Array, axes: Array, neighbours: Array, shift: Array
) -> tuple[Array, Array]:
    """The local frames R [B, N, 3, 3] and y_ijt = R_i (v_j(t) - s_t x_i(T-1)) [B, N, M*C, T, 3].

    Args:
      xp: numpy or jax.numpy.
      past: v, frames or differences of them [B, N', T, C, 3].
      last: x(T-1) [B, N', C, 3].
      axes: the points of the frames of N of the nodes [3, N].
      neighbours: [N, M].
      shift: s [T], 1 for positions and 0 for differences.
    """
    points = last.reshape(len(last), -1, 3)
    origin, first, second = (points[:, which] for which in axes)
    frames = local_frames(xp, origin, first, second)
    seen = xp.moveaxis(past[:, neighbours], 4, 3)  # [B, N, M, C, T, 3]
    seen = seen.reshape(*origin.shape[:2], -1, past.shape[2], 3)
    seen = seen - origin[:, :, None, None] * shift[:, None]
    product = np.matmul if xp is np else linalg.matmul
    turned = product(seen.reshape(*origin.shape[:2], -1, 3), xp.swapaxes(frames, -1, -2))
    return frames, turned.reshape(seen.shape)


def _windows(task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
    (windows,) = task.windows(part)
    return checked(windows.history, windows.target)


def _both_ways(history: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows, and the same with time reversed."""
    run = np.concatenate([history, target[:, :, None]], axis=2)[:, :, ::-1]
    return np.concatenate([history, run[:, :, :-1]]), np.concatenate([target, run[:, :, -1]])


class _Regressions:
    """The two regressions of each node, even and odd, for some training windows."""

    def __init__(self, train: tuple[np.ndarray, np.ndarray], axes: Axes, near: np.ndarray):
        self.axes, self.near = np.array(axes), near
        history, target = train
        past = history.shape[2]
        self.nodes, self.channels, self.past = len(near), history.shape[3], past
        steps = np.moveaxis(differences(history), 2, -1).reshape(-1, past - 1)
        move = (target - history[:, :, -1]).reshape(-1)
        self.base = np.linalg.lstsq(steps, move, rcond=None)[0]
        self.orders = backward_differences(past)
        moved = np.moveaxis(np.tensordot(self.orders, history, (1, 2)), 0, -1).reshape(-1, past)
        size = np.sqrt(np.mean(moved**2, axis=0))
        self.orders[1:] /= np.where(size > 0, size, 1.0)[1:, None]
        self.train = self.differenced(train)

    def differenced(self, windows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Differences of all orders [W, N, T, C, 3], what the base leaves of the step, and the last frame."""
        history, target = windows
        last = history[:, :, -1]
        rest = target - last - np.tensordot(differences(history), self.base, (2, 0))
        return np.moveaxis(np.tensordot(self.orders, history, (1, 2)), 0, 2), rest, last

    def seen(self, part: tuple[np.ndarray, ...], node: int) -> tuple[np.ndarray, np.ndarray]:
        """Differences [W, M*C, T, 3] and what is to be fitted [W, C, 3], in a node's frame."""
        past, rest, last = part
        shift = np.eye(self.past)[0]
        frames, z = seen_from_nodes(np, past, last, self.axes[:, [node]], self.near[[node]], shift)
        return z[:, 0], np.matmul(rest[:, node], np.swapaxes(frames[:, 0], 1, 2))

    def designs(self, node: int, *parts: tuple[np.ndarray, ...]):
        """Mean and size of the shape in a node's frame, and designs and responses of each part."""
        seen = [self.seen(part, node) for part in parts]
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
        for node in range(self.nodes):
            _, _, (train, held_out) = self.designs(node, self.train, part)
            for (design, response), (other, expected) in zip(train, held_out, strict=True):
                basis, coefficients = ridge_path(design, response)
                seen = other @ basis
                for place, ridge in enumerate(RIDGES):
                    errors[place] += np.sum((seen @ coefficients(ridge) - expected) ** 2)
        return errors / validation[1].size

    def solve(self, ridge: float) -> dict[str, np.ndarray]:
        """What the predictor needs, for a λ."""
        nodes, channels, past = self.nodes, self.channels, self.past
        points = self.near.shape[1] * channels
        even, odd = np.zeros((nodes, channels, 2, points, past, 2)), []
        constant = np.zeros((nodes, channels, 2))
        for node in range(nodes):
            mean, size, ((first, second),) = self.designs(node, self.train)
            orders = np.concatenate([self.orders[:1] / size, self.orders[1:]])
            weights = _ridge(*first, ridge).T.reshape(channels, 2, -1)
            by_order = weights[..., :-1].reshape(channels, 2, points, past, 2)
            constant[node] = weights[..., -1]
            constant[node] -= np.einsum("cape,pe->ca", by_order[..., 0, :], mean) / size
            even[node] = np.einsum("capme,mt->capte", by_order, orders)
            by_order = _ridge(*second, ridge).T.reshape(channels, points, past)
            odd.append(np.einsum("cpm,mt->cpt", by_order, orders))
        return {
            "base": self.base,
            "even": even,
            "odd": np.array(odd),
            "constant": constant,
            "ridge": np.float64(ridge),
        }


def _ridge(design: np.ndarray, response: np.ndarray, ridge: float) -> np.ndarray:
    basis, coefficients = ridge_path(design, response)
    return basis @ coefficients(ridge)
