"""Body kernel: every node from the past of all nodes, by kernel methods in the frame of the body."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from estag_jax.data.task import Task
from estag_jax.data.windows import evenly
from estag_jax.io import tell
from estag_jax.models.base import SPEED, SampledForm
from estag_jax.models.body_frames import Pairs
from estag_jax.models.body_kernel_predictor import BodyKernelPredictor
from estag_jax.models.body_regressions import SHARE, Seen, lag_sizes, other_shapes, seen_by
from estag_jax.models.body_ridge import BodyPredictor
from estag_jax.models.kernel_search import adam, finite_step
from estag_jax.models.limbs import along_bonds, groups_of
from estag_jax.models.linear import fitting_vectors, fitting_windows
from estag_jax.models.memory import memory_refused
from estag_jax.models.ridge import AFFORDABLE
from estag_jax.ops import linalg
from estag_jax.ops.metric_kernels import Metric, embedded, initial_metric, metric_kernel

NOISES = (0.3, 1.0, 3.0)
"""Factors on σ² among which the validation windows choose."""

TRIED = 300
"""Training windows at most by which the frame is chosen."""

DRAWN, HELD_OUT = 400, 150
"""Samples of a step of the search: to fit, and to forecast."""

BLOCKS = 5
"""Blocks of time that stand for runs where there are fewer than three."""

RATE, TOWARDS = 0.06, 1e-3
"""Of the search: Adam's rate, and the weight of the mean square of mix and points about their start."""

COMPILING = 4.0
"""Seconds that a fit takes whatever its size."""


@dataclasses.dataclass(frozen=True)
class BodyKernel(SampledForm):
    """Kernel ridge regression in the frame of the whole body with learnt metrics; one system only.

    The steps of each group of nodes, in the frame and with the mirror images of Body ridge, by the kernel
    of ops.metric_kernels: (K + σ² I) α = y in float64. Groups are the limbs of one side and the trunk
    (models.limbs); the other side is forecast from the mirror image. A metric for each group minimises the
    error on training runs that are left out. The same is done with vectors along bonds in place of
    positions as inputs; the forecast is the mean of both. In the walking frame windows of another tempo,
    cut from the frames of the training windows (models.body_regressions), may join them. Frame, mirror
    images, tempi and a factor on σ² are decided by the validation windows.

    Args:
      steps: of the search for the metrics.
      samples: at most, mirror images and other tempi included; of more some are taken, evenly.
      mirror: pairs of left and right nodes; None finds them from graph and mean structure, () uses none.
      seed: of the search.
      memory: bytes that a fit may take.
    """

    predictor = BodyKernelPredictor
    needs = 2
    tied = True

    steps: int = 120
    samples: int = 2700
    mirror: Pairs | None = None
    seed: int = 0
    memory: int = AFFORDABLE

    def __post_init__(self):
        if self.samples < 2:
            raise ValueError(f"samples is {self.samples}, it must be at least 2")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        samples, width, _ = self._sizes(task)
        rows = 6 * task.count("train") + 4 * task.count("validation")
        needed = 8 * (2 * rows * width + 6 * samples * width + 5 * samples**2)
        of = f"{task.system.num_nodes} nodes and {samples} samples"
        return memory_refused(needed, self.memory, of, "memory; or lower samples")

    def seconds(self, task: Task) -> float:
        samples, width, heads = self._sizes(task)
        drawn = min(DRAWN + HELD_OUT, samples)
        # In float32, which takes half the time.
        search = self.steps * heads * drawn * width * (6 * task.window.past + 2 * drawn)
        solved = heads * samples**2 * (len(NOISES) * 0.4 * samples + width)
        held_out = 8 * heads * samples * width * task.count("validation")
        few = min(2 * TRIED, samples)
        tried = 5 * heads * few * (few * (2 * width + few) + 4 * width * task.count("validation"))
        return COMPILING + (search + solved + held_out + tried) / SPEED

    def count(self, task: Task) -> int:
        return self._sizes(task)[0]

    def _sizes(self, task: Task) -> tuple[int, int, int]:
        """Samples, inputs, and about how many kernels."""
        width = 3 * task.system.num_nodes * task.system.channels * task.window.past
        windows = task.count("train") * (1 + SHARE * len(other_shapes(task.window)))
        return min(self.samples, int(2 * windows)), width, 6

    def fit(self, task: Task) -> BodyKernelPredictor:
        if why := self.refuse(task):
            raise ValueError(f"body kernel {why}")
        history, target = fitting_windows(task, "validation")
        inputs = fitting_vectors(task, "validation")

        def error(predictor: BodyKernelPredictor) -> float:
            return float(np.mean((predictor.predict(history, inputs) - target) ** 2))

        tried = []
        for seen in seen_by(task, self.mirror, tempi=True):
            few = TRIED * len(seen.starts) // seen.own
            tried.append((error(_Fit(self, task, seen, few).solve([1.0])[0]), seen))
        fit = _Fit(self, task, min(tried, key=lambda pair: pair[0])[1])
        fit.search()
        return min(fit.solve(NOISES), key=error)


