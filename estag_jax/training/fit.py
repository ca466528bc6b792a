"""``fit``: a method and a task make a predictor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validated
from estag_jax.io import reporting_as
from estag_jax.models import catalog
from estag_jax.models.auto import Auto
from estag_jax.models.base import ClosedForm, Method
from estag_jax.models.constrained import Constrained, ConstrainedPredictor, unconstrainable
from estag_jax.models.memory import edge_numbers
from estag_jax.training.callbacks import Callback, EarlyStopping, StopOnDivergence
from estag_jax.training.fitted import Fit
from estag_jax.training.loop import Loop
from estag_jax.training.losses import Loss
from estag_jax.training.settings import TrainConfig
from estag_jax.training.start import StartedLoop, starting_method


def fit(
    method: str | Method | nn.Module,
    task: Task,
    *,
    seeds: Sequence[int] | None = None,
    train: TrainConfig | None = None,
    loss: Loss | str | None = None,
    optimizer: optax.GradientTransformation | None = None,
    callbacks: Sequence[Callback] = (),
    start: str | None = None,
    constrain_bonds: bool = False,
    label: str | None = None,
    **settings: Any,
) -> Fit:
    """Fits a method to the training windows of a task.

    A closed form is solved; it is silent, but for ``estag_jax.io.reporting``. "auto" fits the closed forms
    that suit the task and takes the best on the validation windows. A network is trained by epochs; its
    parameters are those of the best validation epoch of each seed. An epoch's shuffle depends on the seed
    and the epoch's number alone.

    Args:
      method: a name of the catalog ("ESTAG", "var-ridge"), "auto", settings (EstagConfig(hidden=32)),
        a closed form of one's own, a Flax module, or Network(module).
      task: data, windows and split.
      seeds: trained together; by default the one of ``train``.
      train: how a network is trained.
      loss: a name of training.losses.LOSSES, or a function from a forecaster and a batch to one number a
        window; by default that of ``train``.
      optimizer: any optax transformation, in place of that of ``train``.
      callbacks: see training.callbacks.
      start: a closed form ("frame-ridge") that a network adds to: it learns what the closed form leaves
        on windows that it was not fitted to (training.start). Closed forms do not look at it.
      constrain_bonds: forecasts of the fit get the bond lengths of the last past frame
        (models.constrained), as suits rigid skeletons.
      label: name in tables.
      **settings: fields of TrainConfig (epochs=100), in place of ``train``.

    Returns:
      The predictors and how they came about.

    Raises:
      ValueError: the method cannot be fitted to this task, or a seed is given twice.
      TrainingDiverged: the loss is not finite.

    Example:
      >>> from estag_jax import Trajectory, WindowConfig
      >>> walk = np.random.default_rng(0).normal(size=(400, 3, 3)).cumsum(axis=0)
      >>> task = Task(Trajectory.from_arrays(walk), WindowConfig(past=4, delta=2))
      >>> forecaster = fit("AR-LS", task).forecaster
      >>> forecaster.predict(forecaster.history(walk, start=100)).shape
      (3, 1, 3)
    """
    if constrain_bonds:
        return _constrained(
            task,
            label,
            partial(
                fit,
                method,
                task,
                seeds=seeds,
                train=train,
                loss=loss,
                optimizer=optimizer,
                callbacks=callbacks,
                start=start,
                **settings,
            ),
        )
    method = catalog.as_method(method)
    start = None if start is None else catalog.find_closed_form(start, "start")
    label = label or catalog.label(method, start=start)
    config = catalog.settings(method, task)
    if isinstance(config, Auto):
        return _fit_best(config, task)
    if isinstance(config, ClosedForm):
        if why := config.refuse(task):
            raise ValueError(f"{label} {why}")
        with reporting_as(label):
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
    if isinstance(loss, str):
        settings, loss = settings | {"loss": loss}, None
    train = dataclasses.replace(train or TrainConfig(), **settings)
    refuse_systems(config.build(), task, label)
    given = label, config, task, seeds or (train.seed,), train, loss, optimizer
    if start is None:
        loop = Loop(*given)
    else:
        loop = StartedLoop(*given, start=starting_method(start, task, label))
    stopping = [EarlyStopping(train.patience)] if train.patience else []
    found = loop.run([StopOnDivergence(), *stopping, *callbacks])
    numbers = edge_numbers(config)
    with reporting_as(label):
        bars = tuple(validated(p, task, numbers, loop.sizes)[1] for p in found.predictors)
    return dataclasses.replace(found, error_bars=bars)


def _fit_best(config: Auto, task: Task) -> Fit:
    """The fit of the closed form that ``config`` chooses; what it was chosen from is its ``choice``."""
    began = time.perf_counter()
    names = catalog.with_vectors(catalog.CLOSED_FORMS, task)
    methods = {name: catalog.settings(name, task) for name in names}
    left_out = {name: why for name, method in methods.items() if (why := method.refuse(task))}
    affordable = [name for name in methods if name not in left_out]
    left, fits = config.seconds, {}
    for name in sorted(affordable, key=lambda name: methods[name].seconds(task)):
        method = methods[name].within(task, left)
        if method is None:
            left_out[name] = (
                f"would take about {methods[name].seconds(task):.0f} s, {left:.0f} of the "
                f"{config.seconds:g} allowed are left"
            )
            continue
        left -= method.seconds(task)
        try:
            fits[name] = fit(method, task, label=name)
        except ValueError as error:
            left_out[name] = f"cannot be fitted: {error}"
    errors = {name: float(one.validation_mse[0]) for name, one in fits.items()}
    ranked = sorted((name for name in errors if np.isfinite(errors[name])), key=errors.__getitem__)
    if not ranked:
        whys = (f"{name} {why}" for name, why in left_out.items())
        raise ValueError(f"auto: no closed form can be fitted: {'; '.join(whys)}")
    choice = {
        "method": ranked[0],
        "validation errors": {name: errors[name] for name in ranked},
        "left out": left_out,
    }
    seconds = {"fit": time.perf_counter() - began}
    best, tried = fits[ranked[0]], tuple(fits.values())
    return dataclasses.replace(best, choice=choice, tried=tried, seconds=seconds)


def _constrained(task: Task, label: str | None, fit_without: Callable[[], Fit]) -> Fit:
    """A fit whose predictors keep bond lengths; errors and error bars are those of their forecasts."""
    refuse_constraints(task)
    found = fit_without()
    method = Constrained(found.method)
    predictors = tuple(ConstrainedPredictor(one, method.sweeps) for one in found.predictors)
    errors, bars = zip(*(validated(p, task, edge_numbers(method)) for p in predictors), strict=True)
    # The epoch of each seed was chosen without constraints.
    return dataclasses.replace(
        found,
        label=label or f"{found.label} ({catalog.CONSTRAINED})",
        method=method,
        predictors=predictors,
        validation_mse=np.where(np.isfinite(found.validation_mse), errors, np.inf),
        error_bars=bars,
    )


def refuse_constraints(task: Task) -> None:
    """Raises if the bonds of a system cannot be constrained; asked before anything is fitted.

    Raises:
      ValueError: one line for the user.
    """
    for trajectory in task.trajectories:
        if why := unconstrainable(trajectory.system):
            raise ValueError(f"{trajectory.source}: bonds cannot be constrained: {why}")


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
