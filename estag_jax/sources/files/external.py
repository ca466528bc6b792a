"""External vectors in files: the names they are read under."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from estag_jax.data.system import DataError

NAMES = ("up", "gravity", "field", "heading")
"""Keys of an archive, or of the comments of frames. Gravity points down and gives ``up``."""

PREFIX = "vectors/"
"""Before a name, in archives: external vectors of any name."""


def keys(there: Collection[str]) -> tuple[str, ...]:
    """Those keys of an archive that hold external vectors."""
    return tuple(key for key in there if key in NAMES or key.startswith(PREFIX))


def of_arrays(path: Any, arrays: Mapping[str, np.ndarray], frames: int) -> dict[str, np.ndarray]:
    """External vectors of an archive by name, [3] or [frames, 3].

    Args:
      path: for messages.
      arrays: of the archive, [3], [frames, 3] or, with runs as the first axis, [runs, frames, 3].
      frames: of all runs together.

    Raises:
      DataError: a key holds something else.
    """
    found = {}
    for key in keys(arrays):
        vector = arrays[key]
        flat = vector.reshape(-1, 3) if vector.ndim == 3 and vector.shape[2] == 3 else vector
        if vector.dtype.kind not in "fiu" or flat.shape not in ((3,), (frames, 3)):
            raise DataError(
                f"{path}: {key} is {vector.dtype}{list(vector.shape)}, expected an external vector [3] or "
                f"[{frames}, 3]; rename the key if it is something else"
            )
        found[key.removeprefix(PREFIX)] = flat.astype(np.float64)
    return _with_up(found)


def of_comments(about: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """External vectors that the comments of all frames give as three numbers, [3] where they are equal."""
    found = {}
    for name in NAMES:
        try:
            vectors = np.array([info[name] for info in about], np.float64)
        except (KeyError, TypeError, ValueError):
            continue
        if vectors.shape == (len(about), 3):
            found[name] = vectors[0] if (vectors == vectors[0]).all() else vectors
    return _with_up(found)


def _with_up(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``up`` in place of gravity."""
    if "gravity" in found:
        down = found.pop("gravity")
        found.setdefault("up", -down)
    return found
