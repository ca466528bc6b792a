"""What a report of a run looks at: its settings, log and result, and its forecaster on the test windows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import error_bars_of
from estag_jax.evaluation.long_rollouts import long_rollouts
from estag_jax.evaluation.result import Result
from estag_jax.evaluation.survey import Survey, followed, survey
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.memory import edge_numbers
from estag_jax.runs import folder
from estag_jax.runs.readers import check_same_system, fitted_label, load, load_task
from estag_jax.runs.settings import RunConfig

WORST, AFTER, PATH = 3, 20, 100
"""Windows that are shown, frames that are forecast after each, and frames of the one long rollout."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A stretch to show: the last frame of a window and what followed it.

    Args:
      which: number of the trajectory in the task.
      start: first frame of the window.
      error: mean squared error of the window's forecast.
      truth, forecast: [F, N, C, 3].
    """

    which: int
    start: int
    error: float
    truth: np.ndarray
    forecast: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """All that a report of a run shows.

    Args:
      run: the folder.
      config: the settings.
      label: name of the method.
      log: the evaluations during training.
      result: None where the run is not finished.
      without: why there is nothing of what follows; "" where there is.
      task, forecaster: the data and what was fitted.
      survey: of the test windows.
      worst: stretches after the worst windows.
      path: one longer stretch, after the first test window; None with a horizon of more than one step.
      rollouts: see evaluation.long_rollouts.
    """

    run: Path
    config: RunConfig
    label: str
    log: list[dict[str, Any]]
    result: Result | None
    without: str = ""
    task: Task | None = None
    forecaster: Forecaster | None = None
    survey: Survey | None = None
    worst: tuple[Shown, ...] = ()
    path: Shown | None = None
    rollouts: tuple[dict[str, Any], ...] = ()


def findings(
    run: str | os.PathLike, data: Sequence[str] | None = None, steps: Sequence[int] = (100, 1000)
) -> Findings:
    """Looks at a run. Writes nothing; what needs the data is left out where they are not there.

    Args:
      run: the run's folder.
      data: where the run's data are now, where they are not found.
      steps: lengths of the rollouts whose structure is compared with the trajectory's.

    Raises:
      RunError: no run, no forecaster yet, or data of another system. FileError: a damaged forecaster.
    """
    run = Path(run)
    config, _ = folder.read_run(run)
    forecaster = load(run)
    found = Findings(
        run,
        config,
        fitted_label(config, forecaster),
        folder.read_metrics(run),
        folder.read_result(run),
    )
    try:
        _, task = load_task(run, data)
    except ValueError as error:
        if data:
            raise
        return dataclasses.replace(found, without=str(error))
    check_same_system(forecaster, task, run)
    predictor, numbers = forecaster.predictor, edge_numbers(forecaster.method)
    looked = survey(predictor, error_bars_of(forecaster, task), task, numbers)

    def shown(i: int, count: int) -> Shown:
        which, start = int(looked.which[i]), int(looked.starts[i])
        frames = followed(predictor, task, which, start, count)
        return Shown(which, start, float(looked.errors[i]), *frames)

    return dataclasses.replace(
        found,
        task=task,
        forecaster=forecaster,
        survey=looked,
        worst=tuple(shown(i, AFTER) for i in looked.worst(WORST)),
        path=shown(0, PATH) if task.window.horizons[0] == 1 else None,
        rollouts=tuple(long_rollouts(predictor, task, steps)),
    )
