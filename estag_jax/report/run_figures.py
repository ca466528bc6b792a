"""The three figures of a finished run."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from estag_jax.data.windows import gather
from estag_jax.models.registry import model_name
from estag_jax.report.charts import loss_curve, rollout_error
from estag_jax.report.overlay import overlay
from estag_jax.runs import folder as runfiles
from estag_jax.runs.run import Finished
from estag_jax.training.step import predict_windows

REFERENCES = ("Last frame", "AR-LS", "VAR ridge")


def draw(out: Path, finished: Finished) -> list[Path]:
    """Draws loss curve, 3-D overlay of one test window, and rollout error by horizon.

    Args:
      out: the run's folder; the figures go to its figures/.
      finished: what training returned.

    Returns:
      The files written.
    """
    experiment, variables, result = finished
    trajectory, folder = experiment.trajectory, out / runfiles.FIGURES
    folder.mkdir(exist_ok=True)
    unit, rows = trajectory.length_unit, {r["name"]: r for r in result["rows"]}
    name = model_name(experiment.config.model)

    files = [
        loss_curve(
            runfiles.read_metrics(out / runfiles.METRICS),
            {r: rows[r]["validation_mse"] for r in REFERENCES if r in rows},
            unit,
            folder / "loss.png",
        )
    ]
    history, target = gather(
        trajectory.positions, experiment.split.test[:1], experiment.config.window
    )
    predicted = jax.jit(lambda v, h: predict_windows(experiment.model, v, experiment.dataset, h))(
        variables, history
    )
    topology = trajectory.topology
    pairs = np.stack([topology.senders, topology.receivers], axis=1)
    if topology.edge_width:  # the first feature is the number of bonds between the two ends
        pairs = pairs[topology.edge_features[:, 0] == 1]
    files.append(
        overlay(
            target[0],
            np.asarray(predicted[0]),
            history[0, :, -1],
            pairs,
            trajectory.names,
            folder / "overlay.png",
            title=f"{name}, test window {experiment.split.test[0]}",
            unit=unit,
        )
    )
    rollouts = result["rollout"]
    curves = {
        label: np.array([np.nan if e is None else e for e in figures["median"]])
        for label, figures in rollouts["predictors"].items()
    }
    if curves:
        lost = rollouts["predictors"][name]["lost"][-1]
        step = experiment.config.window.delta * trajectory.frame_step
        files.append(
            rollout_error(
                np.arange(1, rollouts["steps"] + 1),
                curves,
                unit,
                folder / "rollout.png",
                step=step,
                time_unit=trajectory.time_unit,
                emphasise=name,
                subtitle=f"Median of {rollouts['windows']} starts, each predictor fed with its own "
                f"forecasts; {lost:.0%} of {name}'s ran away",
            )
        )
    return files
