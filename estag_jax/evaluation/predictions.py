"""Forecasts of the windows of a task, in batches that memory holds: for training and evaluation alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax import memory
from estag_jax.data.task import Part, Task, Windows
from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.graph import Array
from estag_jax.io import tell
from estag_jax.models.base import Predictor
from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.error_bars_fit import fit_error_bars
from estag_jax.models.memory import CACHE, windows_at_once
from estag_jax.ops.rollout import at_horizons
from estag_jax.ops.sharding import local_mesh, over_processes, over_seeds, split_over_devices


def forecast(
    predictor: Predictor, history: jax.Array, inputs: Any, horizons: Sequence[int]
) -> jax.Array:
    """The frames at the horizons [B, P, N, C, 3] after histories [B, N, T, C, 3]; pure."""
    return at_horizons(lambda h: predictor.predict(h, inputs), history, horizons)


POINTS = 200_000
"""About how many points, those of all windows together, error bars are fitted to at most."""


@partial(jax.jit, static_argnames=("horizons", "at_once"))
def _compiled(predictor, history, vectors, inputs, chunks, horizons, at_once):
    """Forecasts [S, B, P, N, C, 3] of a predictor whose arrays have a leading axis of seeds [S].

    So many windows at once, in a loop over the first ``chunks`` of them; those behind are zero.
    """

    def one(predictor):
        predictor = predictor.hastened()

        def some(history, vectors):
            own = predictor.with_vectors(inputs, vectors)
            return forecast(predictor, history, own, horizons)

        def step(i, frames):
            part = partial(
                jax.lax.dynamic_slice_in_dim, start_index=i * at_once, slice_size=at_once
            )
            found = some(*jax.tree.map(part, (history, vectors)))
            return jax.lax.dynamic_update_slice_in_dim(frames, found, i * at_once, 0)

        if at_once == len(history):
            return some(history, vectors)
        count, nodes, _, *rest = history.shape
        frames = jnp.zeros((count, len(horizons), nodes, *rest), history.dtype)
        return jax.lax.fori_loop(0, chunks, step, frames)

    return over_seeds(one, 1)(predictor)


def predictions(
    predictor: Predictor,
    task: Task,
    part: Part,
    sizes: Sequence[tuple[int, int]] | None = None,
    numbers: int = 16,
    seeds: bool = False,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Windows, Array]]:
    """Forecasts all windows of a part.

    Every batch has the same number of windows, the last being filled up, so that a predictor is compiled
    once for each size of system.

    Args:
      predictor: of one seed, or with a leading axis of seeds.
      task: the windows.
      part: train, validation or test.
      sizes: nodes and edges to pad each system to, see training.buckets; None for no padding.
      numbers: models.memory.edge_numbers of the method, for the size of the batches.
      seeds: the predictor's arrays have a leading axis of seeds.
      share: (i, n): every n-th batch from the i-th on.

    Yields:
      The windows and their forecasts [W, P, N, C, 3], with ``seeds`` [S, W, P, N, C, 3].
    """
    width, at_once = batch_width(task, numbers), 0
    if predictor.compiled:
        width, at_once = call_width(task, numbers)
    bound: dict[int, Any] = {}
    every_seed = predictor
    if predictor.compiled and not seeds:
        # One has the axis too: the program is that of its training.
        every_seed = jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf)[None], predictor))
    for windows in islice(task.windows(part, width), share[0], None, share[1]):
        system = task.systems[windows.which]
        if not predictor.compiled:
            inputs = predictor.with_vectors(predictor.inputs(system), windows.vectors)
            yield windows, forecast(predictor, windows.history, inputs, task.window.horizons)
            continue
        size = None if sizes is None else sizes[windows.which]
        if windows.which not in bound:
            bound = {windows.which: jax.tree.map(jnp.asarray, predictor.inputs(system, size))}
        history = _filled(windows.history, width, size[0] if size else system.num_nodes)
        vectors = {name: _repeated(v, width) for name, v in windows.vectors.items()}
        given = history, vectors, bound[windows.which], -(-len(windows.starts) // at_once)
        frames = np.asarray(_compiled(every_seed, *given, task.window.horizons, at_once))
        frames = frames[:, : len(windows.starts), :, : system.num_nodes]
        yield windows, frames if seeds else frames[0]


def inputs_of_windows(predictor: Predictor, task: Task, which: int, starts: np.ndarray) -> Any:
    """A predictor's inputs for windows of a system, with their external vectors.

    Args:
      predictor: of one seed.
      task: the windows.
      which: number of the trajectory.
      starts: first frames of the windows [B].
    """
    trajectory = task.trajectories[which]
    vectors = trajectory.vectors_at(starts + task.window.last)
    return predictor.with_vectors(predictor.inputs(trajectory.system), vectors)


def validation_error(
    predictor: Predictor,
    task: Task,
    sizes: Sequence[tuple[int, int]] | None = None,
    numbers: int = 16,
    seeds: bool = False,
) -> np.ndarray:
    """Mean squared error at the first horizon over all validation windows; of each seed with ``seeds`` [S].

    Several processes share the windows; all of them call this. Arguments are those of ``predictions``.
    """
    share = jax.process_index(), jax.process_count()
    total = np.zeros(jax.tree.leaves(predictor)[0].shape[0] if seeds else 1)
    for windows, frames in predictions(predictor, task, "validation", sizes, numbers, seeds, share):
        target = windows.target[:, 0]
        each = [per_window_mse(one[:, 0], target) for one in (frames if seeds else [frames])]
        total += np.sum(each, axis=1)
    found = over_processes(total).sum(axis=0) / task.count("validation")
    return found if seeds else found[0]


def validated(
    predictor: Predictor,
    task: Task,
    numbers: int = 16,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> tuple[float, tuple[ErrorBars | None, ...]]:
    """One pass over the validation windows: the mean squared error, and the error bars for each system.

    Both are of the first horizon. The error bars look at about POINTS points of all windows at most. A
    system has none if it has no validation windows, or if a forecast or a target is not finite.

    Args:
      predictor: of one seed.
      task: the windows.
      numbers: models.memory.edge_numbers of the method, for the size of the batches.
      sizes: nodes and edges to pad each system to, as in ``predictions``.
    """
    errors: list[np.ndarray] = []
    points = max(system.num_nodes * system.channels for system in task.systems)
    every = -(-task.count("validation") * points // POINTS)
    parts: list[list[tuple[np.ndarray, ...]]] = [[] for _ in task.systems]
    done, total = 0, task.count("validation")
    for windows, frames in predictions(predictor, task, "validation", sizes, numbers):
        forecast, target = np.asarray(frames[:, 0]), windows.target[:, 0]
        errors.append(per_window_mse(forecast, target))
        of_bars = windows.starts, windows.history, forecast, target
        parts[windows.which].append(tuple(each[::every] for each in of_bars))
        done += len(windows.starts)
        tell("validation windows", done, total)
    bars: list[ErrorBars | None] = []
    for system, found in zip(task.systems, parts, strict=True):
        if not found:
            bars.append(None)
            continue
        starts, history, *frames = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(starts, kind="stable")
        finite = all(np.isfinite(each[order]).all() for each in frames)
        given = (history[order], *(each[order] for each in frames))
        bars.append(fit_error_bars(system, *given) if finite else None)
    memory.give_back()
    return float(np.concatenate(errors).mean()), tuple(bars)


def batch_width(task: Task, numbers: int = 16) -> int:
    """Windows that are forecast at once, the same for validation and test.

    A multiple of 4, for loops over windows and frames then fill the vectors of a CPU, and such that few
    windows are missing in the last batch.
    """
    width, count = _windows_at_once(task, numbers), _most(task)
    if width >= count:
        width = count
    elif width >= 4:
        multiples = range(width - width % 4, width // 2, -4)
        width = min(multiples, key=lambda w: math.ceil(count / w) * w)
    devices = jax.local_device_count()
    return -(-width // devices) * devices


def call_width(task: Task, numbers: int = 16) -> tuple[int, int]:
    """Windows of a call of a compiled predictor, and how many of them it computes at once.

    On one CPU device chunks of a third of what the cache may hold, a multiple of 8, are faster by a fifth
    (docs/performance.md), and a call loops over them, for calls cost time; elsewhere all at once.
    """
    width, at_once = batch_width(task, numbers), _windows_at_once(task, numbers) // 3
    if jax.default_backend() != "cpu" or jax.device_count() > 1 or at_once >= _most(task):
        return width, width
    at_once = max(1, at_once - (at_once % 8 if at_once > 8 else 0))
    history = task.window.past * task.dtype.itemsize
    history *= max(3 * system.num_nodes * system.channels for system in task.systems)
    chunks = min(math.ceil(_most(task) / at_once), max(1, CACHE // (at_once * history)))
    return chunks * at_once, at_once


def _windows_at_once(task: Task, numbers: int) -> int:
    nodes = max(system.num_nodes for system in task.systems)
    edges = max(system.graph.num_edges for system in task.systems)
    return windows_at_once(nodes, edges, task.window.past, numbers, task.dtype.itemsize)


def _most(task: Task) -> int:
    """Windows of the larger of validation and test."""
    return max(task.count("validation"), task.count("test"))


def _filled(history: np.ndarray, width: int, nodes: int) -> jax.Array:
    """A batch filled up to ``width`` windows (its last) and padding nodes (zeros), on the device(s)."""
    history = _repeated(history, width)
    if missing := nodes - history.shape[1]:
        history = np.pad(history, [(0, 0), (0, missing)] + [(0, 0)] * 3)
    return split_over_devices(history, local_mesh())


def _repeated(values: np.ndarray, width: int) -> np.ndarray:
    """Values of windows filled up to ``width`` windows with those of the last."""
    return values[np.minimum(np.arange(width), len(values) - 1)]
