"""Frame kernel: every node from the past of its neighbourhood, by a kernel method in its local frame."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.io import tell
from estag_jax.models.base import SPEED, ClosedForm
from estag_jax.models.frame_regressions import Regressions, both_ways
from estag_jax.models.frame_ridge import FramePredictor, FrameRidge
from estag_jax.models.frames import rings_of
from estag_jax.models.kernel_predictor import FrameKernelPredictor
from estag_jax.models.kernel_search import ROWS, WINDOWS, search
from estag_jax.models.linear import fitting_windows
from estag_jax.models.ridge import AFFORDABLE
from estag_jax.ops import linalg
from estag_jax.ops.kernel_regression import Side, solve, solve_nystrom
from estag_jax.ops.kernels import Scales, initial_scales, rows, weights_of

SHAPE = 4.0
"""The unit of the shape: so many times the root mean square of a step."""

NOISE = 2.0
"""Factor on the noise of windows that are continued by forecasts."""

SHARE = 4
"""Of so many samples one is an inducing sample of Nyström's solution."""

COMPILING = 5.0
"""Seconds that a fit takes whatever its size."""

FEWEST = 300
"""Samples without which ``within`` gives the method up."""


@dataclasses.dataclass(frozen=True)
class FrameKernel(ClosedForm):
    """Kernel ridge regression in local reference frames; one system only.

    The steps of every node in its own frame, by the kernels of ops.kernels, even and odd outputs apart:
    (K + σ² I) α = y in float64; of more than ``exact`` samples by Nyström with the linear part exact. The
    scales of the kernel, shared by all nodes, minimise the error on
    held-out blocks of the training windows. Where the dynamics is reversible (FrameRidge says so), all
    windows are taken backwards in time too, and every window is continued before its start and after
    its end by forecasts of the first fit; with these samples, trusted less, scales and coefficients are
    fitted once more. Validation windows are used by FrameRidge alone.

    Args:
      steps: of the search for the scales, and of the second search.
      backcasts: windows added before each training window, and after it, where dynamics is reversible.
      reversible: see FrameRidge.
      samples: at most; of more training windows some are taken, evenly.
      exact: samples up to which the equations are solved whole. Of more a quarter, or half of ``exact``
        if that is more, are the inducing samples.
      cut: of the kernel's directions, those are left out that hardly matter (ops.kernels.directions).
      seed: of the search.
      memory: bytes that a fit may take.
    """

    predictor = FrameKernelPredictor
    needs = 2
    tied = True

    steps: tuple[int, int] = (60, 40)
    backcasts: int = 2
    reversible: bool | None = None
    samples: int = 8000
    exact: int = 4000
    cut: float = 1e-6
    seed: int = 0
    memory: int = AFFORDABLE

    def __post_init__(self):
        for name in ("samples", "exact"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 2")
        for name in ("backcasts", "cut"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 0")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task) or self._ridge.refuse(task):
            return why
        samples, nodes, inputs = self._sizes(task)
        kept = self._inducing(samples)
        matrices = 2 * samples**2 if kept == samples else 5 * (kept + inputs) ** 2
        needed = 8 * (matrices + 2 * nodes * kept * inputs + 4 * samples * inputs + 40 * ROWS**2)
        if needed > self.memory:
            return (
                f"would take {needed / 2**30:.1f} GiB for {nodes} nodes and {samples} samples, more than "
                f"the {self.memory / 2**30:.1f} GiB allowed (memory; or lower samples)"
            )
        return None

    def seconds(self, task: Task) -> float:
        samples, nodes, inputs = self._sizes(task)
        continued = samples == 2 * (1 + self.backcasts) * task.count("train")
        tried = [min(2 * WINDOWS, samples)] * self.steps[0]
        tried += [min(ROWS, samples)] * self.steps[1] * continued
        # Some of it is in float32, and products of matrices are faster than SPEED.
        search = sum(n**3 / 2 + 3 * n**2 * inputs for n in tried)
        kept = self._inducing(samples)
        solved = samples**3 / 4 if kept == samples else samples * (kept + inputs) ** 2
        solved = 2 * nodes * (solved + samples * kept * inputs)
        forecast = nodes * kept * inputs * task.count("validation")
        return COMPILING + self._ridge.seconds(task) + (search + solved + forecast) / SPEED

    def within(self, task: Task, seconds: float) -> FrameKernel | None:
        """The method with as many samples as there is time for, FEWEST or more."""
        tried = self
        while tried.seconds(task) > seconds:
            fewer = tried._sizes(task)[0] // 2
            if fewer < FEWEST:
                return None
            tried = dataclasses.replace(self, samples=fewer)
        return tried

    @property
    def _ridge(self) -> FrameRidge:
        """The linear method that is fitted first."""
        return FrameRidge(reversible=self.reversible)

    def _inducing(self, samples: int) -> int:
        """How many of the samples the kernel is summed over."""
        return samples if samples <= self.exact else max(samples // SHARE, self.exact // 2)

    def _sizes(self, task: Task) -> tuple[int, int, int]:
        """Samples, nodes, and inputs of each node."""
        samples = min(self.samples, 2 * (1 + self.backcasts) * task.count("train"))
        nodes = task.system.num_nodes
        inputs = self._ridge.looks_at(nodes) * task.system.channels * task.window.past * 3
        return samples, nodes, inputs

    def fit(self, task: Task) -> FrameKernelPredictor:
        if why := self.refuse(task):
            raise ValueError(f"frame kernel {why}")
        ridge = self._ridge.fit(task)
        with jax.enable_x64(True):
            return _Fit(self, task, ridge).run()


class _Fit:
    """The state of a fit: the samples, and the scales."""

    def __init__(self, method: FrameKernel, task: Task, ridge: FramePredictor):
        self.method, self.ridge, self.rng = method, ridge, np.random.default_rng(method.seed)
        history, target = fitting_windows(task, "train")
        ways = 2 if ridge.reversible else 1
        kept = np.linspace(0, len(history) - 1, min(len(history), method.samples // ways))
        kept = kept.round().astype(int)
        self.windows = history[kept], target[kept]
        self.starts, self.span = np.asarray(task.splits[0].train)[kept], task.window.span
        self.dtype = task.dtype
        step = np.sqrt(np.mean(np.square(self.windows[1] - self.windows[0][:, :, -1])))
        self.data = both_ways(*self.windows) if ridge.reversible else self.windows
        shape = SHAPE * step or 1.0
        self.regressions = Regressions(self.data, ridge.axes, ridge.neighbours, shape)
        self.part = self.regressions.train
        self.nodes, self.ways = len(ridge.neighbours), ways
        self.rings = rings_of(task.system, history[:, :, -1], ridge.neighbours)
        self.scales: Scales = initial_scales(task.window.past)
        means, squares = [], []
        for node in range(self.nodes):
            z, rest = self.regressions.seen(self.part, node)
            means.append(z[:, :, 0, :2].mean(axis=0))
            squares.append(np.mean(rest**2))
        self.mean = np.array(means)
        self.size = float(np.sqrt(np.mean(squares))) or 1.0

    def take(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        """Makes windows the samples."""
        self.data, self.part = data, self.regressions.differenced(data)

    def seen(self, node: int, which: slice | np.ndarray = slice(None)) -> tuple[np.ndarray, ...]:
        """z [S, M*C, T, 3] and y [S, 3 C] of some samples for a node."""
        z, rest = self.regressions.seen(tuple(a[which] for a in self.part), node)
        z[:, :, 0, :2] -= self.mean[node]
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

    def solve(self) -> FrameKernelPredictor:
        """The coefficients for the scales, the linear part collapsed."""
        channels, past = self.windows[0].shape[3], self.windows[0].shape[2]
        scales, backend, count = self.scales, linalg.solver(), len(self.data[0])
        inducing = np.arange(count)
        if (kept := self.method._inducing(count)) < count:
            inducing = np.sort(self.rng.permutation(count)[:kept])
        empty = FrameKernelPredictor(
            linear=self.ridge,
            windows=self.data[0][inducing].astype(self.dtype),
            alpha=np.zeros(0),
            scales=scales,
            sizes=self.regressions.sizes,
            mean=self.mean,
            rings=self.rings,
            size=np.float64(self.size),
            samples=np.array(count),
        )
        fitted, (even, odd, constant, alphas) = empty.looking(self.method.cut), ([], [], [], [])
        variances = [np.exp(float(extra)) * self.noise() for extra in scales.noise]
        for node in range(self.nodes):
            tell("coefficients", node, self.nodes)
            z, y = self.seen(node)
            weights = weights_of(np, scales, self.rings[node])[0]
            flat, third = rows((z * weights)[..., :2]), rows((z * weights)[..., 2])
            bias = np.full((len(z), 1), np.exp(0.5 * float(scales.bias)))
            sides = (
                Side(np.concatenate([flat, bias], axis=1), variances[0], y[:, : 2 * channels]),
                Side(third, variances[1], y[:, 2 * channels :]),
            )
            along = jax.tree.map(lambda leaf, node=node: leaf[node], fitted.directions)
            features = along.features(linalg.NUMPY, z)
            given = jax.tree.map(backend.xp.asarray, (scales, features, sides))
            if kept < count:
                found = solve_nystrom(backend, *given, inducing)
            else:
                found = solve(backend, *given)
            (of_flat, alpha), (of_third, other) = jax.tree.map(np.asarray, found)
            of_flat, of_third = self.size * of_flat.T, self.size * of_third.T
            shape = channels, 2, len(self.rings[node]), past, 2
            by_order = of_flat[:, :-1].reshape(shape) * weights[..., :2]
            constant.append(
                of_flat[:, -1].reshape(channels, 2) * bias[0]
                - np.einsum("cape,pe->ca", by_order[..., 0, :], self.mean[node])
            )
            even.append(by_order / self.regressions.sizes[:, None])
            odd.append(of_third.reshape(channels, *shape[2:4]) * weights[..., 2])
            alphas.append(np.concatenate([alpha, other], axis=1))
        linear = dataclasses.replace(
            self.ridge,
            base=self.regressions.base,
            even=np.array(even),
            odd=np.array(odd) / self.regressions.sizes,
            constant=np.array(constant),
            ridge=np.float64(0),
        )
        return dataclasses.replace(fitted, linear=linear, alpha=np.array(alphas))
