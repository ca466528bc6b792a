"""A whole run: read, fit, evaluate beside the closed forms, write the folder."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from estag_jax.config import from_dict, to_dict
from estag_jax.data.task import Task
from estag_jax.evaluation.result import Result, Row
from estag_jax.io import Report, write_json
from estag_jax.models.auto import Auto
from estag_jax.models.base import ClosedForm, NetworkMethod
from estag_jax.models.forecaster import Forecaster
from estag_jax.runs import folder
from estag_jax.runs.checkpoint import Checkpoints
from estag_jax.runs.folder import RunError
from estag_jax.runs.lock import locked
from estag_jax.runs.readers import catalog_label, closed_forms, evaluate_beside
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.training import distributed
from estag_jax.training.callbacks import Callback
from estag_jax.training.fit import fit, refuse_constraints, refuse_systems
from estag_jax.training.loop import Loop
from estag_jax.training.settings import WHERE
from estag_jax.training.start import starting_method


class Finished(NamedTuple):
    """A fitted and tested run.

    Args:
      config: all settings, what depends on the data filled in.
      task: the data and windows.
      forecaster: of the run.
      result: what result.json holds; the run's own method is its last row.
      beside: forecasters of the further methods that the settings name, by their names.
    """

    config: RunConfig
    task: Task
    forecaster: Forecaster
    result: Result
    beside: dict[str, Forecaster]


class Saved(Callback):
    """Keeps the log and the best forecaster in a run's folder, for readers and for --resume."""

    def __init__(self, out: Path):
        self.out = out

    def begin(self, loop: Loop) -> None:
        folder.begin_metrics(self.out, loop.log)

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
) -> Finished | None:
    """Fits a method and evaluates it once on the test windows, at its best validation epoch.

    Of several processes (training.distributed) all call this and train; the first alone writes the folder,
    but for checkpoints, and tests.

    Args:
      config: all settings.
      out: the run's folder, made if need be.
      resume: go on with the run that is there (with the same settings; ``epochs`` may grow).
      overwrite: replace the run that is there; it is kept until the new one has something to show.
      take_over: remove the lock of another machine.
      callbacks: of training, besides those of the folder.
      report: is told the progress of reading.
      announce: called once the data are read, before anything is compiled, with the closed forms that
        cannot be fitted.

    Returns:
      Settings, data, the forecaster and the result; None in processes other than the first.

    Raises:
      DataError: bad data. RunError: the folder is in use, holds a run and neither flag is given, or one
        with other settings. TrainingDiverged: the loss is not finite.
    """
    began, out = time.perf_counter(), Path(out)
    distributed.by_first("look at the folder", partial(_check_place, out, resume, overwrite))
    # Everything that can be wrong with the data is found before the folder is touched.
    config, task = prepare(config, report)
    fingerprints = [t.fingerprint for t in task.trajectories]
    units = [[t.frame_step, t.time_unit, t.system.length_unit] for t in task.trajectories]
    if isinstance(config.model, NetworkMethod):
        refuse_systems(config.model.build(), task, catalog_label(config))
        if config.start is not None:
            starting_method(config.start, task, catalog_label(config))
    elif distributed.active():
        raise RunError(
            f"{catalog_label(config)} is fitted by one process; leave out the options of distributed"
        )
    elif config.start is not None:
        raise RunError(
            f"start has no effect on {catalog_label(config)}, a closed form; leave it out"
        )
    if isinstance(config.model, ClosedForm) and (why := config.model.refuse(task)):
        raise RunError(f"{catalog_label(config)} {why}")
    if config.constrain_bonds:
        refuse_constraints(task)
    own = "" if config.constrain_bonds else config.method
    baselines, skipped = closed_forms(task, own, config.beside)
    announce(config, task, skipped)
    about = {"fingerprints": fingerprints, "units": units, "read_from": os.getcwd()}
    key = _comparable(config) | {"fingerprints": fingerprints}
    with contextlib.ExitStack() as held:

        def begin() -> None:
            held.enter_context(locked(out, take_over))
            folder.bring_back(out)
            if folder.is_run(out) and not overwrite:
                _check_resumable(config, fingerprints, units, out)
            elif folder.is_run(out):
                folder.set_aside(out)
            folder.write_run(out, config, catalog_label(config), **about)

        distributed.by_first("prepare the folder", begin)
        first = distributed.is_first()
        fitted = fit(
            config.model,
            task,
            train=config.train,
            start=config.start,
            constrain_bonds=config.constrain_bonds,
            label=None if isinstance(config.model, Auto) else catalog_label(config),
            callbacks=(
                Checkpoints(out / folder.CHECKPOINTS, key, _up_to_date),
                *([Saved(out)] if first else []),
                *callbacks,
            ),
        )
        if not first:
            return None
        fitted.forecaster.save(out / folder.FORECASTER)
        folder.forget_previous(out)
        tried = {one.label: one for one in fitted.tried}
        names = [name for name in baselines if name != fitted.label]
        fits = [tried.get(name) or fit(name, task) for name in names]
        result = evaluate_beside(fits, skipped, fitted, task)
        result.about.update(
            config=to_dict(config),
            seconds=fitted.seconds | {"total": round(time.perf_counter() - began, 3)},
        )
        write_json(out / folder.RESULT, result.to_dict())
    beside = {one.label: one.forecaster for one in fits if one.label in config.beside}
    return Finished(config, task, fitted.forecaster, result, beside)


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
        folder.read_run(out)  # says what is the matter with it
    if others := folder.foreign(out):
        raise RunError(
            f"{out}: is not empty ({', '.join(others[:3])}{' …' * (len(others) > 3)}) and holds no run; "
            f"choose another --out"
        )


def _comparable(config: RunConfig) -> dict[str, Any]:
    """All settings that a resumed run must share; the number of epochs may grow."""
    saved = to_dict(config)
    saved["train"].pop("epochs")
    for name in WHERE:  # a run goes on on other devices
        saved["train"].pop(name)
    saved["read"].pop("max_memory")  # and on a machine of another size
    saved.pop("data")  # by their fingerprints: the same file may lie in another folder
    saved.pop("beside")
    return saved


def _up_to_date(key: Any) -> Any:
    """The key of a checkpoint of an older version, with the defaults of settings that it did not have."""
    try:
        settings = {name: value for name, value in key.items() if name != "fingerprints"}
        return _comparable(from_dict(RunConfig, settings)) | {"fingerprints": key["fingerprints"]}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # of settings that there are no more


def _check_resumable(
    config: RunConfig, fingerprints: list[str], units: list[list[Any]], out: Path
) -> None:
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
    before = saved.get("units", units)
    if before != units:
        one, other = next(pair for pair in zip(units, before, strict=True) if pair[0] != pair[1])
        raise RunError(
            f"{', '.join(config.data)}: has {_units(one)}, {out} was trained on {_units(other)}; "
            f"choose another --out"
        )


def _units(units: list[Any]) -> str:
    step, time, length = units
    return f"{step:g} {time} between frames and lengths in {length}"
