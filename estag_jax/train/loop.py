"""The training loop: epochs on the device, evaluations, checkpoints, resuming."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from estag_jax.runs import folder as runfiles
from estag_jax.runs.checkpoint import METRIC, Checkpoints, abstract
from estag_jax.train.experiment import Experiment
from estag_jax.train.settings import make_optimizer
from estag_jax.train.sharding import replicate
from estag_jax.train.step import init_state, make_epoch, make_errors

EVALUATION_BATCH = 500

Report = Callable[[int, dict[str, Any]], None]
"""Told the epochs done so far and the latest evaluation, for a progress bar."""


class TrainingDiverged(RuntimeError):
    """The loss is not finite; the message is one line for the user."""


class Fit(NamedTuple):
    """What training leaves.

    Args:
      variables: the model's variables at the best validation epoch.
      best: figures of that evaluation.
      errors: compiled ``errors(variables, starts, data) -> [W]`` for windows of the validation
        set's number, and the function itself for others.
      seconds: compile and train times of this call.
    """

    variables: Any
    best: dict[str, Any]
    seconds: dict[str, float]


def fit(
    experiment: Experiment,
    out: Path,
    checkpoints: Checkpoints,
    report: Report = lambda epoch, evaluation: None,
) -> Fit:
    """Trains from the latest checkpoint in ``out``, or from the start, to the configured epoch.

    An epoch's shuffle depends on the seed and the epoch's number alone, so a resumed run repeats an
    uninterrupted one.

    Args:
      experiment: data, windows and model.
      out: the run's folder; metrics are appended to its metrics.jsonl.
      checkpoints: where to resume from and to save.
      report: called after every evaluation.

    Returns:
      The best variables with their evaluation and the times.

    Raises:
      TrainingDiverged: the loss or the validation error is not finite. Nothing is saved then; the
        checkpoints before it stay.
    """
    config, mesh, data = experiment.config.train, experiment.mesh, experiment.dataset
    window = experiment.config.window
    optimizer = make_optimizer(config)
    train, validation = experiment.starts("train"), experiment.starts("validation")
    key = replicate(jax.random.fold_in(jax.random.key(config.seed), 1), mesh)

    variables = experiment.init_variables()
    state = replicate(init_state(variables, optimizer), mesh)
    latest = checkpoints.latest()
    epoch = 0 if latest is None else latest["epoch"]
    if latest is not None:
        state = checkpoints.restore(epoch, abstract(state))
    metrics = out / runfiles.METRICS
    kept = runfiles.read_metrics(metrics, up_to_epoch=epoch)
    metrics.unlink(missing_ok=True)
    for evaluation in kept:
        runfiles.append_metrics(metrics, evaluation)

    began = time.perf_counter()
    number = replicate(jnp.int32(0), mesh)
    # The state is donated: an epoch updates it in place.
    run_epoch = (
        jax.jit(
            make_epoch(experiment.model, optimizer, window, config.batch, mesh),
            donate_argnums=0,
        )
        .lower(state, key, number, train, data)
        .compile()
    )
    errors = (
        jax.jit(make_errors(experiment.model, window, EVALUATION_BATCH, mesh))
        .lower(state.variables, validation, data)
        .compile()
    )
    compiled = time.perf_counter()

    while epoch < config.epochs:
        until = min(epoch + config.evaluate_every, config.epochs)
        losses = []
        while epoch < until:
            state, loss = run_epoch(state, key, replicate(jnp.int32(epoch), mesh), train, data)
            losses.append(loss)
            epoch += 1
        evaluation = {
            "epoch": epoch,
            "train_mse": float(jnp.mean(jnp.stack(losses))),
            METRIC: float(jnp.mean(errors(state.variables, validation, data))),
            "seconds": round(time.perf_counter() - compiled, 3),
        }
        if not all(math.isfinite(evaluation[name]) for name in ("train_mse", METRIC)):
            raise TrainingDiverged(_diverged(experiment, checkpoints, evaluation))
        # Copies, because the next epoch overwrites the donated state while orbax still writes.
        checkpoints.save(epoch, jax.tree.map(jnp.copy, state), evaluation)
        runfiles.append_metrics(metrics, evaluation)
        report(epoch, evaluation)
        if config.patience is not None:
            since = epoch - checkpoints.best()["epoch"]
            if since >= config.patience * config.evaluate_every:
                break

    best = checkpoints.best()
    variables = checkpoints.restore_variables(best["epoch"], abstract(state.variables))
    seconds = {"compile": compiled - began, "train": time.perf_counter() - compiled}
    return Fit(variables, best, seconds)


def _diverged(experiment: Experiment, checkpoints: Checkpoints, evaluation: dict[str, Any]) -> str:
    config, good = experiment.config.train, checkpoints.latest()
    kept = "no checkpoint was written yet" if good is None else f"epoch {good['epoch']} is kept"
    return (
        f"training diverged by epoch {evaluation['epoch']} (training loss {evaluation['train_mse']}, "
        f"validation {evaluation[METRIC]}); {kept}; lower train.learning-rate (now "
        f"{config.learning_rate:g}) or set train.clip-norm"
    )
