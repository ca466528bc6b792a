"""What reads a run: its forecaster, its task, its evaluation. Nothing here writes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.task import Task
from estag_jax.data.transform import LENGTHS
from estag_jax.evaluation.evaluate import error_bars_of, evaluate
from estag_jax.evaluation.result import Result, Row
from estag_jax.evaluation.rollout import expected_errors, finite_list
from estag_jax.models import catalog
from estag_jax.models.forecaster import Forecaster
from estag_jax.runs import folder
from estag_jax.runs.folder import RunError
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.sources.catalog import find
from estag_jax.training.fit import fit
from estag_jax.training.fitted import Fit

ROLLOUT_STEPS, ROLLOUTS = 20, 200


def catalog_label(config: RunConfig) -> str:
    """The name of a run's method in its table."""
    label = catalog.label(config.method or config.model, start=config.start)
    return f"{label} ({catalog.CONSTRAINED})" if config.constrain_bonds else label


def closed_forms(
    task: Task, method: str = "", beside: Sequence[str] = ()
) -> tuple[list[str], list[Row]]:
    """The closed forms that every table has, and further ones, as far as they can be fitted and afforded.

    Args:
      task: what they would be fitted to.
      method: one that is fitted anyway and left out here.
      beside: the further ones.

    Returns:
      Their names, and rows that say why the others are skipped.
    """
    names, skipped = [], []
    usual = catalog.with_vectors(catalog.YARDSTICKS, task)
    for name in catalog.CLOSED_FORMS:
        if name == method or name not in (*usual, *beside):
            continue
        why = catalog.settings(name, task).refuse(task)
        if why is None:
            names.append(name)
        else:
            skipped.append(Row(name, status="skipped", reason=why))
    return names, skipped


def fitted_label(config: RunConfig, forecaster: Forecaster) -> str:
    """The name of what a run fitted: where its method is auto, that of the method that was chosen."""
    label, chosen = catalog_label(config), forecaster.chosen.get("method")
    return label if chosen is None else label.replace(catalog.AUTO, chosen, 1)


def load(run: str | os.PathLike, method: Any = None) -> Forecaster:
    """The forecaster that a run left, at its best validation epoch, or one that was saved by itself.

    Needs no data and writes nothing; a run may be under way.

    Args:
      run: the folder given to ``estag train --out``, or the file of ``Forecaster.save``.
      method: the settings or the Flax module of a method of one's own.

    Raises:
      RunError: the folder holds no run. FileError: a damaged forecaster.
    """
    path = Path(run)
    if not path.is_dir():
        return Forecaster.load(path, method)
    folder.read_run(path)
    if not (path / folder.FORECASTER).exists():
        raise RunError(f"{path}: has no forecaster yet; train until the first evaluation")
    return Forecaster.load(path / folder.FORECASTER, method)


def load_task(run: str | os.PathLike, data: Sequence[str] | None = None) -> tuple[RunConfig, Task]:
    """The task of a run, or its windows on other data of the same system.

    Args:
      run: the run's folder.
      data: other data in place of the run's own.

    Raises:
      RunError: no run, or its data are not there or have changed since. DataError: bad data.
    """
    run = Path(run)
    config, saved = folder.read_run(run)
    if data:
        return prepare(dataclasses.replace(config, data=tuple(data)))
    with _from_folder(config, saved, run):
        config, task = prepare(config)
    found = [t.fingerprint for t in task.trajectories]
    if found != saved.get("fingerprints", found):
        raise RunError(
            f"{', '.join(config.data)}: is not what {run} was trained on (the data have changed); "
            f"restore the file, or name other data of the same system with --data"
        )
    return config, task


def evaluate_run(run: str | os.PathLike, data: Sequence[str] | None = None) -> Result:
    """Tests a run's forecaster, and the closed forms fitted to the same task. Writes nothing.

    Args:
      run: the run's folder.
      data: other data, in place of the run's own; of the same system, unless the predictor is meant for
        others too.

    Raises:
      RunError, DataError: no run, bad data, or data of another system, step or unit.
    """
    forecaster = load(run)
    config, task = load_task(run, data)
    check_same_system(forecaster, task, run)
    own = SimpleNamespace(
        label=fitted_label(config, forecaster),
        method=forecaster.method,
        predictor=forecaster.predictor,
        chosen=forecaster.chosen,
        # Those of the run are of its own systems.
        error_bars=None if data and forecaster.predictor.transfers else forecaster.error_bars,
    )
    names, skipped = closed_forms(task, own.label, config.beside)
    result = evaluate_beside([fit(name, task) for name in names], skipped, own, task)
    result.about["notes"] = [
        f"{trajectory.source}: {note}"
        for trajectory in task.trajectories
        for note in forecaster.predictor.notes(trajectory.system)
    ]
    return result


