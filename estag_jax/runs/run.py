"""A whole run: read, train, evaluate beside the closed-form predictors, write the folder."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.config import from_dict, to_dict
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluate.metrics import mse, per_window_mse
from estag_jax.evaluate.rollout import (
    rollout,
    rollout_eager,
    rollout_errors,
    rollout_figures,
    rollout_starts,
)
from estag_jax.models.closed_form import fit_all
from estag_jax.models.registry import abstract_variables, model_name
from estag_jax.report.tables import add_ratios, markdown, row
from estag_jax.runs import folder as runfiles
from estag_jax.runs.checkpoint import Checkpoints, abstract
from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import EVALUATION_BATCH, Report, fit
from estag_jax.train.settings import RunConfig
from estag_jax.train.sharding import replicate
from estag_jax.train.step import make_errors, predict_windows

ROLLOUT_STEPS, ROLLOUT_STARTS = 20, 200
PACKAGES = ("estag_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Finished(NamedTuple):
    """A trained and tested run.

    Args:
      experiment: data, windows and model.
      variables: the model's variables at the best validation epoch.
      result: what result.json holds.
    """

    experiment: Experiment
    variables: Any
    result: dict[str, Any]


def train(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = lambda epoch, evaluation: None,
    announce: Callable[[Experiment], None] = lambda experiment: None,
) -> Finished:
    """Trains a model and evaluates it once on the test windows, at its best validation epoch.

    Args:
      config: all settings.
      out: the run's folder, made if need be.
      resume: go on with the run that is there (with the same settings; ``epochs`` may grow).
      overwrite: replace the run that is there.
      report: called after every evaluation, for a progress bar.
      announce: called once the data are read, before anything is compiled.

    Returns:
      Data and model, the variables at the best validation epoch, and what result.json holds.

    Raises:
      DataError: bad data. RunError: the folder holds a run and neither flag is given, or holds one
        with other settings. TrainingDiverged: the loss is not finite.
    """
    began = time.perf_counter()
    out = Path(out)
    exists = (out / runfiles.CONFIG).exists()
    if exists and not (resume or overwrite):
        raise runfiles.RunError(
            f"{out}: holds a run already; add --resume to go on with it or --overwrite to replace it"
        )
    if out.exists() and not exists and any(out.iterdir()):
        raise runfiles.RunError(f"{out}: is not empty and holds no run; choose another --out")
    if exists and not overwrite:
        _check_resumable(config, out)
    # Everything that can be wrong with the data is found before the folder is touched.
    experiment = Experiment.prepare(config)
    announce(experiment)
    fingerprint = experiment.trajectory.fingerprint
    if exists and overwrite:
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    runfiles.write_json(out / runfiles.CONFIG, to_dict(config))
    runfiles.write_system(out / runfiles.SYSTEM, experiment.trajectory)

    about = {"config": to_dict(config), "fingerprint": fingerprint}
    with Checkpoints(out / runfiles.CHECKPOINTS, about) as checkpoints:
        _check_same_data(checkpoints, fingerprint, config, out)
        fitted = fit(experiment, out, checkpoints, report)
    result = evaluate(experiment, fitted.variables) | {
        "status": "finished",
        "best": fitted.best,
        "config": to_dict(config),
        "seconds": fitted.seconds | {"total": time.perf_counter() - began},
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "device": {
            "platform": jax.default_backend(),
            "kind": jax.devices()[0].device_kind,
            "count": jax.device_count(),
        },
    }
    runfiles.write_json(out / runfiles.RESULT, result)
    runfiles.write_text(
        out / runfiles.TABLE, markdown(result["rows"], experiment.trajectory.length_unit)
    )
    return Finished(experiment, fitted.variables, result)


def evaluate(experiment: Experiment, variables: Any) -> dict[str, Any]:
    """Test errors and rollouts of a trained model and of the closed-form predictors.

    Args:
      experiment: data, windows and model.
      variables: the trained variables.

    Returns:
      ``data`` (facts), ``rows`` (one per predictor, best last) and ``rollout`` (errors by
      step); errors in squared length units.
    """
    config, data = experiment.config, experiment.dataset
    window = config.window
    errors = jax.jit(make_errors(experiment.model, window, EVALUATION_BATCH, experiment.mesh))(
        variables, experiment.starts("test"), data
    )
    history, target = experiment.windows("test")
    validation = experiment.windows("validation")
    linear = fit_all(*experiment.windows("train"), *validation, window.horizon)
    name = model_name(config.model)
    rows = [
        row(
            f.name,
            per_window_mse(f(history), target),
            f.parameters,
            validation_mse=float(mse(f(validation[0]), validation[1])),
            ridge=f.ridge,
        )
        for f in linear
    ]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    rows.append(row(name, errors, parameters))

    starts = rollout_starts(
        experiment.split.test,
        experiment.trajectory,
        window,
        ROLLOUT_STEPS,
        ROLLOUT_STARTS,
    )

    def network(history, steps):
        predict = partial(predict_windows, experiment.model, variables, data)
        return jax.jit(rollout, static_argnums=(0, 2))(predict, jnp.asarray(history), steps)

    rolls = {f.name: partial(rollout_eager, f) for f in linear} | {name: network}
    predictors = {}
    if starts.size:
        positions = experiment.trajectory.positions
        centroid = target.mean(axis=1, keepdims=True)
        size = float(mse(np.broadcast_to(centroid, target.shape), target))
        for label, roll in rolls.items():
            errors = rollout_errors(
                roll, positions, starts, window.past, window.delta, ROLLOUT_STEPS
            )
            predictors[label] = rollout_figures(errors, size)
    return {
        "data": experiment.describe(),
        "rows": add_ratios(rows),
        "rollout": {
            "windows": int(starts.size),
            "steps": ROLLOUT_STEPS,
            "predictors": predictors,
        },
    }


def load_run(out: Path, data: str | None = None) -> tuple[Experiment, Any, dict[str, Any]]:
    """A finished or interrupted run, ready to evaluate.

    Args:
      out: the run's folder.
      data: other data of the same system in place of the run's own, or None.

    Returns:
      (experiment, variables at the best validation epoch, figures of that epoch).

    Raises:
      RunError: no run, no checkpoint, or the run's own data have changed since.
    """
    out = Path(out)
    config = read_config(out)
    if data is not None:
        config = from_dict(RunConfig, to_dict(config) | {"data": data})
    experiment = Experiment.prepare(config)
    system = runfiles.read_system(out / runfiles.SYSTEM)
    if experiment.trajectory.names != system.names:
        raise runfiles.RunError(
            f"{config.data}: its nodes are not those that {out} was trained on "
            f"({len(experiment.trajectory.names)} nodes, {len(system.names)} expected)"
        )
    with Checkpoints(out / runfiles.CHECKPOINTS) as checkpoints:
        if data is None:
            _check_same_data(checkpoints, experiment.trajectory.fingerprint, config, out)
    variables, best = restore_best(out, experiment.model, experiment.trajectory)
    return experiment, replicate(variables, experiment.mesh), best


def read_config(out: Path) -> RunConfig:
    """The settings of a run.

    Raises:
      RunError: the folder holds no run, or one of another version.
    """
    path = Path(out) / runfiles.CONFIG
    try:
        return from_dict(RunConfig, runfiles.read_json(path))
    except runfiles.RunError:
        raise
    except (ValueError, TypeError) as error:
        raise runfiles.RunError(f"{path}: {error}") from None


def restore_best(out: Path, model: nn.Module, system: Trajectory) -> tuple[Any, dict[str, Any]]:
    """Variables of a run's model at its best validation epoch, with that evaluation's figures.

    Args:
      out: the run's folder.
      model: its network.
      system: nodes and graph, with or without frames.

    Raises:
      RunError: there is no checkpoint.
    """
    folder, config = Path(out) / runfiles.CHECKPOINTS, read_config(out)
    if not folder.is_dir():
        raise runfiles.RunError(f"{folder}: no checkpoints; train first")
    history = jax.ShapeDtypeStruct(
        (system.num_nodes, config.window.past, system.channels, 3), system.positions.dtype
    )
    like = abstract_variables(model, history, system.node_features, system.topology)
    like = abstract(like, jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    with Checkpoints(folder) as checkpoints:
        best = checkpoints.best()
        if best is None:
            raise runfiles.RunError(f"{folder}: holds no finished checkpoint; train first")
        return checkpoints.restore_variables(best["epoch"], like), best


def _check_same_data(
    checkpoints: Checkpoints, fingerprint: str, config: RunConfig, out: Path
) -> None:
    trained_on = checkpoints.about.get("fingerprint", fingerprint)
    if trained_on != fingerprint:
        raise runfiles.RunError(
            f"{config.data}: is not what {out} was trained on (fingerprint {fingerprint[:12]}, then "
            f"{trained_on[:12]}); restore the file, or choose another --out"
        )


def _check_resumable(config: RunConfig, out: Path) -> None:
    """Only the number of epochs may differ from the run that is there."""
    new, old = to_dict(config), to_dict(read_config(out))
    changed = [
        f"{group}.{name}" if isinstance(old[group], dict) else group
        for group in old
        for name in (old[group] if isinstance(old[group], dict) else [group])
        if (group, name) != ("train", "epochs")
        and (old[group][name] if isinstance(old[group], dict) else old[group])
        != (new[group].get(name) if isinstance(new[group], dict) else new[group])
    ]
    if changed:
        raise runfiles.RunError(
            f"{out}: was run with other settings ({', '.join(changed)}); choose another --out"
        )
