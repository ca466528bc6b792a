"""The figures of a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from estag_jax.data.system import System
from estag_jax.report.charts import loss_curve, rollout_error
from estag_jax.report.overlay import overlay
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
        level = (*REFERENCES, *beside)
        rows = [row for row in result.rows if row.name in level and row.validation_mse]
        levels = {row.name: row.validation_mse[0] for row in rows}
        files.append(loss_curve(evaluations, levels, unit, figures / "loss.png"))
    windows = next(task.windows("test", 1))
    bars = forecaster.error_bars and forecaster.distribution(windows.history[0])
    files.append(
        overlay(
            windows.target[0, 0],
            np.asarray(forecaster.predict(windows.history[0])),
            windows.history[0, :, -1],
            sticks(system),
            system.names,
            figures / "overlay.png",
            title=f"{' and '.join([name, *beside])}, test window {windows.starts[0]}",
            unit=unit,
            name=name if beside else "prediction",
            others={
                label: np.asarray(other.predict(windows.history[0]))
                for label, other in beside.items()
            },
            regions=bars and bars.radius**2 * bars.covariance,
        )
    )
    rollout = result.rollout
    if rollout:
        curves = {
            label: np.array([np.nan if e is None else e for e in found["median"]])
            for label, found in rollout["predictors"].items()
        }
        diverged = rollout["predictors"][name]["diverged"][-1]
        expected = rollout["predictors"][name].get("expected")
        files.append(
            rollout_error(
                np.arange(1, rollout["steps"] + 1),
                curves,
                unit,
                figures / "rollout.png",
                step=forecaster.time_step,
                time_unit=forecaster.time_unit,
                emphasise=(name, *beside),
                band=expected and (expected["low"], expected["high"]),
                subtitle=f"Median of {rollout['windows']} starts, each predictor fed with its own "
                f"forecasts; of {name} {diverged:.0%} diverged"
                + "\nBand: nine in ten of the errors that its error bars expect"
                * bool(expected),
            )
        )
    return files


def sticks(system: System) -> np.ndarray:
    """Pairs of nodes that a picture joins [P, 2]: the bonds, or where none are known the edges."""
    if system.bonds is not None and len(system.bonds):
        return np.asarray(system.bonds)
    pairs = np.stack([system.graph.senders[0], system.graph.receivers[0]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)
