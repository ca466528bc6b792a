"""Motion capture in the Biovision format (.bvh): skeleton, motion and rate in one file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from estag_jax import memory
from estag_jax.data.system import DataError
from estag_jax.sources.files.text import WORDS, opened


class Bvh(NamedTuple):
    """A motion.

    Args:
      names: J joints, the root first; end sites are called NAME_end.
      offsets: [J, 3] from the parent in the rest pose.
      parents: [J] integers, -1 for the root.
      positions: [frames, J, 3].
      step: seconds between frames.
    """

    names: tuple[str, ...]
    offsets: np.ndarray
    parents: np.ndarray
    positions: np.ndarray
    step: float


def read(path: Path) -> Bvh:
    """Reads a motion and where its joints are, by forward kinematics.

    R_j = R_parent M_j with M_j the product of the rotations of the joint's channels in their order,
    x_j = x_parent + R_parent (offset_j or, where it has position channels, these).

    Raises:
      DataError: names the line that is wrong, or the number of frames that are there.
    """
    with opened(path, held=WORDS) as file:
        lines = _lines(file)
        names, offsets, parents, channels = _hierarchy(path, lines)
        words = iter(list(lines))
    try:
        (_, count), (_, rate) = next(words), next(words)
        frames, step = int(count[1]), float(rate[2])
        if count[0] != "Frames:" or rate[:2] != ["Frame", "Time:"] or not 0 <= step < np.inf:
            raise ValueError
    except (StopIteration, IndexError, ValueError):
        raise DataError(
            f"{path}: lacks Frames: and Frame Time: behind MOTION; get it again"
        ) from None
    rows, width = list(words), sum(map(len, channels))
    for number, row in rows:
        if len(row) != width:
            raise DataError(
                f"{path}, line {number}: has {len(row)} values, the skeleton has {width} channels"
            )
    if len(rows) != frames:
        raise DataError(
            f"{path}: promises {frames} frames and holds {len(rows)}; get it again, or correct Frames:"
        )
    try:
        values = np.array([row for _, row in rows], np.float64).reshape(frames, width)
        if not np.isfinite(values).all():
            raise ValueError
    except ValueError:
        raise DataError(f"{path}: a value behind MOTION is no finite number; correct it") from None
    return Bvh(names, offsets, parents, _positions(offsets, parents, channels, values), step)


def _lines(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The number of a line and its words; a brace, which may stand behind a name, comes by itself."""
    for number, line in enumerate(file, 1):
        for part in re.split("([{}])", line):
            if words := part.split():
                yield number, words


def _hierarchy(
    path: Path, lines: Iterator[tuple[int, list[str]]]
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, list[list[str]]]:
    """Names, offsets [J, 3], parents [J] and channels of the joints, up to MOTION."""
    names, offsets, parents, channels, open_joints = [], [], [], [], []
    for number, words in lines:
        key = words[0].upper()
        if key == "MOTION":
            break
        memory.afford_parts(len(names), "joints", path)
        try:
            if key in ("ROOT", "JOINT", "END"):
                parent = open_joints[-1] if open_joints else -1
                if parent < 0 and names:
                    raise ValueError("a second root; keep one skeleton in a file")
                names.append(f"{names[parent]}_end" if key == "END" else " ".join(words[1:]))
                parents.append(parent)
                channels.append([])
            elif key == "{":
                open_joints.append(len(names) - 1)
            elif key == "}":
                open_joints.pop()
            elif key == "OFFSET":
                _, *offset = words
                offsets.append([float(offset[axis]) for axis in range(3)])
            elif key == "CHANNELS":
                channels[-1] = [word.lower() for word in words[2:]]
                known = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
                if len(channels[-1]) != int(words[1]) or not set(channels[-1]) <= known:
                    raise ValueError(f"channels {' '.join(words[1:])}")
            elif key != "HIERARCHY":
                raise ValueError(f"{words[0][:40]!r} is no word of the format")
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}, line {number}: {error}; is this a .bvh file?") from None
    if not names or len(offsets) != len(names) or open_joints:
        raise DataError(
            f"{path}: is not a whole .bvh, a joint lacks its OFFSET or its end; get it again"
        )
    return tuple(names), np.array(offsets), np.array(parents), channels


def _positions(
    offsets: np.ndarray, parents: np.ndarray, channels: list[list[str]], values: np.ndarray
) -> np.ndarray:
    """Where the joints are [frames, J, 3]; parents stand before their children."""
    frames, column = len(values), 0
    points, turns = np.zeros((frames, len(parents), 3)), []
    for joint, parent in enumerate(parents):
        local, turn = np.tile(offsets[joint], (frames, 1)), np.tile(np.eye(3), (frames, 1, 1))
        for channel in channels[joint]:
            axis, value = "xyz".index(channel[0]), values[:, column]
            column += 1
            if channel.endswith("position"):
                local[:, axis] = value
            else:
                turn = turn @ _rotation(axis, np.deg2rad(value))
        if parent < 0:
            points[:, joint] = local
        else:
            points[:, joint] = points[:, parent] + np.einsum("fij,fj->fi", turns[parent], local)
            turn = turns[parent] @ turn
        turns.append(turn)
    return points


def _rotation(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotations about one axis [frames, 3, 3]."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.tile(np.eye(3), (len(angles), 1, 1))
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angles)
    matrix[:, j, i] = np.sin(angles)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix
