"""Motion capture of the user's own: a skeleton with its motions (.asf,.amc), or both in one file (.bvh)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources.files import bvh
from estag_jax.sources.files.timing import Step, chosen_step
from estag_jax.sources.files.topology import format_suffix
from estag_jax.sources.mocap import positions, read_amc, read_asf
from estag_jax.sources.options import FileOptions, StepOptions

UP = {"up": (0.0, 1.0, 0.0)}
"""The vertical of motion capture: y, by the convention of Acclaim and BVH."""

RATE = 120.0
"""Frames per second of most Acclaim files (CMU, HDM05), which do not say."""


def read_acclaim(paths: Sequence[Path], options: FileOptions) -> Trajectory:
    """A skeleton and motions of it, each a run of its own.

    Args:
      paths: SKELETON.asf and one or more MOTION.amc.
      options: the time between frames and the unit of lengths.

    Returns:
      The trajectory, positions [frames, joints, 1, 3] float64 in the unit of the skeleton.

    Raises:
      DataError: a file is missing or bad, or they do not belong together.
    """
    kinds = [format_suffix(path) for path in paths]
    if kinds[0] != ".asf" or len(kinds) < 2 or set(kinds[1:]) != {".amc"}:
        own = [path for path in paths if format_suffix(path) in (".asf", ".amc")]
        files = ",".join(map(str, sorted(own, key=lambda path: format_suffix(path) != ".asf")))
        if ".asf" not in kinds:
            files = f"SKELETON.asf,{files}"
        elif ".amc" not in kinds:
            files = f"{files},MOTION.amc"
        raise DataError(f"{paths[0]}: a skeleton and its motions belong together; write {files}")
    skeleton = read_asf(paths[0])
    runs = [positions(skeleton, read_amc(path)) for path in paths[1:]]
    (step, unit), notes = acclaim_step(paths[1].name, options)
    return Trajectory.from_arrays(
        np.concatenate(runs)[:, :, None],
        names=skeleton.names,
        frame_step=step,
        time_unit=unit,
        length_unit=options.length_unit or "asf unit",
        bonds=skeleton.edges,
        vectors=UP,
        lengths=tuple(map(len, runs)),
        run_names=tuple(path.stem for path in paths[1:]),
        source=",".join(map(str, paths)),
        provenance=f"motion capture read from {', '.join(path.name for path in paths)}; an asf unit is "
        f"{2.54 / skeleton.inch:.2f} cm",
        notes=tuple(notes),
    )


def acclaim_step(name: str, options: StepOptions) -> tuple[Step, tuple[str, ...]]:
    """The time between frames, which Acclaim files do not give: the user's, or 1/120 s and a note."""
    if options.frame_step is not None:
        return chosen_step(name, None, options.frame_step, "s")
    note = (
        f"{RATE:.0f} frames per second are assumed, {name} does not say; some recordings have 60 "
    )
    return (1 / RATE, "s"), (f"{note}(--read.frame-step 0.016667s)",)


def read_bvh(paths: Sequence[Path], options: FileOptions) -> Trajectory:
    """Motions in the BVH format, of one skeleton, each a run of its own.

    Args:
      paths: one or more .bvh.
      options: the time between frames and the unit of lengths.

    Returns:
      The trajectory, positions [frames, joints, 1, 3] float64 in the file's unit; end sites are joints.

    Raises:
      DataError: a file is bad, or they are not of one skeleton.
    """
    first, *others = files = [bvh.read(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        if other.names != first.names or not np.allclose(other.offsets, first.offsets, atol=1e-4):
            raise DataError(f"{path}: is not of the skeleton of {paths[0]}; read them one by one")
        if abs(other.step - first.step) > 1e-3 * first.step:
            raise DataError(
                f"{path}: has {other.step:g} s between frames, {paths[0]} has {first.step:g} s; read them "
                f"one by one"
            )
    stated = (first.step, "s") if first.step else None
    (step, unit), notes = chosen_step(paths[0].name, stated, options.frame_step, "s")
    children = np.flatnonzero(first.parents >= 0)
    return Trajectory.from_arrays(
        np.concatenate([file.positions for file in files])[:, :, None],
        names=first.names,
        frame_step=step,
        time_unit=unit,
        length_unit=options.length_unit or "bvh unit",
        bonds=np.stack([first.parents[children], children], axis=1),
        vectors=UP,
        lengths=tuple(len(file.positions) for file in files),
        run_names=tuple(path.stem for path in paths),
        source=",".join(map(str, paths)),
        provenance=f"motion capture read from {', '.join(path.name for path in paths)}",
        notes=tuple(notes),
    )