def evaluate_beside(fits: Sequence[Fit], skipped: Sequence[Row], own: Any, task: Task) -> Result:
    """Tests closed forms and one's own method, the last row, on the same windows.

    Args:
      fits: of the closed forms.
      skipped: rows of those that were not fitted.
      own: what was fitted, for ``evaluate``.
      task: the windows.
    """
    result = evaluate([*fits, own], task, rollout_steps=ROLLOUT_STEPS, rollouts=ROLLOUTS)
    figures = result.rollout.get("predictors", {}).get(own.label)
    if figures and (bars := error_bars_of(own, task)):
        expected = expected_errors(own.predictor, bars, task, ROLLOUT_STEPS)
        if expected is not None:
            low, high = np.quantile(expected, [0.05, 0.95], axis=1, method="nearest")
            figures["expected"] = {"low": finite_list(low), "high": finite_list(high)}
    result.rows[-1:-1] = skipped
    return result


def check_same_system(forecaster: Forecaster, task: Task, run: str | os.PathLike) -> None:
    """Raises RunError where data are not of the system, step and unit that a forecaster knows.

    The system may be another one where the predictor is meant for that.
    """
    trajectory = task.trajectories[0]
    ours, theirs = forecaster.system, trajectory.system
    same = {
        "nodes": (len(ours.names), len(theirs.names)),
        "names of the nodes": (ours.names, theirs.names),
        "edges": (ours.graph.num_edges, theirs.graph.num_edges),
    }
    facts = ({} if forecaster.predictor.transfers else same) | {
        "channels": (ours.channels, theirs.channels),
        "length unit": (ours.length_unit, theirs.length_unit),
    }
    seconds = [TIME_UNITS.get(unit) for unit in (forecaster.time_unit, trajectory.time_unit)]
    steps = forecaster.frame_step, trajectory.frame_step
    if None in seconds:
        facts["time unit"] = forecaster.time_unit, trajectory.time_unit
        seconds = [1.0, 1.0]
    one, other = (step * size for step, size in zip(steps, seconds, strict=True))
    if abs(one - other) > 1e-3 * one:
        units = forecaster.time_unit, trajectory.time_unit
        facts["time between frames"] = tuple(
            f"{step:g} {unit}" for step, unit in zip(steps, units, strict=True)
        )
    known = ours.length_unit in LENGTHS
    options = {"length unit": f"--read.unit {ours.length_unit}"} if known else {}
    if trajectory.time_unit == "frame":
        options["time unit"] = f"--read.frame-step {forecaster.frame_step:g}{forecaster.time_unit}"
    for name, (one, other) in facts.items():
        if one != other:
            prepare = f"estag data prepare {trajectory.source} {options.get(name)} --out FILE.npz"
            remedy = f"; if it is known, write it first: {prepare}" if name in options else ""
            raise RunError(
                f"{trajectory.source}: {name}: {_short(other)}, but {run} was trained on "
                f"{_short(one)}{remedy}"
            )


def _short(value: Any) -> str:
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else text[:60] + " …"


@contextlib.contextmanager
def _from_folder(config: RunConfig, saved: dict[str, Any], run: Path) -> Generator[None]:
    """Says where a run's data were, when they are named by a path that is not found from here."""
    try:
        yield
    except ValueError as error:
        there = saved.get("read_from")
        missing = [spec for spec in config.data if _named_by_path(spec)]
        if there and there != os.getcwd() and missing:
            raise RunError(
                f"{error}; {run} was trained on it from the folder {there}; name the data with --data"
            ) from None
        raise


def _named_by_path(spec: str) -> bool:
    """Whether data are named by a relative path."""
    try:
        source, _ = find(spec)
    except ValueError:
        return True
    return source.function.startswith("files.") and not Path(spec).is_absolute()
