"""GROMACS' TNG files: their blocks, each with a stride of its own, and the frames that have positions.

The format's library says what is wrong on the terminal and reads what is left; MDAnalysis refuses boxes,
velocities and forces that are there at other steps than positions, as ``nstvout`` makes them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.geometry import cell_to_cellpar

from estag_jax import memory
from estag_jax.data.system import DataError
from estag_jax.io import cause
from estag_jax.sources.files.packages import require, signal_of
from estag_jax.sources.files.stacks import Stack

FRAMES, BOXES, POSITIONS = 2, 0x10000000, 0x10000001
"""Kinds of blocks: of the first of a set of frames, of their boxes and of their positions."""

_WORDS = 9
"""Names of programs, users, … that the first block begins with."""

_MOST = 1000
"""Frames that a byte may stand for, compressed as well as can be: more are no file's."""

_DOUBLE = 3
"""The type of numbers in double precision; others are in single."""

_OPEN = "import pytng, sys; pytng.TNGFileIterator(sys.argv[1])"


class Block(NamedTuple):
    """A block, whose sum is right.

    Args:
      begin: its first byte.
      kind: what it holds.
      order: of bytes, as ``struct`` has it.
      contents: behind its header.
    """

    begin: int
    kind: int
    order: str
    contents: bytes

    def numbers(self, form: str, at: int) -> tuple:
        """Numbers of some format from a byte on; zero where the contents end before."""
        length = struct.calcsize(f"={form}")
        return struct.unpack(
            f"{self.order}{form}", self.contents[at : at + length].ljust(length, b"\0")
        )


class Content(NamedTuple):
    """What a file says of its frames.

    Args:
      steps: at which positions and boxes are there, by their kind [frames of it].
      types: of their numbers, by their kind.
      times: of the steps with positions [frames], ps, or None where it does not say.
      angstroms: in its unit of length.
      notes: on what was made of it.
    """

    steps: dict[int, Sequence[int]]
    types: dict[int, Any]
    times: np.ndarray | None
    angstroms: float
    notes: tuple[str, ...]


def examine(path: Path) -> Content:
    """Checks every block by its size and its MD5 sum, and that the last frames are there.

    The first block says, behind nine words, a time, a flag and a number of frames, at which byte the first
    and the last set of frames begin, two strides of sets, and the power of ten of its unit of length, m. A
    set says its first step, the number of steps, six bytes to jump to, its first time and a step's in s.

    Raises:
      DataError: names the byte.
    """
    size, begun, last, exponent = path.stat().st_size, 0, 0, 0
    wanted, there, first, count, times = False, True, 0, 1, []
    steps, types = {BOXES: [], POSITIONS: []}, {}
    for block in _blocks(path):
        if not block.begin:
            words = len(block.contents) - len(block.contents.split(b"\0", _WORDS)[-1])
            last, _, _, exponent = block.numbers("qqqq", words + 25)
        if block.kind == FRAMES:
            begun, there = block.begin, False
            first, count = block.numbers("qq", 0)
            start, each = block.numbers("dd", 64)
        elif block.kind in steps:
            found = _steps(path, block, first, count)
            steps[block.kind] += found
            types[block.kind] = np.float64 if block.contents[0] == _DOUBLE else np.float32
            if block.kind == POSITIONS:
                wanted = there = True
                times += [start + (step - first) * each if each > 0 else None for step in found]
    if last >= size or (wanted and not there):
        raise DataError(
            f"{path}: is cut short, its last frames, from byte {max(begun, last)} of {size} on, are not "
            f"whole; copy it again"
        )
    notes = ()
    if steps[BOXES] and (without := len(set(steps[POSITIONS]) - set(steps[BOXES]))):
        notes = (
            f"{without} frame(s) of {path.name} have no box of their own and keep the last one",
        )
    known = None if None in times else 1e12 * np.array(times)
    return Content(steps, types, known, 10.0 ** (exponent + 10), notes)


