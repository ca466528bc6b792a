"""Keys of an archive that tell which of its frames are of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from estag_jax.data.system import DataError

RUNS = re.compile(
    r"(run|traj|trajectory|episode|sim|simulation|sequence|clip|trial)s?"
    r"(_?(ids?|idx|index|indices|numbers?|ends|starts|lengths?))?|n(um)?_?frames|frames_per_run",
    re.IGNORECASE,
)
"""Keys that tell runs, besides ``lengths``."""


def tells(value: np.ndarray) -> bool:
    """Whether the value of such a key can tell runs; the number of one run, or its name, does not."""
    return value.ndim == 1 and value.size > 1


def lengths(path: Path, arrays: Mapping[str, np.ndarray], frames: int) -> tuple[int, ...]:
    """The frames of each run; one run where no key says otherwise.

    The key ``lengths`` has the frames of each run. One of ``RUNS`` has these, or the run of each frame, or
    the frame where each begins, or the one behind its last.

    Raises:
      DataError: the values are none of these, or the frames of a run are not in a row.
    """
    if "lengths" in arrays:
        value = arrays["lengths"]
        if value.dtype.kind not in "iu" or value.ndim != 1 or np.any(value < 1):
            raise DataError(
                f"{path}: lengths are {show(value)}, expected one positive integer for each run"
            )
        return tuple(map(int, value))
    key = next((key for key in arrays if RUNS.fullmatch(key)), None)
    if key is None:
        return (frames,)
    value = arrays[key]
    if len(value) == frames:
        changes = 1 + np.flatnonzero(value[1:] != value[:-1])
        if len(changes) >= len(np.unique(value)):
            raise DataError(
                f"{path}: {key} has the frames of one run in several places; put them in a row, in time"
            )
        ends = np.append(changes, frames)
    else:
        ends = _ends(value, frames) if value.dtype.kind in "iu" else None
    if ends is None:
        raise DataError(
            f"{path}: {key} is {show(value)}, expected the run of each of {frames} frames or the frames of "
            f"each run; rename the key if it is something else"
        )
    return tuple(np.diff(ends, prepend=0).tolist())


def show(array: np.ndarray) -> str:
    """Type, shape and the first values on one line."""
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:4].tolist()}"


def _ends(value: np.ndarray, frames: int) -> np.ndarray | None:
    """The ends of runs, where the values are lengths, starts or ends of runs that make up all frames."""
    value = value.astype(np.int64)
    if value[0] == 0:
        ends = value[1:] if value[-1] == frames else np.append(value[1:], frames)
    else:
        ends = np.cumsum(value) if value.sum() == frames else value
    return ends if ends[-1] == frames and (np.diff(ends, prepend=0) > 0).all() else None
