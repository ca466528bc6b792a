"""Callbacks of the training loop, and two of them."""

from __future__ import annotations

import dataclasses
import heapq
import math
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from estag_jax.training.losses import Batch

if TYPE_CHECKING:
    from estag_jax.training.loop import Loop


class TrainingDiverged(RuntimeError):
    """The loss is not finite; the message is one line for the user."""


class Callback:
    """Called by the training loop; override what is needed.

    A callback may read all of the loop, restore an earlier state at the beginning
    (``loop.restore``), and end training by setting ``loop.stop`` to a reason.
    """

    def begin(self, loop: Loop) -> None:
        """Before the first epoch, with the initial state."""

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        """After every evaluation, ``loop.best`` being up to date.

        Args:
          loop: the state.
          evaluation: ``epoch``, ``train_loss`` and ``validation_mse`` (means over the seeds), ``seconds``.
        """

    def interrupted(self, loop: Loop) -> None:
        """When a signal ends training (training.interrupts), between two epochs; before ``end``."""

    def end(self, loop: Loop) -> None:
        """After the last epoch, also when training ends by an error."""


@dataclasses.dataclass
class EarlyStopping(Callback):
    """Ends training when no seed has got better for so many evaluations.

    Args:
      patience: evaluations.
    """

    patience: int

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        waited = loop.epoch - loop.best_epoch
        loop.frozen |= waited >= self.patience * loop.config.evaluate_every
        if loop.frozen.all():
            loop.stop = f"no better for {self.patience} evaluations"


class StopOnDivergence(Callback):
    """Ends training when no seed has a finite loss any more.

    Raises:
      TrainingDiverged: no seed has ever had a finite validation error, or there is one seed only.
    """

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        if np.isfinite(loop.latest_error).any():
            return
        if len(loop.seeds) > 1 and np.isfinite(loop.best_error).any():
            loop.stop = "every seed diverged"
            return
        kept = int(loop.best_epoch[0])
        raise TrainingDiverged(
            f"training diverged by epoch {loop.epoch} (training loss {_number(evaluation['train_loss'])}, "
            f"validation {_number(evaluation['validation_mse'])}); "
            + (
                f"the best epoch was {kept}"
                if math.isfinite(loop.best_error[0])
                else "no epoch was good"
            )
            + f"; {suspects(loop)}; lower train.learning-rate (now {loop.config.learning_rate:g}), or set "
            "train.clip-norm or train.skip-nonfinite"
        )


def suspects(loop: Loop, count: int = 3) -> str:
    """The training windows whose loss is largest, or not finite, at the best epoch of the first seed."""
    task, predictor = loop.task, loop.predictor(jax.tree.map(itemgetter(0), loop.best))
    found: list[tuple[float, str]] = []
    for windows in task.windows("train", min(loop.config.batch, task.count("train"))):
        system = task.systems[windows.which]
        inputs = predictor.with_vectors(predictor.inputs(system), windows.vectors)
        frames = windows.history, windows.target
        losses = _losses(loop.loss, task.window.horizons, predictor, inputs, system.graph, *frames)
        source = task.trajectories[windows.which].source
        for start, loss in zip(windows.starts, np.asarray(losses, float), strict=True):
            size = loss if math.isfinite(loss) else math.inf
            found.append((size, f"frame {start} of {source} ({_number(loss)})"))
    worst = heapq.nlargest(count, found, key=itemgetter(0))
    return (
        f"the largest losses have the training windows from {', '.join(name for _, name in worst)}"
    )


@partial(jax.jit, static_argnums=(0, 1))
def _losses(loss, horizons, predictor, inputs, graph, history, target):
    predict = partial(predictor.predict, inputs=inputs)
    return loss(predict, Batch(history, target, graph, horizons))


def _number(value: float | None) -> str:
    return f"{value:g}" if value is not None and math.isfinite(value) else "not finite"