def read_tng(path: Path) -> Stack:
    """Reads the frames that have positions, in the box that is there or was last.

    Raises:
      DataError: it is damaged, has no positions, or its package cannot read them.
    """
    pytng, content = require(path, ".tng"), examine(path)
    steps, with_box = content.steps[POSITIONS], content.steps[BOXES]
    if not steps:
        raise DataError(
            f"{path}: holds no positions; write them with nstxout or nstxout-compressed"
        )
    if name := signal_of(_OPEN, path):
        raise DataError(
            f"{path}: the library that reads it ends by {name}; write it again, with gmx "
            f"trjconv -f {path.name} -o {path.stem}.xtc"
        )
    try:
        with pytng.TNGFileIterator(str(path), "r") as file:
            shape = (len(steps), file.n_atoms, 3)
            memory.afford(4 * int(np.prod(shape)), f"{path}: an array float32{list(shape)}")
            # One kind behind the other: the library reads a set of frames again whenever it goes back.
            cells = [cell.reshape(3, 3) for cell in _values(path, file, content, BOXES, (1, 9))]
            positions = np.empty(shape, np.float32)
            for k, frame in enumerate(_values(path, file, content, POSITIONS, shape[1:])):
                positions[k] = frame
    except DataError:
        raise
    except Exception as error:  # its own errors are OSErrors, ValueErrors and others
        raise DataError(f"{path}: pytng cannot read it ({cause(error)}); copy it again") from error
    boxes = np.zeros((len(steps), 6))
    if with_box:
        held = np.array([cell_to_cellpar(cell) if cell.any() else np.zeros(6) for cell in cells])
        boxes = held[np.maximum(np.searchsorted(with_box, steps, "right") - 1, 0)]
    boxes[:, :3] *= content.angstroms
    positions *= np.float32(content.angstroms)
    return Stack(positions, boxes, content.times, "ps")


def _blocks(path: Path) -> Iterator[Block]:
    """Blocks, each the sizes of its header and of its contents, its kind, the sum of these, a name, them.

    Raises:
      DataError: names the byte at which one that is cut or damaged begins.
    """
    size, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        order = ">" if file.read(1) == b"\0" else "<"
        while begin < size:
            file.seek(begin)
            head = file.read(40)
            whole = len(head) == 40
            header, length, kind = struct.unpack(f"{order}qqq", head[:24]) if whole else (0, 0, 0)
            if header < 40 or length < 0 or begin + header + length > size:
                raise DataError(
                    f"{path}: is cut short or damaged within the block that begins at byte {begin} of "
                    f"{size}; copy it again"
                )
            file.seek(begin + header)
            contents = file.read(length)
            if (
                any(head[24:])
                and hashlib.md5(contents, usedforsecurity=False).digest() != head[24:]
            ):
                raise DataError(
                    f"{path}: is damaged in the block that begins at byte {begin}, its sum is another; copy "
                    f"it again"
                )
            yield Block(begin, kind, order, contents)
            begin += header + length


def _steps(path: Path, block: Block, first: int, count: int) -> Sequence[int]:
    """The steps of a set of frames at which a block has values: all, or from one on at a stride."""
    _, dependency, sparse, _, codec = block.numbers("BBBqq", 0)
    if not dependency & 1:
        return [first]
    begin, stride = block.numbers("qq", 27 if codec else 19) if sparse else (first, 1)
    if stride < 1 or not 0 <= first <= begin or count > _MOST * stride * len(block.contents):
        raise DataError(
            f"{path}: the block that begins at byte {block.begin} says that it has values at every "
            f"{stride} of {count} steps from {begin} on; copy it again"
        )
    # In its last set GROMACS names the step behind it: 501 for 500.
    aligned = begin - begin % stride
    return range(aligned if aligned >= first else begin, first + count, stride)


def _values(
    path: Path, file: Any, content: Content, kind: int, shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """A kind's values at each of its steps."""
    place = np.empty(shape, content.types.get(kind))
    for k, step in enumerate(content.steps[kind]):
        now = file.read_step(step)
        now.get_blockid(kind, place)
        if not now.read_success:
            raise DataError(
                f"{path}: pytng cannot read the {'box' if kind == BOXES else 'positions'} of step {step} "
                f"(frame {k}); write it again, with gmx trjconv -f {path.name} -o {path.stem}.xtc"
            )
        yield place.copy()
