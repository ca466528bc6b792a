"""The time between frames: what the file says, and what the user says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.system import DataError
from estag_jax.sources.options import parse_step

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


class Clock(NamedTuple):
    """What the times of one run's frames say.

    Args:
      step: the time between frames, or None where it is not known.
      keep: [frames] bool, False where a frame has the time of the one before.
      lengths: frames of each stretch without a gap; they add up to the frames that are kept.
      notes: on what was left out, and where stretches end.
    """

    step: float | None
    keep: np.ndarray
    lengths: tuple[int, ...]
    notes: tuple[str, ...] = ()


def has_time(reader: Any) -> bool:
    """Whether a format that MDAnalysis reads has the time: it warns where it makes one up."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ = reader[0].dt
    return not any("no dt information" in str(warning.message) for warning in caught)


def unknown(frames: int) -> Clock:
    """The clock of a run that does not say its time."""
    return Clock(None, np.ones(frames, bool), (frames,))


def clock(path: Path, times: Any, unit: str, given: bool, stated: float | None = None) -> Clock:
    """Reads the times of one run: a run ends at a gap, and a frame that is there twice counts once.

    The step is the mean of those steps that agree with the median.

    Args:
      path: of the run, for messages.
      times: of its frames [frames].
      unit: of the times.
      given: the user says the step, so that times that make no sense do not matter.
      stated: the step where the file says it more exactly than a difference of times does.

    Raises:
      DataError: the times do not increase or are uneven throughout, and the user gives no step.
    """
    times = np.asarray(times, np.float64)
    steps, frames = np.diff(times), len(times)
    if frames < 2:
        return unknown(frames)._replace(step=stated if stated and 0 < stated < np.inf else None)
    median = float(np.median(steps))
    if not 0 < median < np.inf:
        if given:
            return unknown(frames)
        what = f"{path}: the time between frames is {median:g} {unit}, it must be positive"
        raise DataError(f"{what}; correct the file, or give the true one (--read.frame-step)")
    # Times are in single precision, steps are differences of large ones.
    slack = 1e-3 * median + 4 * np.finfo(np.float32).eps * np.abs(times).max()
    even = np.abs(steps - median) <= slack
    step = stated or float(steps[even].mean() if even.any() else median)
    twice = np.abs(steps) <= slack
    gaps = np.flatnonzero(~even & ~twice)
    shown = [
        f"from frame {k} to {k + 1} ({times[k]:g} to {times[k + 1]:g} {unit}"
        f"{', back: what was written again at a restart is there twice' * bool(steps[k] < 0)})"
        for k in gaps[np.argsort(steps[gaps] > 0, kind="stable")][:1]
    ]
    if len(gaps) > max(1, frames // 4):
        uneven = (
            f"the frames of {path.name} are not evenly spaced in time: {steps[gaps[0]]:g} {unit}"
        )
        uneven += f" from frame {gaps[0]} to {gaps[0] + 1}, {median:g} {unit} in the median"
        if given:
            return unknown(frames)._replace(notes=(f"{uneven}; counted as even",))
        raise DataError(
            f"{path}: {uneven}; write frames at even times, or count them as even (--read.frame-step)"
        )
    notes = []
    if twice.any():
        k = int(np.flatnonzero(twice)[0])
        notes.append(
            f"{np.count_nonzero(twice)} frame(s) of {path.name} have the same time as the frame before "
            f"and were left out, the first is frame {k + 1}: written twice at a restart"
        )
    if len(gaps):
        notes.append(
            f"{len(gaps)} gap(s) in the time of {path.name}, the first {shown[0]}: a run ends there"
        )
    keep = np.concatenate([[True], ~twice])
    # Stretches of kept frames: a new one begins behind each gap.
    stretch = np.concatenate([[0], np.cumsum(~even & ~twice)])[keep]
    return Clock(step, keep, tuple(np.bincount(stretch).tolist()), tuple(notes))


def names_of_stretches(name: str, lengths: tuple[int, ...]) -> tuple[str, ...]:
    """A name for each stretch of a run: NAME, NAME-2, …"""
    return (name, *(f"{name}-{k}" for k in range(2, len(lengths) + 1)))


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
