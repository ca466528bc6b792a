"""The time between frames of trajectories that MDAnalysis reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.trajectory import DataError


def time_step(path: Path, reader: Any, times: np.ndarray) -> tuple[float | None, tuple[str, ...]]:
    """Time between the frames of one run.

    Args:
      path: of the run, for messages.
      reader: MDAnalysis' reader of it.
      times: of its frames [frames], ps.

    Returns:
      Picoseconds, or None where the format has no time; and a note if the frames are not evenly spaced.

    Raises:
      DataError: the step is not positive.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step = float(reader[0].dt)
    if any("no dt information" in str(warning.message) for warning in caught):
        return None, ()
    if len(times) < 2:
        return (step if 0 < step < np.inf else None), ()
    if not 0 < step < np.inf:
        raise DataError(
            f"{path}: the time between frames is {step:g} ps, it must be positive; correct the file"
        )
    steps = np.diff(times)
    # Times are in single precision, steps are differences of large ones.
    slack = 1e-3 * step + 4 * np.finfo(np.float32).eps * np.abs(times).max()
    uneven = np.flatnonzero(~(np.abs(steps - step) <= slack))
    if not uneven.size:
        return step, ()
    k = uneven[0]
    note = (
        f"the frames of {path.name} are not evenly spaced in time: {steps[k]:g} ps from frame {k} to "
        f"{k + 1}, {step:g} ps at first"
    )
    return step, (note,)


def common_step(
    paths: list[Path], steps: list[float | None], given: float | None
) -> tuple[float, str, tuple[str, ...]]:
    """The time step of all runs.

    Args:
      paths: of the runs.
      steps: theirs in ps, None where it is not known.
      given: the user's, which goes first, or None.

    Returns:
      The step, its unit ("frame" where a run does not give its time), and a note where it is not the
      files'.

    Raises:
      DataError: the runs have different steps and the user gives none.
    """
    known = [(path, step) for path, step in zip(paths, steps, strict=True) if step is not None]
    if len(known) < len(steps):
        missing = [path.name for path, step in zip(paths, steps, strict=True) if step is None]
        note = f"{', '.join(missing)} does not give the time between frames"
        return 1.0 if given is None else given, "frame", (note,)
    first, step = known[0]
    if given is not None:
        note = f"the time step is {given:g} ps as the user says, the file has {step:g} ps"
        return given, "ps", (note,)
    for path, other in known[1:]:
        if abs(other - step) > 1e-3 * step:
            raise DataError(
                f"{path}: has {other:g} ps between frames, {first} has {step:g} ps; give the true one "
                f"(--read.frame-step), or read them one by one"
            )
    return float(f"{step:.6g}"), "ps", ()  # formats keep it in single precision
