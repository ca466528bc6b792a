"""Periodic boxes of archives."""

from __future__ import annotations

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import LENGTHS
from estag_jax.sources.files import boxes
from estag_jax.sources.files.run_keys import show


def without_jumps(
    trajectory: Trajectory, cell: np.ndarray, keep: np.ndarray, unwrap: bool
) -> Trajectory:
    """The same with each run unwrapped, and a note.

    Args:
      trajectory: without a graph, its positions as the file has them.
      cell: edges [3], one of a cube [], or cell vectors as rows [3, 3], of all frames or of each [frames, …],
        in the trajectory's unit of length.
      keep: the frames of the file that are in the trajectory [frames].
      unwrap: False leaves jumps where they are.

    Raises:
      DataError: the cell is none, or no three vectors that span a box.
    """
    path, system = trajectory.source, trajectory.system
    scale = LENGTHS.get(system.length_unit, 1.0)
    cell = np.full(3, cell) if cell.shape == () else cell  # one edge of a cube
    shape = cell.shape if cell.ndim == 1 or cell.shape == (3, 3) else cell.shape[1:]
    if (
        cell.dtype.kind not in "fiu"
        or shape not in ((3,), (3, 3))
        or (shape != cell.shape and len(cell) != len(keep))
    ):
        raise DataError(
            f"{path}: cell is {show(cell)}, expected edges [3] or vectors [3, 3], or these of each of "
            f"{len(keep)} frames"
        )
    vectors = scale * (cell[..., None] * np.eye(3) if shape == (3,) else cell)
    vectors = np.broadcast_to(vectors, (len(keep), 3, 3))[keep]
    edges = np.linalg.norm(vectors, axis=2).min(axis=0)
    if not boxes.is_box(edges) or not boxes.spans(vectors).all():
        return trajectory.noted(boxes.placeholder_note(edges))
    bonds, notes = None, ()
    positions = trajectory.positions
    if unwrap:
        points = positions.reshape(len(positions), -1, 3)
        numbers = system.atomic_numbers if system.channels == 1 else None
        found = np.empty_like(points)
        for run in trajectory.runs:
            those = points[run] if scale == 1 else points[run] * scale
            frames, bonds, notes = boxes.without_jumps(those, vectors[run], numbers)
            for k, frame in enumerate(frames, run.start):
                found[k] = frame / scale
        positions = found.reshape(positions.shape)
    notes = (*trajectory.notes, *notes, boxes.box_note(bonds is not None, unwrap))
    return trajectory.changed(positions=positions, notes=notes)
