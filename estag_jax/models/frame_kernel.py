"""Frame kernel: every node from the past of its neighbourhood, by a kernel method in its local frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg

from estag_jax.data.task import Task
from estag_jax.io import tell
from estag_jax.models.base import SPEED, ClosedForm
from estag_jax.models.frame_regressions import Regressions, both_ways
from estag_jax.models.frame_ridge import FramePredictor, FrameRidge
from estag_jax.models.frames import rings_of
from estag_jax.models.kernel_predictor import FrameKernelPredictor
from estag_jax.models.linear import fitting_windows
from estag_jax.models.ridge import AFFORDABLE
from estag_jax.ops import linalg
from estag_jax.ops.kernels import initial_scales, parity_kernels

SHAPE = 4.0
"""The unit of the shape: so many times the root mean square of a step."""

BACKCASTS = 2
"""Windows added before each training window, and after it."""

NOISE = 2.0
"""Factor on the noise of these."""

COMPILING = 10.0
"""Seconds that a fit takes whatever its size."""

FEWEST = 300
"""Samples without which ``within`` gives the method up."""


@dataclasses.dataclass(frozen=True)
class FrameKernel(ClosedForm):
    """Kernel ridge regression in local reference frames; one system only.

    The steps of every node in its own frame, by the kernels of ops.kernels, even and odd outputs apart:
    (K + σ² I) α = y in float64. The scales of the kernel, shared by all nodes, minimise the error on
    held-out blocks of the training windows. Where the dynamics is reversible (FrameRidge says so), all
    windows are taken backwards in time too, and every window is continued before its start and after
    its end by forecasts of the first fit; with these samples, trusted less, scales and coefficients are
    fitted once more. Validation windows are used by FrameRidge alone.

    Args:
      steps: of the search for the scales, and of the second search.
      samples: at most; a fit of 3000 samples takes a second or two a node. Of more training windows
        some are taken, evenly.
      seed: of the search.
      memory: bytes that a fit may take.
    """

    predictor = FrameKernelPredictor
    needs = 2
    tied = True

    steps: tuple[int, int] = (60, 40)
    samples: int = 4000
    seed: int = 0
    memory: int = AFFORDABLE

    def __post_init__(self):
        if self.samples < 2:
            raise ValueError(f"samples is {self.samples}, it must be at least 2")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task) or FrameRidge().refuse(task):
            return why
        samples, nodes, inputs = self._sizes(task)
        needed = 8 * samples * (nodes * inputs + 8 * samples)
        if needed > self.memory:
            return (
                f"would take {needed / 2**30:.1f} GiB for {nodes} nodes and {samples} samples, more than "
                f"the {self.memory / 2**30:.1f} GiB allowed (memory; or lower samples)"
            )
        return None

    def seconds(self, task: Task) -> float:
        samples, nodes, inputs = self._sizes(task)
        continued = 2 * (1 + BACKCASTS) * task.count("train") <= self.samples
        tried = [min(720, samples)] * self.steps[0]
        tried += [min(1500, samples)] * self.steps[1] * continued
        search = sum(2 * n**3 + 6 * n**2 * inputs for n in tried)
        solved = nodes * samples**2 * (0.6 * samples + 2 * inputs)
        forecast = 12 * nodes * samples * inputs * task.count("validation")
        return COMPILING + FrameRidge().seconds(task) + (search + solved + forecast) / SPEED

    def within(self, task: Task, seconds: float) -> FrameKernel | None:
        """The method with as many samples as there is time for, FEWEST or more."""
        tried = self
        while tried.seconds(task) > seconds:
            fewer = tried._sizes(task)[0] // 2
            if fewer < FEWEST:
                return None
            tried = dataclasses.replace(self, samples=fewer)
        return tried

    def _sizes(self, task: Task) -> tuple[int, int, int]:
        """Samples, nodes, and inputs of each node."""
        samples = min(self.samples, 2 * (1 + BACKCASTS) * task.count("train"))
        nodes = task.system.num_nodes
        inputs = FrameRidge().looks_at(nodes) * task.system.channels * task.window.past * 3
        return samples, nodes, inputs

    def fit(self, task: Task) -> FrameKernelPredictor:
        if why := self.refuse(task):
            raise ValueError(f"frame kernel {why}")
        ridge = FrameRidge().fit(task)
        with jax.enable_x64(True):
            return _Fit(self, task, ridge).run()


class _Fit:
    """The state of a fit: samples, what nodes see of them, and the scales."""

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
        data = both_ways(*self.windows) if ridge.reversible else self.windows
        shape = SHAPE * step or 1.0
        self.regressions = Regressions(data, ridge.axes, ridge.neighbours, shape)
        self.nodes, self.ways = len(ridge.neighbours), ways
        self.rings = rings_of(task.system, history[:, :, -1], ridge.neighbours)
        self.scales: Any = jax.tree.map(jnp.asarray, initial_scales(task.window.past))
        part = self.regressions.train
        seen = [self.regressions.seen(part, node) for node in range(self.nodes)]
        self.mean = np.array([z[:, :, 0, :2].mean(axis=0) for z, _ in seen])
        self.size = float(np.sqrt(np.mean([np.mean(rest**2) for _, rest in seen]))) or 1.0
        self.take(data)

    def take(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        """Makes windows the samples."""
        self.data = data
        part = self.regressions.differenced(data)
        self.seen = []
        for node in range(self.nodes):
            z, rest = self.regressions.seen(part, node)
            z[:, :, 0, :2] -= self.mean[node]
            y = np.concatenate([rest[..., :2].reshape(len(z), -1), rest[..., 2]], axis=1)
            self.seen.append((z, y / self.size))

    def noise(self) -> np.ndarray:
        """The factor on each sample's noise: the training windows come first."""
        own = self.ways * len(self.starts)
        return np.where(np.arange(len(self.data[0])) < own, 1.0, NOISE)

    def run(self) -> FrameKernelPredictor:
        """Search, fit, back-cast, search, fit."""
        data, (first, second) = self.data, self.method.steps
        self.search(first, 0.1, 360)
        count = len(data[0])
        if not self.ridge.reversible or count * (1 + BACKCASTS) > self.method.samples:
            return self.solve()
        self.take(self.continued(self.solve()))
        self.search(second, 0.07, 250)
        self.take(data)
        self.take(self.continued(self.solve()))
        return self.solve()

    def continued(self, predictor: FrameKernelPredictor) -> tuple[np.ndarray, np.ndarray]:
        """The samples, and windows moved back by the frames that a forecast backwards in time adds."""
        predict = jax.jit(lambda p, history: p.predict(history))
        history, target = self.windows
        past, run = history.shape[2], np.concatenate([history, target[:, :, None]], axis=2)
        histories, targets = [self.data[0]], [self.data[1]]
        for frames in (run, run[:, :, ::-1]):
            for _ in range(BACKCASTS):
                backwards = jnp.asarray(frames[:, :, :past][:, :, ::-1])
                before = np.asarray(predict(predictor, backwards))
                before = before.astype(self.dtype).astype(np.float64)
                frames = np.concatenate([before[:, :, None], frames], axis=2)
                histories.append(frames[:, :, :past])
                targets.append(frames[:, :, past])
        return np.concatenate(histories), np.concatenate(targets)

    def search(self, steps: int, rate: float, most: int) -> None:
        """Adam on the logarithm of the error on a held-out block of time, a node and a block each step.

        Windows that share a frame with the block are dropped. Nothing is done where there are too few.
        """
        windows = len(self.starts)
        fitted, held = min(most, 7 * windows // 10), min(80, windows // 7)
        low, high = self.starts.min(), self.starts.max()
        width = (high - low) / 5
        copies = len(self.data[0]) // windows
        optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1), 0.05)),
        )
        state, noise, order = optimizer.init(self.scales), self.noise(), []
        for step in range(steps if held >= 8 else 0):
            tell("scales", step, steps)
            order = order or list(self.rng.permutation(self.nodes))
            node, start = int(order.pop()), self.rng.uniform(low, high - width)
            inside = (self.starts >= start) & (self.starts < start + width)
            apart = (self.starts < start - self.span) | (self.starts >= start + width + self.span)
            held_out, rest = np.flatnonzero(inside), np.flatnonzero(apart)
            if len(rest) < fitted or len(held_out) < held:
                continue
            rest = self.rng.permutation(rest)[:fitted]
            held_out = self.rng.permutation(held_out)[:held]
            rest = np.concatenate([rest + k * windows for k in range(copies)])
            held_out = np.concatenate([held_out + k * windows for k in range(self.ways)])
            z, y = self.seen[node]
            pairs = z[rest], y[rest], z[held_out], y[held_out], self.rings[node], noise[rest]
            self.scales, state = _search_step(optimizer, self.scales, state, *pairs)

    def solve(self) -> FrameKernelPredictor:
        """The coefficients for the scales, the linear part collapsed."""
        channels, past = self.windows[0].shape[3], self.windows[0].shape[2]
        even, odd, constant, alphas = [], [], [], []
        noise = self.noise()
        sizes = self.regressions.sizes
        for node, (z, y) in enumerate(self.seen):
            tell("coefficients", node, self.nodes)
            rings = self.rings[node]
            linear_even, linear_odd, rest_even, rest_odd = _kernels(self.scales, z, z, rings)
            solved = []
            for kernel, columns, extra in (
                (linear_even + rest_even, slice(0, 2 * channels), self.scales.noise[0]),
                (linear_odd + rest_odd, slice(2 * channels, None), self.scales.noise[1]),
            ):
                matrix = np.array(kernel)
                matrix[np.diag_indices(len(z))] += np.exp(float(extra)) * noise
                factor = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
                solved.append(scipy.linalg.cho_solve(factor, y[:, columns]))
            alpha = np.concatenate(solved, axis=1)
            points = len(rings)
            square = np.asarray(self.scales.linear.weights(rings)) ** 2 / (points * past)
            weights = self.size * np.einsum("sk,spme->kpme", alpha, z) * square
            flat = weights[: 2 * channels, ..., :2].reshape(channels, 2, points, past, 2)
            third = weights[2 * channels :, ..., 2]
            bias = (
                self.size * np.exp(float(self.scales.bias)) * alpha[:, : 2 * channels].sum(axis=0)
            )
            constant.append(
                bias.reshape(channels, 2)
                - np.einsum("cape,pe->ca", flat[..., 0, :], self.mean[node])
            )
            even.append(flat / sizes[:, None])
            odd.append(third / sizes)
            alphas.append(alpha)
        linear = dataclasses.replace(
            self.ridge,
            base=self.regressions.base,
            even=np.array(even),
            odd=np.array(odd),
            constant=np.array(constant),
            ridge=np.float64(0),
        )
        return FrameKernelPredictor(
            linear,
            self.data[0].astype(self.dtype),
            np.array(alphas),
            jax.tree.map(np.asarray, self.scales),
            sizes,
            self.mean,
            self.rings,
            np.float64(self.size),
        )


_kernels = jax.jit(parity_kernels)


def _held_out_error(scales, z, y, other, expected, rings, noise):
    """The logarithm of the mean squared error on held-out samples."""
    flat = 2 * (y.shape[1] // 3)
    own, cross = parity_kernels(scales, z, z, rings), parity_kernels(scales, other, z, rings)
    total = 0.0
    for parity, columns in ((0, slice(0, flat)), (1, slice(flat, None))):
        matrix = own[parity] + own[parity + 2]
        matrix = matrix + jnp.diag(jnp.exp(scales.noise[parity]) * noise)
        alpha = jax.scipy.linalg.solve(matrix, y[:, columns], assume_a="pos")
        found = linalg.matmul(cross[parity] + cross[parity + 2], alpha)
        total = total + jnp.sum((found - expected[:, columns]) ** 2)
    return jnp.log(total / expected.size + 1e-30)


_slope = jax.jit(jax.grad(_held_out_error))


def _search_step(optimizer, scales, state, *pairs):
    slope = _slope(scales, *pairs)
    updates, state = optimizer.update(slope, state, scales)
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(updates))
    return (optax.apply_updates(scales, updates) if finite else scales), state
