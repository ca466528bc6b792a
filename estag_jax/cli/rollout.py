"""``estag rollout``: forecasts many frames and writes them as extended XYZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from estag_jax.cli.main import Failure, UsageError
from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.evaluation.rollout import roll
from estag_jax.runs import readers as runs
from estag_jax.sources.files.export import write_extxyz


def rollout(
    run: tyro.conf.Positional[Path],
    data: tuple[str, ...] = (),
    start: int | None = None,
    steps: int = 100,
    out: Path = Path("rollout.xyz"),
) -> None:
    """Forecast many frames from one window and write them as extended XYZ (ASE, OVITO).

    Args:
      run: Folder of the run.
      data: Other data in place of the run's own; of the same system, unless the model is meant for
        others (path-ridge).
      start: First frame of the history in the trajectory; default: that of the first test window.
      steps: Frames to predict.
      out: File to write.
    """
    if steps < 1:
        raise UsageError(f"--steps is {steps}, it must be at least 1")
    if start is not None and start < 0:
        raise UsageError(f"--start is {start}, it must be at least 0")
    if out.is_dir():
        raise UsageError(f"--out is {out}, a folder; name a file, for example {out}/rollout.xyz")
    forecaster = runs.load(run)
    if forecaster.horizon != 1:
        raise UsageError(
            f"{run}: looks {forecaster.horizon} steps ahead and cannot be fed with its own "
            f"forecasts; train with --window.horizons 1"
        )
    _, task = runs.load_task(run, data)
    runs.check_same_system(forecaster, task, run)
    trajectory = task.trajectories[0]
    forecaster = forecaster.of_system(trajectory)
    for note in forecaster.predictor.notes(trajectory.system):
        print(f"note: {trajectory.source}: {note}")
    if start is None:
        start = int(task.splits[0].test[0])
    history = np.asarray(forecaster.history(trajectory.positions, start))
    frames = roll(forecaster.predictor, history[None], forecaster.inputs, steps)[:, 0]
    finite = np.isfinite(frames).all(axis=(1, 2, 3))
    if not finite.all():
        step = int(np.argmin(finite)) + 1
        raise Failure(f"{run}: the forecast is not finite from step {step}; lower --steps")
    write_extxyz(out, frames, forecaster.system, forecaster.time_step, forecaster.time_unit)

    delta = forecaster.window.delta
    first = start + forecaster.past * delta
    truth = trajectory.positions[first::delta][:steps]
    print(
        f"{out}: {steps} frames, {forecaster.time_step:g} {forecaster.time_unit} apart, "
        f"after frame {first - delta} of {trajectory.source}"
    )
    if len(truth):
        errors = per_window_mse(frames[: len(truth)], np.asarray(truth))
        marks = sorted({1, 10, 100, len(errors)} & set(range(1, len(errors) + 1)))
        listed = ", ".join(f"{errors[i - 1]:.3e} at step {i}" for i in marks)
        unit = trajectory.system.length_unit
        print(f"mean squared error against the trajectory [{unit}²]: {listed}")
