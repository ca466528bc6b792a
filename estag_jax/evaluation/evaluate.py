"""``evaluate``: test errors and rollouts of any predictors, by one code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from estag_jax.data.task import Part, Task
from estag_jax.evaluation.compare import block_numbers
from estag_jax.evaluation.metrics import METRICS, mse, per_window_calibration, standard_error
from estag_jax.evaluation.predictions import predictions, validated
from estag_jax.evaluation.result import Result, Row
from estag_jax.evaluation.rollout import rollout_errors, rollout_figures
from estag_jax.io import reporting_as, tell, unknown
from estag_jax.models import catalog
from estag_jax.models.base import Predictor
from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.memory import edge_numbers
from estag_jax.models.saved_method import method_to_dict

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From forecasts and truth [W, N, C, 3] to one number a window [W]."""


def evaluate(
    fitted: Sequence[Any] | Mapping[str, Predictor] | Any,
    task: Task,
    metrics: Sequence[str] | Mapping[str, Metric] = ("mse",),
    *,
    part: Part = "test",
    rollout_steps: int = 0,
    rollouts: int = 200,
) -> Result:
    """Errors of predictors on the windows of a task.

    Error bars are tested in the same pass: those of the fit, or, where it has none for the task's systems,
    those that the task's validation windows give.

    Args:
      fitted: what ``fit`` returned, one or several, or predictors and forecasters by name.
      task: the windows; need not be the task of the fit.
      metrics: names of METRICS, or functions by name. The mean squared error is always among them.
      part: which windows.
      rollout_steps: frames of repeated forecasts; 0 for none.
      rollouts: how many of them, from the first test windows.

    Returns:
      A row for each predictor, in their order.

    Raises:
      ValueError: there is no metric of a name.

    Example:
      >>> from estag_jax import Trajectory, WindowConfig, fit
      >>> walk = np.random.default_rng(0).normal(size=(400, 3, 3)).cumsum(axis=0)
      >>> task = Task(Trajectory.from_arrays(walk), WindowConfig(past=4, delta=2))
      >>> result = evaluate([fit("Last frame", task), fit("AR-LS", task)], task, ["rmsd"])
      >>> [row.name for row in result.rows], sorted(result.rows[0].metrics)
      (['Last frame', 'AR-LS'], ['covers_90', 'error_bar', 'mse', 'nats', 'rmsd'])
    """
    if isinstance(metrics, Mapping):
        functions = {"mse": METRICS["mse"], **metrics}
    else:
        for name in metrics:
            if name not in METRICS:
                raise ValueError(unknown("metric", name, METRICS))
        functions = {name: METRICS[name] for name in dict.fromkeys(("mse", *metrics))}
    rows, rolled, blocks = [], {}, block_numbers(task, part)
    for label, one in _named(fitted):
        predictors = getattr(one, "predictors", None) or (getattr(one, "predictor", one),)
        method = getattr(one, "method", None)
        numbers = edge_numbers(method)
        with reporting_as(label):
            errors = [
                _errors(
                    p,
                    error_bars_of(one, task, i) or validated(p, task, numbers)[1],
                    task,
                    part,
                    functions,
                    numbers,
                )
                for i, p in enumerate(predictors)
            ]
        rows.append(_row(label, one, method, predictors, errors, blocks))
        if rollout_steps:
            best = getattr(one, "predictor", predictors[0])
            rolled[label] = rollout_errors(best, task, rollout_steps, rollouts, numbers)
    result = Result(task.describe() | {"blocks": np.bincount(blocks).tolist()}, rows)
    if rolled:
        result.rollout.update(_rollouts(task, rolled, rollout_steps))
    return result


def _named(fitted: Any) -> list[tuple[str, Any]]:
    if isinstance(fitted, Mapping):
        return list(fitted.items())
    several = fitted if isinstance(fitted, Sequence) else [fitted]
    named = []
    for one in several:
        method = getattr(one, "method", None)
        label = getattr(one, "label", None) or (
            type(one).__name__ if method is None else catalog.label(method)
        )
        named.append((label, one))
    return named


