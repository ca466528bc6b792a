"""The figures of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from estag_jax.evaluation.result import Result
from estag_jax.models.forecaster import Forecaster
from estag_jax.report.charts import loss_curve, rollout_error
from estag_jax.report.overlay import overlay, sticks
from estag_jax.report.style import FORECASTS
from estag_jax.runs import folder
from estag_jax.runs.run import Finished

REFERENCES = ("Last frame", "AR-LS", "VAR ridge")


def draw(out: Path, finished: Finished) -> list[Path]:
    """Draws the loss curve of a network, a 3-D overlay of one test window, and rollout errors by horizon.

    The further methods that the run's settings name are in all of them, up to three.

    Args:
      out: the run's folder; the figures go to its figures/.
      finished: what training returned.

    Returns:
      The files written.
    """
    task, forecaster, result = finished.task, finished.forecaster, finished.result
    beside = dict(list(finished.beside.items())[: len(FORECASTS) - 1])
    figures, system = out / folder.FIGURES, task.systems[0]
    figures.mkdir(exist_ok=True)
    unit, name = system.length_unit, result.rows[-1].name
    files = []
    if evaluations := folder.read_metrics(out):
        files.append(draw_loss(evaluations, result, unit, figures / "loss.png", [*beside]))
    windows = next(task.windows("test", 1))
    history, vectors = windows.history[0], windows.vectors
    bars = forecaster.error_bars and forecaster.distribution(history, vectors=vectors)
    files.append(
        overlay(
            windows.target[0, 0],
            np.asarray(forecaster.predict(history, vectors)),
            history[:, -1],
            sticks(system),
            system.names,
            figures / "overlay.png",
            title=f"{' and '.join([name, *beside])}, test window {windows.starts[0]}",
            unit=unit,
            name=name if beside else "prediction",
            others={
                label: np.asarray(other.predict(history, vectors))
                for label, other in beside.items()
            },
            regions=bars and bars.radius**2 * bars.covariance,
        )
    )
    if result.rollout:
        files.append(draw_rollout(result, forecaster, [*beside], figures / "rollout.png"))
    return files


def draw_loss(
    evaluations: Sequence[dict],
    result: Result | None,
    unit: str,
    path: Path,
    beside: Sequence[str] = (),
) -> Path:
    """The error during training beside the validation errors of closed forms."""
    level = (*REFERENCES, *beside)
    rows = [] if result is None else result.rows
    levels = {r.name: r.validation_mse[0] for r in rows if r.name in level and r.validation_mse}
    return loss_curve(evaluations, levels, unit, path)


def draw_rollout(result: Result, forecaster: Forecaster, beside: Sequence[str], path: Path) -> Path:
    """The errors of rollouts by horizon; those of a run's own method, the last row, stand out."""
    rollout, name = result.rollout, result.rows[-1].name
    curves = {
        label: np.array([np.nan if e is None else e for e in found["median"]])
        for label, found in rollout["predictors"].items()
    }
    diverged = rollout["predictors"][name]["diverged"][-1]
    expected = rollout["predictors"][name].get("expected")
    return rollout_error(
        np.arange(1, rollout["steps"] + 1),
        curves,
        forecaster.system.length_unit,
        path,
        step=forecaster.time_step,
        time_unit=forecaster.time_unit,
        emphasise=(name, *beside),
        band=expected and (expected["low"], expected["high"]),
        subtitle=f"Median of {rollout['windows']} starts, each predictor fed with its own "
        f"forecasts; of {name} {diverged:.0%} diverged"
        + "\nBand: nine in ten of the errors that its error bars expect"
        * bool(expected),
    )
