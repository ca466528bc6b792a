"""Files of Acclaim's motion capture: the skeleton (.asf) and its motion (.amc)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from estag_jax import memory
from estag_jax.data.system import DataError
from estag_jax.sources.files.text import WORDS, opened, whole

_ROOT_DOF = ("tx", "ty", "tz", "rx", "ry", "rz")

_Line = tuple[int, list[str]]  # its number, from 1, and its words (without the first, where a key)


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """Joints and the bones between them, in the rest pose.

    Args:
      path: the file, for messages.
      names: J joints, the root first, then in the order of ``:bonedata``.
      directions: [J, 3], of the bone that ends in the joint; zero for the root.
      lengths: [J] of that bone, in the file's unit.
      axes: [J, 3, 3], rotations C from the joint's axes to the world's.
      rotation_orders: the order in which a joint's angles turn about its axes, "XYZ" or another.
      dof: per joint, what its values in an .amc are: rx, ry, rz, for the root also tx, ty, tz, and l for
        a change of the bone's length.
      parents: [J] integers, -1 for the root.
      order: the joints such that parents go before their children.
      radians: whether angles are in radians where the .amc does not say.
      inch: the length of ``:units``: so many of the file's units are an inch.
    """

    path: str
    names: tuple[str, ...]
    directions: np.ndarray
    lengths: np.ndarray
    axes: np.ndarray
    rotation_orders: tuple[str, ...]
    dof: tuple[tuple[str, ...], ...]
    parents: np.ndarray
    order: tuple[int, ...]
    radians: bool
    inch: float

    @property
    def edges(self) -> np.ndarray:
        """The bones as pairs of joints, parent first [bones, 2]."""
        children = np.flatnonzero(self.parents >= 0)
        return np.stack([self.parents[children], children], axis=1)


@dataclasses.dataclass(frozen=True)
class Motion:
    """The values of an .amc file.

    Args:
      path: the file, for messages.
      values: by joint, [frames, dof] as in the file.
      lines: by joint, its line in the first frame, for messages.
      radians: whether angles are in radians, or None where the file does not say.
    """

    path: str
    values: Mapping[str, np.ndarray]
    lines: Mapping[str, int]
    radians: bool | None


def read_asf(path: str | Path) -> Skeleton:
    """Reads a skeleton (.asf).

    The base position and orientation of ``:root`` belong to the rest pose and are not used: an .amc
    says where the root is.

    Args:
      path: the file.

    Returns:
      The skeleton, with lengths in the file's own unit.

    Raises:
      DataError: it is no .asf, a joint lacks something, or the hierarchy is not one tree.
    """
    tables: dict[str, dict[str, _Line]] = {":units": {}, ":root": {}}
    bones, hierarchy, section = [], [], ""
    for number, words in _lines(path):
        key, rest = words[0].lower(), words[1:]
        if key[0] == ":":
            section = key
        elif section in tables:
            tables[section][key] = number, rest
        elif section == ":bonedata" and key == "begin":
            bones.append((number, {}))
            memory.afford_parts(len(bones), "joints", path)
        elif section == ":bonedata" and bones:
            bones[-1][1].setdefault(key, (number, rest))
        elif section == ":hierarchy" and key not in ("begin", "end"):
            hierarchy.append((number, words))
    if not bones or not hierarchy:
        what = ":hierarchy" if bones else ":bonedata"
        raise DataError(f"{path}: is not a whole .asf file, {what} has no entries; get it again")
    units, root = tables.values()
    number, angle = units.get("angle", (0, ["deg"]))
    if angle not in (["deg"], ["rad"]):
        raise _error(path, number, f"angles are in {' '.join(angle)!r}, expected deg or rad")
    dof = _dof(path, "root", root.get("order", (0, list(_ROOT_DOF))), _ROOT_DOF)
    turns = _rotation_order(path, "root", root.get("axis", (0, ["XYZ"])))
    joints = [("root", np.zeros(3), 0.0, np.eye(3), turns, dof)]
    joints += [_joint(path, begin, bone, angle == ["deg"]) for begin, bone in bones]
    names, *arrays, rotation_orders, dof = zip(*joints, strict=True)
    fields = (names, *map(np.array, arrays), rotation_orders, dof, *_tree(path, names, hierarchy))
    inch = _numbers(path, "the length of :units", units.get("length", (0, ["1"])), 1)[0]
    if not 0 < inch < np.inf:
        raise DataError(f"{path}: the length of :units is {inch:g}, it must be positive")
    return Skeleton(str(path), *fields, radians=angle == ["rad"], inch=inch)


def read_amc(path: str | Path) -> Motion:
    """Reads a motion (.amc), every frame of which has the joints of the first in the same order.

    Args:
      path: the file.

    Returns:
      The values by joint. Whether they fit a skeleton, ``positions`` checks.

    Raises:
      DataError: there are no frames, they are not numbered one after another, one of them lacks a
        joint or has one too many, or a value is not a finite number.
    """
    frames: list[tuple[int, int, list[_Line]]] = []  # of each its line, its number and its joints
    radians = None
    for number, words in _lines(path):
        if words[0][0] == ":":
            radians = {":degrees": False, ":radians": True}.get(words[0].lower(), radians)
        elif len(words) == 1 and (frame := whole(words[0])) is not None:
            frames.append((number, frame, []))
        elif frames:
            frames[-1][2].append((number, words))
        else:
            text = f"{words[0]!r} stands where the first frame's number should"
            raise _error(path, number, f"{text}; is this an .amc file?")
    if not frames or not frames[0][2]:
        raise DataError(f"{path}: has no frames; get it again")
    _, start, first = frames[0]
    names = list(dict.fromkeys(words[0] for _, words in first))
    for k, (line, frame, joints) in enumerate(frames):
        if frame != start + k:
            text = f"frame {frame} follows frame {start + k - 1}, expected {start + k}"
            raise _error(path, line, f"{text}; sort them, or make a file of each stretch")
        end = frames[k + 1][0] if k + 1 < len(frames) else 0
        for i, expected in enumerate([*names, ""]):  # "" is the end
            number, (name, *values) = joints[i] if i < len(joints) else (end, [""])
            if name != expected and not number:
                text = f"the last frame, {frame}, is cut short before joint {expected!r}"
                raise DataError(f"{path}: {text}; delete its lines or get the file again")
            if name != expected:
                here, there = (f"has joint {n!r}" if n else "ends" for n in (name, expected))
                text = f"frame {frame} {here} where the first frame {there}"
                text += "; all frames need the same joints, each once and in the same order"
                raise _error(path, number, text)
            if name and len(values) != len(first[i][1]) - 1:
                text = f"joint {name!r} of frame {frame} has {len(values)} value(s)"
                text += f", {len(first[i][1]) - 1} in the first; correct it"
                raise _error(path, number, text)
    rows = {name: [joints[i] for *_, joints in frames] for i, name in enumerate(names)}
    values = {name: _array(path, name, rows[name]) for name in names}
    return Motion(str(path), values, {name: rows[name][0][0] for name in names}, radians)


def turn(columns: np.ndarray, angles: Mapping[str, np.ndarray], order: str, degrees: bool) -> None:
    """W to W M in place, W as its columns [3, 3, …]; M turns about fixed axes in this order."""
    for letter in reversed(order):
        if (angle := angles.get(f"r{letter.lower()}")) is None:
            continue
        angle = np.deg2rad(angle) if degrees else angle
        i = ("XYZ".index(letter) + 1) % 3
        j = (i + 1) % 3
        cos, sin = np.cos(angle), np.sin(angle)
        ith = cos * columns[i] + sin * columns[j]
        columns[j] = cos * columns[j] - sin * columns[i]
        columns[i] = ith


def _lines(path: str | Path) -> Iterator[_Line]:
    """Lines that are neither empty nor comments."""
    empty = True
    with opened(Path(path), held=WORDS) as file:
        for number, line in enumerate(file, 1):
            empty = empty and not line.strip()
            words = line.partition("#")[0].split()
            if words:
                yield number, words
    if empty:
        raise DataError(f"{path}: is empty; get it again")


def _error(path: str | Path, number: int, text: str) -> DataError:
    return DataError(f"{path}, line {number}: {text}")


def _numbers(path: str | Path, what: str, line: _Line, count: int) -> list[float]:
    try:
        values = [float(word) for word in line[1]]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        text = f"{what} is {' '.join(line[1])!r}, expected {count} finite number(s)"
        raise _error(path, line[0], text)
    return values


def _array(path: str | Path, name: str, rows: list[_Line]) -> np.ndarray:
    """The values of a joint [frames, dof]."""
    try:
        values = np.array([words[1:] for _, words in rows], dtype=np.float64)
    except ValueError:
        values = np.array(np.nan)
    if np.isfinite(values).all():
        return values
    what, count = f"joint {name!r}", len(rows[0][1]) - 1
    return np.array([_numbers(path, what, (line, words[1:]), count) for line, words in rows])


def _rotation_order(path: str | Path, name: str, line: _Line) -> str:
    order = "".join(line[1]).upper()
    if sorted(order) != ["X", "Y", "Z"]:
        text = f"the axes of joint {name!r} are {order!r}, expected XYZ or another order of these"
        raise _error(path, line[0], text)
    return order


def _dof(path: str | Path, name: str, line: _Line, known: tuple[str, ...]) -> tuple[str, ...]:
    dof = tuple(word.lower() for word in line[1])
    if not set(dof) <= set(known) or len(set(dof)) < len(dof):
        text = f"the dof of joint {name!r} are {' '.join(dof)!r}, expected some of"
        raise _error(path, line[0], f"{text} {' '.join(known)}, each once")
    return dof


def _joint(path: str | Path, begin: int, bone: dict[str, _Line], degrees: bool) -> tuple:
    """Name, direction, length, axes, order of rotations and dof of a begin … end of ``:bonedata``."""
    name = " ".join(bone.get("name", (0, ["without a name"]))[1])
    for key in ("name", "direction", "length", "axis"):
        if key not in bone:
            raise _error(path, begin, f"joint {name!r} has no {key}; add it")
    direction = _numbers(path, f"the direction of joint {name!r}", bone["direction"], 3)
    length = _numbers(path, f"the length of joint {name!r}", bone["length"], 1)[0]
    number, words = bone["axis"]
    order = _rotation_order(path, name, (number, words[3:] or ["XYZ"]))
    angles = _numbers(path, f"the axis of joint {name!r}", (number, words[:3]), 3)
    # Each angle is about the axis whose letter is in its place.
    angles = {f"r{letter.lower()}": angle for letter, angle in zip(order, angles, strict=True)}
    dof = _dof(path, name, bone.get("dof", (begin, [])), (*_ROOT_DOF[3:], "l"))
    columns = np.eye(3)
    turn(columns, angles, order, degrees)
    return name, direction, length, columns.T, order, dof


def _tree(
    path: str | Path, names: tuple[str, ...], hierarchy: list[_Line]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The parent of each joint [J], and the joints such that parents go before children."""
    places = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        if places[name] != i:
            raise DataError(f"{path}: there are two joints {name!r}; rename or delete one")
    parents, children = np.full(len(names), -1), [[] for _ in names]
    for number, words in hierarchy:
        for i, word in enumerate(words):
            if word not in places:
                text = f"the {'child' if i else 'parent'} {word!r} in :hierarchy is not a joint"
                raise _error(path, number, f"{text} of :bonedata; correct the name")
        parent = places[words[0]]
        for child in (places[word] for word in words[1:]):
            if parents[child] >= 0 or child == 0:
                text = f"joint {names[child]!r} is the root or has a parent already"
                raise _error(path, number, f"{text}; delete it here or there")
            parents[child] = parent
            children[parent].append(child)
    order = [0]
    for joint in order:  # grows on the way
        order += sorted(children[joint])
    if lost := set(range(len(names))) - set(order):
        text = f"joint {names[min(lost)]!r} is not connected to the root in :hierarchy"
        raise DataError(f"{path}: {text}; add it there")
    return parents, tuple(order)
