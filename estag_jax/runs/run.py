"""A whole run: read, fit, evaluate beside the closed forms, write the folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from estag_jax.config import to_dict
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.result import Result, Row
from estag_jax.io import FileError, Report, write_json
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm
from estag_jax.models.forecaster import Forecaster
from estag_jax.runs import folder
from estag_jax.runs.checkpoint import Checkpoints
from estag_jax.runs.folder import RunError
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.sources.catalog import find
from estag_jax.training.callbacks import Callback
from estag_jax.training.fit import Loop, fit, refuse_systems

ROLLOUT_STEPS, ROLLOUTS = 20, 200


class Finished(NamedTuple):
    """A fitted and tested run.

    Args:
      config: all settings, what depends on the data filled in.
      task: the data and windows.
      forecaster: of the run.
      result: what result.json holds; the run's own method is its last row.
    """

    config: RunConfig
    task: Task
    forecaster: Forecaster
    result: Result


class Saved(Callback):
    """Keeps the log and the best forecaster in a run's folder, for readers and for --resume."""

    def __init__(self, out: Path):
        self.out = out

    def begin(self, loop: Loop) -> None:
        (self.out / folder.METRICS).unlink(missing_ok=True)
        for evaluation in loop.log:
            folder.append_metrics(self.out, evaluation)

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        folder.append_metrics(self.out, evaluation)
        if loop.best_epoch[0] == loop.epoch:
            loop.snapshot().forecaster.save(self.out / folder.FORECASTER)
            folder.forget_previous(self.out)


def train(
    config: RunConfig,
    out: str | os.PathLike,
    *,
    resume: bool = False,
    overwrite: bool = False,
    take_over: bool = False,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    announce: Callable[[RunConfig, Task, list[Row]], None] = lambda config, task, skipped: None,
) -> Finished:
    """Fits a method and evaluates it once on the test windows, at its best validation epoch.

    Args:
      config: all settings.
      out: the run's folder, made if need be.
      resume: continue the run that is there (with the same settings; ``epochs`` may grow).
      overwrite: replace the run that is there; it is kept until the new one has a forecaster.
      take_over: remove the lock of another machine.
      callbacks: of training, besides those of the folder.
      report: receives the progress of reading.
      announce: called once the data are read, before anything is compiled, with the closed forms that
        cannot be fitted.

    Returns:
      Settings, data, the forecaster and the result.

    Raises:
      DataError: bad data. RunError: the folder is in use, holds a run and neither flag is given, or one
        with other settings. TrainingDiverged: the loss is not finite.
    """
    began, out = time.perf_counter(), Path(out)
    _check_place(out, resume, overwrite)
    # Everything that can be wrong with the data is found before the folder is touched.
    config, task = prepare(config, report)
    fingerprints = [t.fingerprint for t in task.trajectories]
    if not isinstance(config.model, ClosedForm):
        refuse_systems(config.model.build(), task, config.method or type(config.model).__name__)
    baselines, skipped = closed_forms(task, config.method)
    announce(config, task, skipped)
    with folder.locked(out, take_over):
        folder.bring_back(out)
        if folder.is_run(out) and not overwrite:
            _check_resumable(config, fingerprints, out)
        elif folder.is_run(out):
            folder.set_aside(out)
        folder.write_run(out, config, fingerprints=fingerprints, read_from=os.getcwd())
        key = _comparable(config) | {"fingerprints": fingerprints}
        fitted = fit(
            config.model,
            task,
            train=config.train,
            label=catalog_label(config),
            callbacks=(Checkpoints(out / folder.CHECKPOINTS, key), Saved(out), *callbacks),
        )
        fitted.forecaster.save(out / folder.FORECASTER)
        folder.forget_previous(out)
        result = evaluate(
            [*(fit(name, task) for name in baselines), fitted],
            task,
            rollout_steps=ROLLOUT_STEPS,
            rollouts=ROLLOUTS,
        )
        result.rows[:] = [*result.rows[:-1], *skipped, result.rows[-1]]
        result.about.update(
            config=to_dict(config),
            seconds=fitted.seconds | {"total": round(time.perf_counter() - began, 3)},
        )
        write_json(out / folder.RESULT, result.to_dict())
    return Finished(config, task, fitted.forecaster, result)


def catalog_label(config: RunConfig) -> str:
    """The name of a run's method in its table."""
    return config.method or catalog.label(config.model)


def closed_forms(task: Task, method: str = "") -> tuple[list[str], list[Row]]:
    """The closed forms of every table that can be fitted with acceptable memory and time.

    Args:
      task: what they would be fitted to.
      method: one that is fitted anyway and left out here.

    Returns:
      Their names, and rows that say why the others are skipped.
    """
    names, skipped = [], []
    for name in catalog.CLOSED_FORMS:
        if name == method:
            continue
        why = catalog.settings(name, task).refuse(task)
        if why is None:
            names.append(name)
        else:
            skipped.append(Row(name, status="skipped", reason=why))
    return names, skipped


def load(run: str | os.PathLike, method: Any = None) -> Forecaster:
    """The forecaster of a run, at its best validation epoch, or one in a file of its own.

    Needs no data and writes nothing; the run may still be training.

    Args:
      run: the folder given to ``estag train --out``, or the file of ``Forecaster.save``.
      method: the settings or the Flax module of a method of your own.

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
      data: other data of the same system, in place of the run's own.

    Raises:
      RunError, DataError: no run, bad data, or data of another system, step or unit.
    """
    forecaster = load(run)
    config, task = load_task(run, data)
    check_same_system(forecaster, task, run)
    names, skipped = closed_forms(task, config.method)
    label = catalog_label(config)
    own = _Loaded(label, forecaster)
    fits = [fit(name, task) for name in names]
    result = evaluate([*fits, own], task, rollout_steps=ROLLOUT_STEPS, rollouts=ROLLOUTS)
    result.rows[:] = [*result.rows[:-1], *skipped, result.rows[-1]]
    return result


class _Loaded:
    """A forecaster under the label of its run."""

    def __init__(self, label: str, forecaster: Forecaster):
        self.label, self.method, self.predictor = label, forecaster.method, forecaster.predictor


def check_same_system(forecaster: Forecaster, task: Task, run: str | os.PathLike) -> None:
    """Raises RunError where data are not of the system, step and unit that a forecaster knows."""
    trajectory = task.trajectories[0]
    ours, theirs = forecaster.system, trajectory.system
    facts = {
        "nodes": (len(ours.names), len(theirs.names)),
        "names of the nodes": (ours.names, theirs.names),
        "channels": (ours.channels, theirs.channels),
        "edges": (ours.graph.num_edges, theirs.graph.num_edges),
        "length unit": (ours.length_unit, theirs.length_unit),
        "time unit": (forecaster.time_unit, trajectory.time_unit),
        "time between frames": (forecaster.frame_step, trajectory.frame_step),
    }
    for name, (one, other) in facts.items():
        close = isinstance(one, float) and abs(one - other) <= 1e-3 * abs(one)
        if one != other and not close:
            raise RunError(
                f"{trajectory.source}: {name}: {_short(other)}, but {run} was trained on "
                f"{_short(one)}"
            )


def _short(value: Any) -> str:
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else text[:60] + " …"


def _check_place(out: Path, resume: bool, overwrite: bool) -> None:
    """Refuses a folder that cannot be written to as asked, before the data are read."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; choose another --out")
    previous = (out / folder.PREVIOUS / folder.RUN).exists()
    if folder.is_run(out) or previous:
        if not (resume or overwrite):
            raise RunError(
                f"{out}: holds a run already; add --resume to go on with it or --overwrite to replace it"
            )
        return
    if (out / folder.RUN).exists() or (out / "config.json").exists():
        folder.read_run(out)  # says what is wrong with it
    if others := folder.foreign(out):
        raise RunError(
            f"{out}: is not empty ({', '.join(others[:3])}{' …' * (len(others) > 3)}) and holds no run; "
            f"choose another --out"
        )


def _comparable(config: RunConfig) -> dict[str, Any]:
    """All settings that a resumed run must share; only the number of epochs may grow."""
    saved = to_dict(config)
    saved["train"].pop("epochs")
    saved.pop("data")  # by their fingerprints: the same file may lie in another folder
    return saved


def _check_resumable(config: RunConfig, fingerprints: list[str], out: Path) -> None:
    was, saved = folder.read_run(out)
    new, old = _comparable(config), _comparable(was)
    changed = []
    for group in old:
        if isinstance(old[group], dict) and isinstance(new.get(group), dict):
            names = dict.fromkeys((*old[group], *new[group]))
            changed += [
                f"{group}.{name}" for name in names if old[group].get(name) != new[group].get(name)
            ]
        elif old[group] != new.get(group):
            changed.append(group)
    if changed:
        raise RunError(
            f"{out}: was run with other settings ({', '.join(changed)}); choose another --out"
        )
    if saved.get("fingerprints") != fingerprints:
        raise RunError(
            f"{', '.join(config.data)}: is not what {out} was trained on; restore the file, or choose "
            f"another --out"
        )


@contextlib.contextmanager
def _from_folder(config: RunConfig, saved: dict[str, Any], run: Path) -> Iterator[None]:
    """Says where a run's data were, when they are named by a path that is not found from here."""
    try:
        yield
    except (FileError, ValueError) as error:
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