class _Fit:
    """The state of a fit: the samples as seen from the body, and the metrics."""

    def __init__(self, method: BodyKernel, task: Task, seen: Seen, most: int | None = None):
        self.method, self.seen = method, seen
        ways, count = 2 if seen.mirrored else 1, len(seen.starts)
        most = min(most or count, max(1, method.samples // ways))
        kept = evenly(np.arange(count), most)
        # The samples are rounded to what a file keeps before anything is fitted to them.
        self.windows = (seen.z[kept] - seen.mean).astype(np.float32)
        windows, step = self.windows.astype(np.float64), seen.step[kept] - seen.centre
        if seen.mirrored:
            windows, step = (
                np.concatenate([part, seen.frames.mirrored(part)]) for part in (windows, step)
            )
        self.z, self.step = windows, step
        self.starts = seen.starts[kept]
        self.others = ways * np.count_nonzero(kept >= seen.own)
        self.runs = _runs(task, self.starts)
        self.span = max(shape.span for shape in (task.window, *other_shapes(task.window)))
        channels = task.system.channels
        nodes = groups_of(task.system, seen.frames.mirror)
        self.groups = [(g[:, None] * channels + np.arange(channels)).reshape(-1) for g in nodes]
        self.middle = [bool((seen.frames.mirror[g] == g).all()) for g in nodes]
        self.kinds = [np.eye(windows.shape[2])]
        if task.system.bonds is not None and len(task.system.bonds):
            self.kinds.append(along_bonds(task.system))
        past, seen_as = (
            windows.shape[1],
            [np.einsum("fp,stpx->stfx", kind, windows) for kind in self.kinds],
        )
        self.sizes = [lag_sizes(z) for z in seen_as]
        self.inputs = [z / s[:, None, None] for z, s in zip(seen_as, self.sizes, strict=True)]
        self.metrics = [initial_metric(len(nodes), past, len(kind)) for kind in self.kinds]

    def search(self) -> None:
        """Adam on the logarithm of the error on runs that are left out, other runs each step."""
        rng, names = np.random.default_rng(self.method.seed), np.unique(self.runs)
        ways, steps = len(self.z) // len(self.runs), max(self.method.steps, 1)
        fitted, held = min(DRAWN, len(self.z) // 2), min(HELD_OUT, len(self.z) // 6)
        optimizer = adam(steps, RATE)
        outputs = np.zeros((len(self.groups), self.step.shape[1], 3), np.float32)
        for place, points in enumerate(self.groups):
            outputs[place, points] = 1
        outputs = outputs.reshape(len(outputs), -1)
        step = self.step.reshape(len(self.step), -1).astype(np.float32)
        for kind, inputs in enumerate(self.inputs):
            z = inputs.astype(np.float32)
            metric, state = self.metrics[kind], optimizer.init(self.metrics[kind])
            for number in range(self.method.steps if held >= 4 and len(names) > 2 else 0):
                tell("metrics", kind * steps + number, len(self.inputs) * steps)
                left = rng.permutation(names)[: max(1, len(names) // 3)]
                inside = np.isin(self.runs, left)
                gap = np.abs(self.starts[:, None] - self.starts[inside]).min(axis=1)
                parts = [np.flatnonzero(np.tile(p, ways)) for p in (gap > self.span, inside)]
                if len(parts[0]) < fitted or len(parts[1]) < held:
                    continue
                rest, out = (
                    rng.choice(p, n, replace=False)
                    for p, n in zip(parts, (fitted, held), strict=True)
                )
                given = z[rest], step[rest], z[out], step[out], outputs
                metric, state = _search_step(optimizer, metric, state, *given)
            self.metrics[kind] = metric

    def solve(self, factors: Sequence[float]) -> list[BodyKernelPredictor]:
        """The predictor for the metrics and each factor on σ², the linear part collapsed."""
        seen, points = self.seen, self.step.shape[1]
        widest = 3 * max(map(len, self.groups))
        weights = np.zeros((len(factors), 3 * points, *self.z.shape[1:]))
        heads: dict[str, list[np.ndarray]] = {
            name: [] for name in ("lags", "points", "axes", "norms", "outputs")
        }
        alphas: list[list[np.ndarray]] = [[] for _ in factors]
        for kind, group in np.ndindex(len(self.kinds), len(self.groups)):
            metric = jax.tree.map(lambda leaf, g=group: np.float64(leaf[g]), self.metrics[kind])
            products = _products(metric, self.kinds[kind], self.sizes[kind])
            turned = np.einsum("st,btpx->bspx", products[0], self.z)
            turned = np.einsum("pq,btqx->btpx", products[1], turned) * products[2]
            columns = (self.groups[group][:, None] * 3 + np.arange(3)).reshape(-1)
            y = self.step.reshape(len(self.step), -1)[:, columns]
            halved = 2 if seen.mirrored and self.middle[group] else 1
            padding = [(0, 0), (0, widest - len(columns))]
            own = self.kernel(kind, group)
            for place, factor in enumerate(factors):
                matrix = own + factor * np.exp(metric.noise) * np.eye(len(own))
                factorized = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
                alpha = scipy.linalg.cho_solve(factorized, y) / (len(self.kinds) * halved)
                slopes = np.exp(metric.linear) * np.tensordot(alpha, turned, (0, 0))
                weights[place, columns] += slopes
                alphas[place].append(np.pad(alpha, padding))
            heads["lags"].append(products[0])
            heads["points"].append(products[1])
            heads["axes"].append(products[2])
            heads["norms"].append(np.einsum("btpx,btpx->b", turned, self.z))
            heads["outputs"].append(
                np.pad(columns, padding[1:][0], constant_values=3 * points).astype(np.int32)
            )
        stacked = {name: np.array(values) for name, values in heads.items()}
        stacked["others"] = np.array(self.others)
        return [
            BodyKernelPredictor(
                self._linear(w), self.windows, seen.mean, alpha=np.array(alpha), **stacked
            )
            for w, alpha in zip(weights, alphas, strict=True)
        ]

    def _linear(self, weights: np.ndarray) -> BodyPredictor:
        """The linear part, of weights [3*N*C, T, N*C, 3] for the groups and those of their mirror images."""
        seen = self.seen
        weights = weights.reshape(-1, 3, *weights.shape[1:])
        if seen.mirrored:
            other = np.moveaxis(seen.frames.mirrored(weights), (0, 1), (-2, -1))
            weights = weights + np.moveaxis(seen.frames.mirrored(other), (-2, -1), (0, 1))
        return BodyPredictor(
            seen.frames,
            **seen.linear(weights),
            ridge=np.float64(0),
            degenerate=np.float64(seen.degenerate),
        )

    def kernel(self, kind: int, group: int) -> np.ndarray:
        """The kernel of the samples with each other [S, S], float64."""
        with jax.enable_x64(True):
            metric = jax.tree.map(lambda leaf: jnp.asarray(leaf[group], float), self.metrics[kind])
            rows = embedded(metric, jnp.asarray(self.inputs[kind]))
            return np.array(metric_kernel(metric, rows, rows))


def _products(
    metric: Metric, matrix: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T A of a metric's map A of z, over lags, points and axes."""
    past, vectors = len(metric.mix), len(matrix)
    lags = metric.mix.T @ metric.mix * np.exp(2 * metric.size) / (3 * past * vectors)
    lags = lags / np.outer(size, size)
    points = matrix.T @ (np.exp(2 * metric.points)[:, None] * matrix)
    return lags, points, np.exp(2 * metric.axes)


def _runs(task: Task, starts: np.ndarray) -> np.ndarray:
    """The run of windows, or their block of time where there are few runs."""
    runs = np.searchsorted(np.cumsum(task.trajectories[0].lengths), starts, side="right")
    if len(np.unique(runs)) > 2:
        return runs
    low, high = starts.min(), starts.max()
    return (BLOCKS * (starts - low)) // (high - low + 1)


def _left_out(metric, z, step, other, expected, outputs, start):
    """The logarithm of the error on samples that are left out, and a pull to where the search began."""

    def of_group(metric, columns):
        rows, others = embedded(metric, z), embedded(metric, other)
        matrix = metric_kernel(metric, rows, rows) + jnp.exp(metric.noise) * jnp.eye(len(z))
        alpha = jax.scipy.linalg.solve(matrix, step, assume_a="pos")
        gap = linalg.matmul(metric_kernel(metric, others, rows), alpha) - expected
        return jnp.sum(jnp.mean(gap**2, axis=0) * columns)

    total = jnp.sum(jax.vmap(of_group)(metric, outputs)) / jnp.sum(outputs)
    pull = jnp.mean((metric.mix - start.mix) ** 2) + jnp.mean((metric.points - start.points) ** 2)
    return jnp.log(total + 1e-30) + TOWARDS * pull


@partial(jax.jit, static_argnums=0)
def _search_step(optimizer, metric, state, *given):
    start = initial_metric(*metric.mix.shape[:2], metric.points.shape[1])
    slope = jax.grad(_left_out)(metric, *given, start)
    return finite_step(optimizer, slope, state, metric)
