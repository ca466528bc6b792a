"""The time between frames: what the file says, and what the user says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.sources.options import TIME_UNITS, parse_step

Step = tuple[float, str]
"""A time between frames and its unit."""


def chosen_step(
    name: str, stated: Step | None, given: float | str | None, bare_unit: str
) -> tuple[Step, tuple[str, ...]]:
    """The time between frames: the user's, else the file's, else it is not known.

    Args:
      name: of the file, for the note.
      stated: what the file says, or None.
      given: the option frame_step, or None.
      bare_unit: of a number without a unit, where the file has none or counts frames.

    Returns:
      The step, and a note where the file says nothing or something else (by more than 1 %).
    """
    nothing = f"{name} does not give the time between frames"
    if given is None:
        return (stated, ()) if stated else ((1.0, "frame"), (nothing,))
    value, unit = parse_step(given)
    known = stated is not None and stated[1] != "frame"
    step = value, unit or (stated[1] if known else bare_unit)
    if stated is None:
        return step, (f"the time step is {value:g} {step[1]} as the user says; {nothing}",)
    here, there = (TIME_UNITS.get(unit) or unit for _, unit in (step, stated))
    numbers = not isinstance(here, str) and not isinstance(there, str)
    ratio = value * here / (stated[0] * there) if numbers else value / stated[0]
    if abs(ratio - 1) <= 0.01 and (numbers or here == there):
        return step, ()
    says = f"{stated[0]:g} {stated[1]}"
    return step, (f"the time step is {value:g} {step[1]} as the user says, the file has {says}",)


def time_step(
    path: Path, reader: Any, times: np.ndarray, given: bool
) -> tuple[float | None, tuple[str, ...]]:
    """Time between the frames of one run that MDAnalysis reads.

    Args:
      path: of the run, for messages.
      reader: MDAnalysis' reader of it.
      times: of its frames [frames], ps.
      given: the user says the step, so that one that makes no sense here does not matter.

    Returns:
      Picoseconds, or None where the format has no time; and a note if the frames are not evenly spaced.

    Raises:
      DataError: the step is not positive, and the user gives none.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step = float(reader[0].dt)
    if any("no dt information" in str(warning.message) for warning in caught):
        return None, ()
    return checked_step(path, step, "ps", times, given)


def checked_step(
    path: Path, step: float, unit: str, times: np.ndarray, given: bool
) -> tuple[float | None, tuple[str, ...]]:
    """A step that a file states, or None where it makes no sense; and a note if times are uneven.

    Args:
      path: of the run, for messages.
      step: as stated.
      unit: its unit, and that of the times.
      times: of the frames [frames].
      given: the user says the step, so that the file's does not matter.

    Raises:
      DataError: the step is not positive, and the user gives none.
    """
    if not 0 < step < np.inf:
        if given or len(times) < 2:
            return None, ()
        raise DataError(
            f"{path}: the time between frames is {step:g} {unit}, it must be positive; correct the "
            f"file, or give the true one (--read.frame-step)"
        )
    steps = np.diff(times)
    # Times are in single precision, steps are differences of large ones.
    slack = 1e-3 * step + 4 * np.finfo(np.float32).eps * np.abs(times).max(initial=0)
    uneven = np.flatnonzero(~(np.abs(steps - step) <= slack))
    if given or not uneven.size:
        return step, ()
    k = uneven[0]
    note = (
        f"the frames of {path.name} are not evenly spaced in time: {steps[k]:g} {unit} from frame {k} "
        f"to {k + 1}, {step:g} {unit} at first"
    )
    return step, (note,)


def common_step(
    paths: list[Path], steps: list[float | None], given: float | str | None
) -> tuple[Step, tuple[str, ...]]:
    """The time step of all runs, by ``chosen_step``.

    Args:
      paths: of the runs.
      steps: theirs in ps, None where it is not known.
      given: the option frame_step, or None.

    Returns:
      The step, "frame" where a run does not give its time, and a note where it is not the files'.

    Raises:
      DataError: the runs have different steps and the user gives none.
    """
    known = [(path, step) for path, step in zip(paths, steps, strict=True) if step is not None]
    if len(known) < len(steps):
        missing = [path.name for path, step in zip(paths, steps, strict=True) if step is None]
        return chosen_step(", ".join(missing), None, given, "ps")
    first, step = known[0]
    for path, other in known[1:]:
        if given is None and abs(other - step) > 1e-3 * step:
            raise DataError(
                f"{path}: has {other:g} ps between frames, {first} has {step:g} ps; give the true one "
                f"(--read.frame-step), or read them one by one"
            )
    # Formats keep it in single precision.
    return chosen_step(first.name, (float(f"{step:.6g}"), "ps"), given, "ps")
