"""``fit``: a method and a task make a predictor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validated
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm, Method
from estag_jax.training.callbacks import Callback, EarlyStopping, StopOnDivergence
from estag_jax.training.loop import Fit, Loop
from estag_jax.training.losses import Loss
from estag_jax.training.settings import TrainConfig


def fit(
    method: str | Method | nn.Module,
    task: Task,
    *,
    seeds: Sequence[int] | None = None,
    train: TrainConfig | None = None,
    loss: Loss | None = None,
    optimizer: optax.GradientTransformation | None = None,
    callbacks: Sequence[Callback] = (),
    label: str | None = None,
    **settings: Any,
) -> Fit:
    """Fits a method to the training windows of a task.

    A closed form is solved. A network is trained by epochs; its parameters are those of the best
    validation epoch of each seed. An epoch's shuffle depends on the seed and the epoch's number alone.

    Args:
      method: a name of the catalog ("ESTAG", "var-ridge"), settings (EstagConfig(hidden=32)), a closed
        form of one's own, a Flax module, or Network(module).
      task: data, windows and split.
      seeds: trained together; by default the one of ``train``.
      train: how a network is trained.
      loss: from a forecaster and a batch to one number a window (training.losses); by default that of
        ``train``.
      optimizer: any optax transformation, in place of that of ``train``.
      callbacks: see training.callbacks.
      label: name in tables.
      **settings: fields of TrainConfig (epochs=100), in place of ``train``.

    Returns:
      The predictors and how they came about.

    Raises:
      ValueError: the method cannot be fitted to this task, or a seed is given twice.
      TrainingDiverged: the loss is not finite.
    """
    method = catalog.as_method(method)
    label = label or catalog.label(method)
    config = catalog.settings(method, task)
    if isinstance(config, ClosedForm):
        if why := config.refuse(task):
            raise ValueError(f"{label} {why}")
        began = time.perf_counter()
        predictor = config.fit(task)
        seconds = {"fit": time.perf_counter() - began}
        error, bars = validated(predictor, task)
        return Fit(
            label,
            config,
            task,
            (predictor,),
            validation_mse=np.array([error]),
            seconds=seconds,
            error_bars=(bars,),
        )
    train = dataclasses.replace(train or TrainConfig(), **settings)
    refuse_systems(config.build(), task, label)
    loop = Loop(label, config, task, seeds or (train.seed,), train, loss, optimizer)
    stopping = [EarlyStopping(train.patience)] if train.patience else []
    found = loop.run([StopOnDivergence(), *stopping, *callbacks])
    hidden = getattr(config, "hidden", 16)
    bars = tuple(validated(predictor, task, hidden)[1] for predictor in found.predictors)
    return dataclasses.replace(found, error_bars=bars)


def refuse_systems(module: nn.Module, task: Task, label: str) -> None:
    """Raises if the module cannot take a system of the task; asked before anything is compiled.

    Raises:
      ValueError: one line for the user.
    """
    refuse = getattr(module, "refuse", lambda channels, graph: None)
    for trajectory in task.trajectories:
        system = trajectory.system
        padded = (
            system.graph
            if len(task.systems) == 1
            else system.graph.pad(system.num_nodes + 1, system.graph.num_edges)
        )
        if why := refuse(system.channels, padded):
            raise ValueError(f"{label} cannot take {trajectory.source}: {why}")
