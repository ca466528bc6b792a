"""Several seeds of one model trained together: vmapped over a leading axis of seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import EVALUATION_BATCH, Report, TrainingDiverged
from estag_jax.train.settings import make_optimizer
from estag_jax.train.sharding import replicate
from estag_jax.train.step import TrainState, init_state, make_epoch, make_errors


class SeedFit(NamedTuple):
    """What training S seeds leaves.

    Args:
      variables: at the best validation epoch of each seed, leading axis S.
      best_epoch: [S]; 0 for a seed whose validation error was never finite.
      validation_mse: at that epoch [S]; infinite for such a seed.
      epochs: epochs that were run.
      seconds: ``compile``, ``train``, and ``epoch``, the mean time of one epoch of all seeds.
    """

    variables: Any
    best_epoch: np.ndarray
    validation_mse: np.ndarray
    epochs: int
    seconds: dict[str, float]


def fit_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    report: Report = lambda epoch, evaluation: None,
) -> SeedFit:
    """Trains one model from several seeds at once; each as ``loop.fit`` trains it alone.

    Parameters, optimiser and shuffles have a leading axis of seeds, so that one compiled program
    serves all; results are those of separate runs up to rounding. The best variables are kept on the
    device; there are no checkpoints. A seed that diverges does not stop the others.

    Args:
      experiment: data, windows and model; the seed of its config is not looked at.
      seeds: S different seeds.
      report: called after every evaluation with the means over the seeds.

    Returns:
      The best variables of every seed, and times.

    Raises:
      TrainingDiverged: no seed has a finite validation error.
      ValueError: there are no seeds, or one is given twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {list(seeds)}, expected at least one, each once")
    config, mesh, data = experiment.config.train, experiment.mesh, experiment.dataset
    train, validation = experiment.starts("train"), experiment.starts("validation")
    state, keys = seed_states(experiment, seeds)
    # A copy: the state is donated to every epoch, the best is kept.
    best = jax.tree.map(jnp.copy, state.variables)

    began = time.perf_counter()
    number = replicate(jnp.int32(0), mesh)
    run_epoch = (
        jax.jit(seed_epoch(experiment), donate_argnums=0)
        .lower(state, keys, number, train, data)
        .compile()
    )
    errors = seed_errors(experiment).lower(best, validation, data).compile()
    keep = jax.jit(_keep)
    compiled = time.perf_counter()

    count, epoch = len(seeds), 0
    lowest, best_epoch = np.full(count, np.inf), np.zeros(count, int)
    stopped = np.zeros(count, bool)
    while epoch < config.epochs and not stopped.all():
        until = min(epoch + config.evaluate_every, config.epochs)
        while epoch < until:
            state, loss = run_epoch(state, keys, replicate(jnp.int32(epoch), mesh), train, data)
            epoch += 1
        errors_now = np.asarray(errors(state.variables, validation, data), np.float64).mean(axis=1)
        better = ~stopped & (errors_now < lowest)  # false where it is not a number
        lowest, best_epoch = (
            np.where(better, errors_now, lowest),
            np.where(better, epoch, best_epoch),
        )
        best = keep(jnp.asarray(better), state.variables, best)
        if config.patience is not None:
            stopped |= epoch - best_epoch >= config.patience * config.evaluate_every
        report(
            epoch,
            {"train_mse": float(jnp.mean(loss)), "validation_mse": float(np.mean(errors_now))},
        )
    if not np.isfinite(lowest).any():
        raise TrainingDiverged(
            f"training diverged from every seed; lower train.learning-rate (now "
            f"{config.learning_rate:g}) or set train.clip-norm"
        )
    seconds = {"compile": compiled - began, "train": time.perf_counter() - compiled}
    seconds["epoch"] = seconds["train"] / max(epoch, 1)
    return SeedFit(best, best_epoch, lowest, epoch, seconds)


def seed_states(experiment: Experiment, seeds: Sequence[int]) -> tuple[TrainState, jax.Array]:
    """The states before the first step and the keys of the shuffles, of all seeds, leading axis S."""
    optimizer, mesh = make_optimizer(experiment.config.train), experiment.mesh
    variables = _stack([experiment.init_variables(seed) for seed in seeds])
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 1))(jnp.array(seeds))
    state = jax.vmap(lambda v: init_state(v, optimizer))(variables)
    return replicate(state, mesh), replicate(keys, mesh)


def seed_epoch(experiment: Experiment) -> Callable[..., tuple[TrainState, jax.Array]]:
    """``step.make_epoch`` for states and keys of several seeds, to be jitted by the caller."""
    config, window = experiment.config.train, experiment.config.window
    optimizer = make_optimizer(config)
    one = make_epoch(experiment.model, optimizer, window, config.batch, experiment.mesh)
    return jax.vmap(one, in_axes=(0, 0, None, None, None))


def seed_errors(experiment: Experiment) -> Any:
    """Jitted ``errors(variables [S, …], starts [W], data) -> [S, W]``, see ``step.make_errors``."""
    one = make_errors(experiment.model, experiment.config.window, EVALUATION_BATCH, experiment.mesh)
    return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def count_parameters(variables: Any) -> int:
    """Parameters of one seed, running statistics left out."""
    return sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(variables["params"]))


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _keep(better: jax.Array, new: Any, old: Any) -> Any:
    """The new leaves where a seed is better, the old ones elsewhere."""

    def choose(a, b):
        return jnp.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)
