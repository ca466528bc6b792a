"""What is checked of every trajectory, whatever its source. Nothing is repaired."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory


def check(trajectory: Trajectory) -> None:
    """Refuses coordinates that are not finite, and two points in the same place.

    Args:
      trajectory: as a source returned it, with or without its graph.

    Raises:
      DataError: names the source, the frame and the node.
    """
    _check_finite(trajectory)
    # In the first frame of every run no two points may coincide: they are one atom given twice.
    known = trajectory.known
    for run in trajectory.runs:
        for k in run.start + np.flatnonzero(known[run])[:1]:
            _check_apart(trajectory, k)


def _check_finite(trajectory: Trajectory) -> None:
    # The sum first: it is not finite if any coordinate is not, and needs no array of its own.
    if trajectory.missing is None and np.isfinite(trajectory.positions.sum(dtype=np.float64)):
        return
    finite = np.isfinite(trajectory.positions)
    finite[~trajectory.known] = True
    if finite.all():
        return
    frame, node = np.argwhere(~finite)[0, :2]
    raise DataError(
        f"{trajectory.source}: {np.count_nonzero(~finite)} coordinate(s) are not finite, the first in "
        f"frame {frame}, {trajectory.system.node_name(node)}, both counted from 0; cut such frames out and "
        f"give the runs between them as lengths"
    )


def _check_apart(trajectory: Trajectory, k: int) -> None:
    frame = trajectory.positions[k]
    points = frame.reshape(-1, 3)
    pairs = KDTree(points).query_pairs(1e-6 * max(np.ptp(points), 1e-30), output_type="ndarray")
    if len(pairs):
        one, other = (trajectory.system.node_name(i // frame.shape[1]) for i in pairs[0])
        raise DataError(
            f"{trajectory.source}: {one} and {other} are in the same place in frame {k}; "
            f"leave duplicate atoms out (--read.select), or correct the file"
        )
