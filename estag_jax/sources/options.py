"""Options of the sources, and of what is done to every trajectory; apart from what uses them.

What a source takes are the fields of its options class, and an option that is no field of it is an
error there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

from estag_jax.config import check
from estag_jax.data.settings import TIME_UNITS
from estag_jax.simulate.settings import SyntheticConfig, XtbConfig

Centre = Literal["source", "none", "run", "frame"]
Nodes = Literal["atoms", "residues"]
Axes = Literal["auto", "runs", "frames"]


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Of a source that has none."""


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """Of a source whose files are downloaded.

    Args:
      folder: where the source's files lie, in place of downloading them; None for the cache
        (environment variable ESTAG_DATA).
    """

    folder: str | None = None


@dataclasses.dataclass(frozen=True)
class XtbOptions(FolderOptions):
    """Of simulated molecules.

    Args:
      xtb: how xtb: simulates.
    """

    xtb: XtbConfig = XtbConfig()


@dataclasses.dataclass(frozen=True)
class SyntheticOptions:
    """Of simulated systems.

    Args:
      synthetic: how synthetic: simulates.
    """

    synthetic: SyntheticConfig = SyntheticConfig()


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """Of files that may not give their time.

    Args:
      frame_step: time between frames, as 0.5fs, "2 ps", "0.01 s" or "3 frame"; it takes precedence over
        the file's. A bare number is in the file's own unit, and where the file has none in ps for
        formats that MDAnalysis reads and in fs for all others. None takes the file's.

    Raises:
      ValueError: it is no step.
    """

    frame_step: float | str | None = None

    def __post_init__(self):
        if self.frame_step is not None:
            parse_step(self.frame_step)


@dataclasses.dataclass(frozen=True)
class MocapOptions(FolderOptions, StepOptions):
    """Of motion capture, whose files do not give their rate."""


@dataclasses.dataclass(frozen=True)
class FileOptions(StepOptions):
    """Of files.

    Args:
      format: the format of a file whose suffix does not tell it: a suffix, or a name of ASE's or
        MDAnalysis' (xyz, XDATCAR, HISTORY, vasp-xml, …).
      axes: what the first axis of an array of 4 is: "runs" for [runs, frames, N, 3], "frames" for
        [frames, N, C, 3]; "auto" where the file tells.
      length_unit: the unit of the file's lengths, where it does not say or says it wrongly; ``unit``
        converts them.
      select: atoms to keep, in MDAnalysis' selection language (files that MDAnalysis reads).
      nodes: what a node is: an atom, or a residue with its backbone N, CA, C, O as four channels.
      unwrap: undo jumps across a periodic box.

    Raises:
      ValueError: a value is out of its range.
    """

    format: str = ""
    axes: Axes = "auto"
    length_unit: str | None = None
    select: str = ""
    nodes: Nodes = "atoms"
    unwrap: bool = True

    def __post_init__(self):
        StepOptions.__post_init__(self)
        check(self, "read")


@dataclasses.dataclass(frozen=True)
class Transforms:
    """What is done to a trajectory of any source.

    Args:
      hydrogens: keep hydrogen atoms; the published protocol leaves them out as the unobserved part.
        With ``select``, the selection alone decides.
      min_frames: leave out runs with fewer frames.
      centre: "run" subtracts the mean of each run, "frame" the centroid of each frame; "source" does
        what the source's protocol does.
      align: superimpose each frame on the first of its run.
      unit: convert lengths to this unit (Å, nm, bohr, …); None keeps the source's. Where lengths can only
        be in this unit already, they are taken for it.
      up: the external vector up, against gravity: x, y, z, -x, -y, -z or "0,0,1"; None takes what the
        source knows.
      max_memory: gigabytes that an array of a file may take, as its header says; None for half of the
        machine's memory.

    Raises:
      ValueError: a value is out of its range.
    """

    hydrogens: bool = False
    min_frames: int = 1
    centre: Centre = "source"
    align: bool = False
    unit: str | None = None
    up: str | None = None
    max_memory: float | None = None

    def __post_init__(self):
        check(self, "read", min_frames=1)
        if self.max_memory is not None and not 0 < self.max_memory < math.inf:
            raise ValueError(f"read max_memory is {self.max_memory}, it must be positive, in GB")
        if self.up is not None:
            parse_direction(self.up)


def parse_direction(text: str) -> tuple[float, ...]:
    """The direction that "z", "-y" or "0,0.6,0.8" names [3].

    Raises:
      ValueError: it names none.
    """
    sign, axis = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if axis in ("x", "y", "z"):
        return tuple(sign if axis == other else 0.0 for other in "xyz")
    try:
        direction = tuple(map(float, text.split(",")))
    except ValueError:
        direction = ()
    if len(direction) != 3 or not 0 < math.hypot(*direction) < math.inf:
        raise ValueError(f"read up is {text!r}, expected x, y, z, -x, -y, -z or 3 numbers as 0,0,1")
    return direction


def parse_step(step: float | str) -> tuple[float, str | None]:
    """The number and the unit of "0.5fs", "2 ps", "3 frame" or 0.5, which has none.

    Raises:
      ValueError: it is not a positive number, or the unit is not known.
    """
    number, unit = re.fullmatch(r"\s*(.*?)\s*([A-Za-zµμ]*)\s*", str(step), re.DOTALL).groups()
    unit = re.sub("^[µμ]", "u", unit)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(
            f"read frame_step is {step}, it must be positive: a number, or one with its unit as 0.5fs"
        )
    if unit and unit not in TIME_UNITS:
        raise ValueError(
            f"read frame_step is {step}: {unit!r} is no unit of time that is known, they are "
            f"{', '.join(TIME_UNITS)}"
        )
    return value, unit or None
