"""The fit of frame kernel: samples, scales, back-casts, coefficients."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.data.windows import evenly
from estag_jax.io import tell
from estag_jax.models.frame_regressions import Regressions, both_ways
from estag_jax.models.frame_ridge import FramePredictor
from estag_jax.models.frames import rings_of
from estag_jax.models.kernel_predictor import FrameKernelPredictor
from estag_jax.models.kernel_search import search
from estag_jax.models.linear import fitting_windows
from estag_jax.models.symmetries import Views, classes_of
from estag_jax.ops import linalg
from estag_jax.ops.kernel_regression import Side, solve, solve_nystrom
from estag_jax.ops.kernels import Directions, Scales, initial_scales, linear_features, weights_of

if TYPE_CHECKING:
    from estag_jax.models.frame_kernel import FrameKernel

SHAPE = 4.0
"""The unit of the shape: so many times the root mean square of a step."""

NOISE = 2.0
"""Factor on the noise of windows that are continued by forecasts."""


class KernelFit:
    """The state of a fit: the samples, and the scales."""

    def __init__(self, method: FrameKernel, task: Task, ridge: FramePredictor):
        self.method, self.ridge, self.rng = method, ridge, np.random.default_rng(method.seed)
        history, target = fitting_windows(task, "train")
        ways = 2 if ridge.reversible else 1
        kept = evenly(np.arange(len(history)), method.samples // ways)
        self.windows = history[kept], target[kept]
        self.starts, self.span = np.asarray(task.splits[0].train)[kept], task.window.span
        self.dtype = task.dtype
        step = np.sqrt(np.mean(np.square(self.windows[1] - self.windows[0][:, :, -1])))
        self.data = both_ways(*self.windows) if ridge.reversible else self.windows
        shape = SHAPE * step or 1.0
        views = Views.of_nodes(ridge.axes, ridge.neighbours)
        if method.tie:
            nodes = views.axes[0] // task.system.channels
            views = views._replace(classes=classes_of(task.system, nodes))
        self.regressions = Regressions(self.data, views, shape)
        self.part, self.ways = self.regressions.train, ways
        self.members = self.regressions.members
        firsts = np.array([members[0] for members in self.members])
        self.rings = rings_of(
            task.system,
            history[:, :, -1],
            ridge.neighbours[firsts],
            self.regressions.nodes[firsts],
        )
        self.scales: Scales = initial_scales(task.window.past)
        means, squares = [], []
        for k in range(len(self.members)):
            z, rest = self.regressions.seen_by(self.part, k)
            means.append(z[:, :, 0, :2].mean(axis=0))
            squares.append(np.mean(rest**2))
        self.mean = np.array(means)
        self.size = float(np.sqrt(np.mean(squares))) or 1.0

    def take(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        """Makes windows the samples."""
        self.data, self.part = data, self.regressions.differenced(data)

    def seen(self, k: int, which: np.ndarray, view: int | None = None) -> tuple[np.ndarray, ...]:
        """z [S, M*C, T, 3] and y [S, 3 C] of some samples for a class, from one of its views or all."""
        part = tuple(a[which] for a in self.part)
        if view is None:
            z, rest = self.regressions.seen_by(part, k)
        else:
            z, rest = self.regressions.seen(part, view)
        z[:, :, 0, :2] -= self.mean[k]
        y = np.concatenate([rest[..., :2].reshape(len(z), -1), rest[..., 2]], axis=1)
        return z, y / self.size

    def noise(self) -> np.ndarray:
        """The factor on each sample's noise: the training windows come first."""
        own = self.ways * len(self.starts)
        return np.where(np.arange(len(self.data[0])) < own, 1.0, NOISE)

    def run(self) -> FrameKernelPredictor:
        """Search, fit, back-cast, search, fit."""
        data, (first, second) = self.data, self.method.steps
        self.scales = search(self, first, 0.1)
        added = self.method.backcasts * self.ridge.reversible
        if not added or len(data[0]) * (1 + added) > self.method.samples:
            return self.solve()
        self.take(self.continued(self.solve()))
        self.scales = search(self, second, 0.07)
        self.take(data)
        self.take(self.continued(self.solve()))
        return self.solve()

    def continued(self, predictor: FrameKernelPredictor) -> tuple[np.ndarray, np.ndarray]:
        """The samples, and windows moved back by the frames that a forecast backwards in time adds."""
        history, target = self.windows
        past, run = history.shape[2], np.concatenate([history, target[:, :, None]], axis=2)
        histories, targets = [self.data[0]], [self.data[1]]
        for frames in (run, run[:, :, ::-1]):
            for _ in range(self.method.backcasts):
                before = predictor.predict(frames[:, :, :past][:, :, ::-1])
                before = before.astype(self.dtype).astype(np.float64)
                frames = np.concatenate([before[:, :, None], frames], axis=2)
                histories.append(frames[:, :, :past])
                targets.append(frames[:, :, past])
        return np.concatenate(histories), np.concatenate(targets)

    def drawn(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For each class the samples that are fitted, counted over all its views, and the inducing ones."""
        count, drawn = len(self.data[0]), {}
        for total in {count * len(members) for members in self.members}:
            fitted = np.arange(min(total, max(count, self.method.samples)))
            if len(fitted) < total:
                fitted = np.sort(self.rng.permutation(total)[: len(fitted)])
            inducing = np.arange(len(fitted))
            if (kept := self.method.inducing(len(fitted))) < len(fitted):
                inducing = np.sort(self.rng.permutation(len(fitted))[:kept])
            drawn[total] = fitted, inducing
        return tuple(zip(*(drawn[count * len(m)] for m in self.members), strict=True))

    def solve(self) -> FrameKernelPredictor:
        """The coefficients for the scales, the linear part collapsed."""
        scales, backend, count = self.scales, linalg.solver(), len(self.data[0])
        fitted, inducing = self.drawn()
        most = max(len(some) for some in inducing)
        seen_from = np.zeros((len(self.members), most, 2), np.int32)
        for place, members, all_of_it, some in zip(
            seen_from, self.members, fitted, inducing, strict=True
        ):
            view, window = np.divmod(all_of_it[some], count)
            place[:, 1] = members[0]  # filled up with samples that have no coefficients
            place[: len(some)] = np.stack([window, members[view]], axis=1)
        used, place = np.unique(seen_from[..., 0], return_inverse=True)
        seen_from[..., 0] = place.reshape(seen_from.shape[:2])
        predictor = FrameKernelPredictor(
            linear=self.ridge,
            windows=self.data[0][used].astype(self.dtype),
            seen_from=seen_from,
            classes=self.regressions.views.classes,
            alpha=np.zeros(0),
            scales=scales,
            sizes=self.regressions.sizes,
            mean=self.mean,
            rings=self.rings,
            size=np.float64(self.size),
            samples=np.array(max(len(some) for some in fitted)),
        ).looking(self.method.cut)
        parts = []
        for k, (own, some) in enumerate(zip(fitted, inducing, strict=True)):
            tell("coefficients", k, len(self.members))
            along = jax.tree.map(lambda leaf, k=k: leaf[k], predictor.directions)
            parts.append(self._of_class(backend, k, along, own, some, most))
        even, odd, constant, alpha = (np.array(part) for part in zip(*parts, strict=True))
        classes = self.regressions.views.classes
        linear = dataclasses.replace(
            self.ridge,
            base=self.regressions.base,
            even=even[classes],
            odd=odd[classes],
            constant=constant[classes],
            ridge=np.float64(0),
        )
        return dataclasses.replace(predictor, linear=linear, alpha=alpha)

    def _of_class(
        self,
        backend: linalg.Backend,
        k: int,
        along: Directions,
        fitted: np.ndarray,
        inducing: np.ndarray,
        most: int,
    ) -> tuple[np.ndarray, ...]:
        """The linear map of a class, even [C, 2, P, T, 2] and odd [C, P, T], its constant, and α."""
        scales, rings, count = self.scales, self.rings[k], len(self.data[0])
        channels, past = self.windows[0].shape[3], self.windows[0].shape[2]
        z, y = (a[fitted] for a in self.seen(k, np.arange(count)))
        noise = self.noise()[fitted % count]
        weights = weights_of(np, scales, rings)[0]
        flat, third = linear_features(np, scales, z, rings)
        variances = [np.exp(float(extra)) * noise for extra in scales.noise]
        sides = (
            Side(flat, variances[0], y[:, : 2 * channels]),
            Side(third, variances[1], y[:, 2 * channels :]),
        )
        features = along.features(linalg.NUMPY, z)
        given = jax.tree.map(backend.xp.asarray, (scales, features, sides))
        if len(inducing) < len(fitted):
            found = solve_nystrom(backend, *given, inducing)
        else:
            found = solve(backend, *given)
        (of_flat, alpha), (of_third, other) = jax.tree.map(np.asarray, found)
        of_flat, of_third = self.size * of_flat.T, self.size * of_third.T
        shape, sizes = (channels, 2, len(rings), past, 2), self.regressions.sizes
        by_order = of_flat[:, :-1].reshape(shape) * weights[..., :2]
        constant = of_flat[:, -1].reshape(channels, 2) * flat[0, -1]
        constant = constant - np.einsum("cape,pe->ca", by_order[..., 0, :], self.mean[k])
        odd = of_third.reshape(channels, *shape[2:4]) * weights[..., 2] / sizes
        alpha = np.pad(np.concatenate([alpha, other], axis=1), [(0, most - len(alpha)), (0, 0)])
        return by_order / sizes[:, None], odd, constant, alpha