def error_bars_of(
    one: Any, task: Task, seed: int | None = None
) -> Sequence[ErrorBars | None] | None:
    """The error bars that something fitted has for each system of a task; None where it has none.

    Those from the validation windows of these systems, else those that the predictor knows for others.

    Args:
      one: what ``fit`` returned, a forecaster, or anything else.
      task: whose systems they must suit.
      seed: the number of the seed; None for the best.
    """
    held = getattr(one, "error_bars", None)
    if not held:
        known = getattr(getattr(one, "predictor", one), "bars_of", lambda system: None)
        found = tuple(known(system) for system in task.systems)
        return None if None in found else found
    bars = (held,) if isinstance(held, ErrorBars) else held[one.best if seed is None else seed]
    shapes = [None if b is None else b.rest.shape for b in bars]
    suited = [(system.num_nodes, system.channels) for system in task.systems]
    return bars if shapes == suited else None


def _errors(
    predictor: Predictor,
    bars: Sequence[ErrorBars | None],
    task: Task,
    part: Part,
    functions: Mapping[str, Metric],
    numbers: int,
) -> dict[str, np.ndarray]:
    """By metric and horizon the figure of every window [W]; of error bars at the first horizon."""
    found: dict[str, list[np.ndarray]] = {}
    done, total = 0, task.count(part)
    for windows, frames in predictions(predictor, task, part, numbers=numbers):
        for p, horizon in enumerate(task.window.horizons):
            for name, function in functions.items():
                key = name if p == 0 else f"{name}@{horizon}"
                found.setdefault(key, []).append(function(frames[:, p], windows.target[:, p]))
        if all(b is not None for b in bars):
            history = np.asarray(windows.history, np.float64)
            distribution = bars[windows.which].distribution(history, np.asarray(frames[:, 0]))
            figures = per_window_calibration(distribution, windows.target[:, 0])
            for name, figure in figures.items():
                found.setdefault(name, []).append(figure)
        done += len(windows.starts)
        tell(f"{part} windows", done, total)
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}


def _row(
    label: str,
    one: Any,
    method: Any,
    predictors: Sequence[Predictor],
    errors: list[dict[str, np.ndarray]],
    blocks: np.ndarray,
) -> Row:
    known = hasattr(one, "validation_mse")
    validation = np.asarray(one.validation_mse if known else np.zeros(len(predictors)), float)
    seeds = list(getattr(one, "seeds", ()))
    good = np.flatnonzero(np.isfinite(validation))
    metrics = {}
    for name in errors[0]:
        by_seed = np.stack([errors[i][name] for i in good])
        windows = by_seed.mean(axis=0)
        metrics[name] = {
            "mean": float(windows.mean()),
            "standard_error": float(standard_error(windows)) if windows.size > 1 else 0.0,
            "seeds": by_seed.mean(axis=1).tolist(),
        }
        if name == "mse":
            metrics[name]["blocks"] = (np.bincount(blocks, windows) / windows.size).tolist()
    entry = catalog.METHODS.get(label.partition(" (")[0])
    return Row(
        name=label,
        metrics=metrics,
        parameters=int(predictors[0].parameters),
        settings={} if method is None else method_to_dict(method),
        chosen=getattr(one, "chosen", predictors[0].chosen),
        equivariant=None if entry is None else entry.equivariant,
        seeds=[seeds[i] for i in good] if seeds else [],
        diverged=[seed for i, seed in enumerate(seeds) if i not in good],
        validation_mse=validation[good].tolist() if known else [],
        best_epoch=[int(one.best_epoch[i]) for i in good] if seeds else [],
        epochs=getattr(one, "epochs", 0),
        seconds={k: round(v, 6) for k, v in getattr(one, "seconds", {}).items()},
    )


def _rollouts(task: Task, errors: dict[str, np.ndarray], steps: int) -> dict[str, Any]:
    count = next(iter(errors.values())).shape[1]
    if not count:
        return {}
    squares = []
    for windows in task.windows("test", 500):
        target = windows.target[:, 0]
        centroid = np.broadcast_to(target.mean(axis=1, keepdims=True), target.shape)
        squares.append((float(mse(centroid, target)), len(target)))
    size = float(np.average([s for s, _ in squares], weights=[w for _, w in squares]))
    figures = {label: rollout_figures(e, size) for label, e in errors.items()}
    return {"steps": steps, "windows": count, "predictors": figures}
