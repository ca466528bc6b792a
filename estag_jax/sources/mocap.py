"""Motion capture files of Acclaim: the skeleton (.asf), its motion (.amc), and forward kinematics.

Positions are in the file's own axes and unit, that of the bone lengths and of the root's translation
alike; the length in ``:units`` (0.45 at CMU: an inch is 0.45 units) is read and not applied. This
is what public readers of CMU's files do, so that figures compare.
"""

from __future__ import annotations

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.sources.files.acclaim import Motion, Skeleton, read_amc, read_asf, turn

__all__ = ["Motion", "Skeleton", "positions", "read_amc", "read_asf"]


def positions(skeleton: Skeleton, motion: Motion) -> np.ndarray:
    """Where the joints are in all frames, by forward kinematics.

    R_j = R_parent C_j M_j C_jᵀ, x_j = x_parent + (length_j + l_j) R_j direction_j, with C from the axes of
    the joint and M from its angles, which turn about the fixed axes in the joint's order (for XYZ,
    M = R_z R_y R_x); values that are no dof of the joint are zero. The root is where its dof say.

    Args:
      skeleton: J joints.
      motion: of F frames.

    Returns:
      [F, J, 3] float64, in the skeleton's unit, not centred.

    Raises:
      DataError: the motion has a joint that the skeleton has not, or lacks one, or has too many or
        too few values of one.
    """
    _check_fit(skeleton, motion)
    degrees = not (skeleton.radians if motion.radians is None else motion.radians)
    frames = len(next(iter(motion.values.values())))
    # Frames go last here: a few operations on long rows are much faster than many small products.
    points = np.zeros((len(skeleton.names), 3, frames))
    columns: dict[int, np.ndarray] = {}  # by joint, those of R C [3 columns, 3 · frames]
    still = np.repeat(np.eye(3), frames, axis=1)
    for joint in skeleton.order:
        parent, dof, axes = skeleton.parents[joint], skeleton.dof[joint], skeleton.axes[joint]
        numbers = np.ascontiguousarray(motion.values[skeleton.names[joint]].T) if dof else ()
        values = dict(zip(dof, numbers, strict=True))
        if parent < 0:
            points[joint] = [values.get(key, np.zeros(frames)) for key in ("tx", "ty", "tz")]
            start = axes.T @ still
        else:
            start = (axes.T @ skeleton.axes[parent]) @ columns[parent]
        turn(start.reshape(3, 3, frames), values, skeleton.rotation_orders[joint], degrees)
        columns[joint] = start
        if parent >= 0:
            bone = skeleton.directions[joint] @ axes
            length = skeleton.lengths[joint] + values.get("l", 0.0)
            points[joint] = points[parent] + length * (bone @ start).reshape(3, frames)
    return np.ascontiguousarray(points.transpose(2, 0, 1))


def _check_fit(skeleton: Skeleton, motion: Motion) -> None:
    """Raises DataError unless the motion has just the joints and values that move the skeleton."""
    dof, remedy = dict(zip(skeleton.names, skeleton.dof, strict=True)), "take the subject's .asf"
    for name, values in motion.values.items():
        text = f"{motion.path}, line {motion.lines[name]}: joint {name!r}"
        if name not in dof:
            raise DataError(f"{text} is not in {skeleton.path}; {remedy}")
        if values.shape[1] != len(dof[name]):
            text += f" has {values.shape[1]} value(s) and in {skeleton.path} {len(dof[name])} dof"
            raise DataError(f"{text}; {remedy}")
    for name in dof:
        if dof[name] and name not in motion.values:
            text = f"{motion.path}: joint {name!r} of {skeleton.path} is in no frame"
            raise DataError(f"{text}; {remedy}")
