"""Text files whose frames other libraries read, line by line: DL_POLY's HISTORY, VASP's files, .xsf.

ASE and MDAnalysis look neither at what a header promises nor at what is left behind the last frame, and what
they say of a cut file names neither its frame nor its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.io import one_line
from estag_jax.sources.files.text import damaged, opened, whole
from estag_jax.sources.files.timing import Step


class _Lines:
    """The lines of a file, counted, and where a frame begins."""

    def __init__(self, path: Path, lines: Iterable[str]):
        self.path, self.lines, self.number, self.frame = path, _to_last(lines), 0, 0

    def next(self) -> str | None:
        self.number += 1
        return next(self.lines, None)

    def take(self, count: int, numbers: int = 0, after: int = 0) -> list[list[str]]:
        """So many lines as words, each with so many numbers after its first words."""
        rows = []
        for _ in range(count):
            line = self.next()
            if line is None:
                raise self.error("the file ends")
            rows.append(self.numbers(line, numbers, after))
        return rows

    def numbers(self, line: str, count: int, after: int = 0) -> list[str]:
        """The line just taken, as words."""
        words = line.split()
        try:
            if len([float(word) for word in words[after : after + count]]) < count or not words:
                raise ValueError
        except ValueError:
            wanted = f"{count} numbers" if count else "words"
            raise self.error(
                f"line {self.number} is {line.strip()[:40]!r}, expected {wanted}"
            ) from None
        return words

    def counts(self, *words: str) -> list[int]:
        """Words of the line just taken, as whole numbers of at least zero."""
        counts = [number for word in words if (number := whole(word)) is not None]
        if not words or len(counts) < len(words):
            found = " ".join(words)[:40]
            raise self.error(f"line {self.number} holds {found!r} where a count is expected")
        return counts

    def error(self, why: str) -> DataError:
        return damaged(self.path, self.frame, why)


def _to_last(lines: Iterable[str]) -> Iterator[str]:
    """Lines up to the last that is not blank."""
    held = []
    for line in lines:
        held.append(line)
        if line.strip():
            yield from held
            held.clear()


class History(NamedTuple):
    """What a HISTORY says of its frames.

    Args:
      times: number of the step times its length [frames], ps.
      notes: where the header promises another number of frames.
    """

    times: np.ndarray
    notes: tuple[str, ...]


def examine_history(path: Path) -> History:
    """Checks every line of a HISTORY: title, counts, and for each frame a step, a cell and its atoms.

    Raises:
      DataError: names the frame and the line.
    """
    with opened(path) as file:
        lines, times = _Lines(path, file), []
        lines.next()
        (header,) = lines.take(1, 3)
        promised = lines.counts(*header[3:4] or "0")[0]
        while (line := lines.next()) is not None:
            words = line.split()
            if len(words) < 6 or words[0] != "timestep":
                raise lines.error(
                    f"line {lines.number} is {line.strip()[:40]!r}, expected timestep"
                )
            step, atoms, kind, periodic = lines.counts(*words[1:5])
            times.append(step * float(lines.numbers(line, 1, after=5)[5]))
            lines.take(3 if periodic else 0, 3)
            for _ in range(atoms):
                lines.take(1)
                lines.take(1 + kind, 3)
            lines.frame += 1
    notes = ()
    if promised not in (0, lines.frame):
        notes = (
            f"the header of {path.name} promises {promised} frames, the file ends after {lines.frame} whole "
            f"ones",
        )
    return History(np.array(times), notes)


def examine_xdatcar(path: Path) -> None:
    """Checks every line of an XDATCAR: 7 lines of a cell, and before each frame's atoms a line "Direct …".

    The cell may be repeated before a frame.

    Raises:
      DataError: names the frame and the line.
    """
    with opened(path) as file:
        lines, atoms = _Lines(path, file), 0
        while (line := lines.next()) is not None:
            if not line.lower().startswith("direct conf"):  # but the title of a cell
                lines.take(1, 1)
                lines.take(3, 3)
                _, counts = lines.take(2)
                atoms = sum(lines.counts(*counts))
                lines.take(1)
            lines.take(atoms, 3)
            lines.frame += 1


def examine_vasprun(path: Path) -> Step | None:
    """The time step of a vasprun.xml, which is checked to be whole: ASE drops a last frame that is cut.

    Raises:
      DataError: names the frame.
    """
    frame, said = 0, {"IBRION": "0"}
    try:
        for _, element in ElementTree.iterparse(path):
            frame += element.tag == "calculation"
            if (name := element.get("name")) in ("POTIM", "IBRION"):
                said[name] = (element.text or "").strip()
            element.clear()
        dynamics = said["IBRION"] == "0" and "POTIM" in said
        return (float(said["POTIM"]), "fs") if dynamics else None
    except (ElementTree.ParseError, ValueError) as error:
        raise damaged(path, frame, one_line(error)) from error


def examine_xsf(path: Path) -> None:
    """Checks every line of an .xsf: keywords, cells, rows of atoms; and that ANIMSTEPS counts the frames.

    Blocks of other data are skipped.

    Raises:
      DataError: names the frame and the line.
    """
    with opened(path) as file:
        lines = _Lines(path, (line for line in file if not line.startswith("#")))
        promised, rows_follow = 1, False
        while (line := lines.next()) is not None:
            word, *rest = line.split() or [""]
            if word in ("PRIMVEC", "CONVVEC"):
                lines.take(3, 3)
            elif word == "PRIMCOORD":
                ((count, *_),) = lines.take(1, 1)
                lines.take(*lines.counts(count), 3, after=1)
                lines.frame, rows_follow = lines.frame + 1, False
            elif word == "ATOMS":
                lines.frame, rows_follow = lines.frame + 1, True
            elif word == "ANIMSTEPS":
                (promised,) = lines.counts(*rest[:1])
            elif word.startswith("BEGIN_BLOCK"):
                while (line := lines.next()) is not None and "END_BLOCK" not in line:
                    pass
            elif rows_follow and len(rest) >= 3:
                lines.numbers(line, 3, after=1)
            elif word not in ("", "CRYSTAL", "SLAB", "POLYMER", "MOLECULE"):
                raise lines.error(
                    f"line {lines.number} is {line.strip()[:40]!r}, expected a keyword"
                )
        if lines.frame != promised:
            raise lines.error(f"{promised} frames are promised")


def examine_traj(path: Path) -> None:
    """Checks that an ASE trajectory is one: of several behind each other ASE reads the first.

    Raises:
      DataError: another begins behind the first.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if (begin := data.find(b"- of UlmASE-Trajectory", 1)) > 0:
            raise DataError(
                f"{path}: holds another trajectory from byte {begin} on, which would not be read; read each "
                f"by itself, or write them to one file"
            )


EXAMINE: dict[str, Callable[[Path], Step | None]] = {
    "vasp-xdatcar": examine_xdatcar,
    "vasp-xml": examine_vasprun,
    "xsf": examine_xsf,
    "traj": examine_traj,
}
"""What looks at a file before ASE reads it, by ASE's name of its format; it may know the time step."""

COUNTED = (
    *("extxyz", "db", "json", "vasp", "gen", "castep-cell", "cube", "cfg", "crystal"),
    *("magres", "lammps-data", "abinit-in", "gpumd", "jsv"),
)
"""Formats of ASE's that promise their rows, so that its reader fails where some are missing."""
