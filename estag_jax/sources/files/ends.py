"""Whether a text file that another library reads is whole: its last line, its last frame.

Those libraries drop a last frame that is cut, take the atoms that are there for all, or wait for a line for
ever.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from estag_jax.data.system import DataError
from estag_jax.sources.files import outputs, promises, singles
from estag_jax.sources.files.text import damaged, opened
from estag_jax.sources.files.timing import Step

_Line = tuple[int, str]  # its number, from 1, and its text


class Begin(NamedTuple):
    """The line by which a frame is known.

    Args:
      line: a regular expression for its beginning; a group ``rows`` is how many follow at least.
      close: the line that ends a frame for the reader, which reads on without it.
      label: a regular expression for the end of rows of a kind, its group; of each there are as many.
    """

    line: str
    close: str = ""
    label: str = ""


class End(NamedTuple):
    """What a file's end says.

    Args:
      frames: how many begin, or None where the format does not tell.
      sure: whether a cut would be noticed.
      notes: a program did not write its last words.
      step: the time step that an output states.
    """

    frames: int | None
    sure: bool
    notes: tuple[str, ...] = ()
    step: Step | None = None


_TINKER = Begin(
    r"\s*(?P<rows>\d{1,18})(?!\s+\S+(?:\s+-?\d*\.\d+){3})(?:\s|$)"
)  # rows begin with a number too

_ROWS = r".*<--\s*([RVF])$"  # of positions, velocities, forces

BEGINS = {
    "arc": _TINKER,
    "txyz": _TINKER,
    "trc": Begin("TIMESTEP", close="GENBOX"),
    "castep-md": Begin(r"\s*[-+.\dE]+\s*$", label=_ROWS),
    "castep-geom": Begin(r"\s*\d+(\s+[TF])*(\s+<-- c)?\s*$", label=_ROWS),
    "dmol-arc": Begin("!DATE"),
    "runnerdata": Begin("begin"),
}
"""Formats whose frames have as many lines as the frame before, by ASE's name or MDAnalysis' suffix."""

LAST = {
    "res": "END",
    "gromos": "END",
    "trc": "END",
    "mol": "M  END",
    "sdf": "$$$$",
    "dmol-arc": "end",
    "dmol-car": "end",
    "dmol-incoor": "$end",
    "turbomole": "$end",
    "turbomole-gradient": "$end",
    "runnerdata": "end",
    "qbox": ":simulation>",
    "xsd": "</XSD>",
    "xtd": "</XSD>",
}
"""How the last line of a file ends."""


def examine(path: Path, form: str) -> End:
    """Checks that a file ends as its format does: by its last line, and with a frame as long as that before.

    Args:
      path: the file.
      form: ASE's name of its format, or MDAnalysis' suffix without the dot.

    Raises:
      DataError: names the frame and the line.
    """
    if promises.check(path, form):
        return End(None, True)
    if form in outputs.DONE:
        return End(None, True, *outputs.examine(path, form))
    if form in singles.EXAMINE:
        return End(None, *singles.EXAMINE[form](path))
    begin, last = BEGINS.get(form), LAST.get(form)
    if not (begin or last):
        return End(None, False)
    before, now, frames, rows, line, end = [], [], 0, 0, "", (0, "")
    kinds: Counter[str] = Counter()
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                end = number, line.strip()
            if begin is None:
                continue
            # Of a row that is cut what is left may look like a beginning.
            if line.endswith("\n") and (match := re.match(begin.line, line)):
                before, now, frames = now, [], frames + 1
                rows = 1 + int(match.groupdict().get("rows", -1))
            if frames:
                now.append((number, line.strip()))
    if frames:
        _compare(path, frames, before, now, rows, not line.endswith("\n"))
        kinds = Counter(m[1] for _, row in now if begin.label and (m := re.match(begin.label, row)))
        if len(set(kinds.values())) > 1:
            rows_of = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
            raise damaged(path, frames - 1, f"its rows are {rows_of}")
        if begin.close and begin.close not in (line for _, line in now):
            raise damaged(path, frames - 1, f"it has no {begin.close}")
    number, line = end
    if last and not line.casefold().endswith(last.casefold()):
        raise DataError(
            f"{path}: is cut short, its last line, {number}, is {line[:40]!r}, expected {last}; copy it again"
        )
    return End(frames if begin else None, bool(last or frames > 1 or len(kinds) > 1))


def refuse_repeated(path: Path, atoms: int) -> None:
    """Refuses a text file of which one frame is read where its lines are those of several.

    Their kinds repeat to the last: rows of as many words, as many of them with a point, and other lines, but
    those between two chains.

    Args:
      path: the file.
      atoms: of the frame; where the lines of each atom repeat (with its charge, its moment), it is one.

    Raises:
      DataError: says how many frames there seem to be.
    """
    kinds = []
    with opened(path) as file:
        for line in file:
            if "\0" in line:
                return
            if line.strip():
                row = 2 + len(line.split()) + 256 * line.count(".")
                kinds.append(chr(row % 0xD800 if _is_row(line) else line.startswith("TER")))
    text = "".join(kinds)
    period = (text + text).find(text, 1)
    count = len(text) // max(period, 1)
    if count not in (1, atoms) and len(set(text)) > 1 and "\0" in text:
        raise DataError(
            f"{path}: its lines repeat {count} times and one frame would be read; write its frames as .xyz"
        )


def unsure(path: Path, frames: int, atoms: int) -> str:
    """The note on a file whose end nothing tells."""
    return (
        f"{path.name} has neither a count nor an end by which a cut would be noticed; read were {frames} "
        f"frame(s) of {atoms} atoms"
    )


def other_count(path: Path, frames: int, found: int) -> DataError:
    """A library reads another number of frames than begin in the file."""
    return DataError(
        f"{path}: {frames} frames begin in it, {found} could be read; end its last line, or copy it again"
    )


def _compare(
    path: Path, frames: int, before: list[_Line], now: list[_Line], rows: int, cut: bool
) -> None:
    """Refuses a last frame that has other lines than the frame before it, or fewer rows than it promises."""
    for lines in (before, now):
        while lines and not lines[-1][1]:  # blank ones between frames
            lines.pop()
    expected = len(before) if frames > 1 else rows
    if len(now) < expected:
        raise damaged(path, frames - 1, f"{len(now)} of its {expected} lines are there")
    if frames == 1:
        return
    if len(now) > expected:
        raise damaged(path, frames, f"line {now[expected][0]} and what follows is no whole frame")
    number, last = now[-1]
    words, found = len(before[-1][1].split()), len(last.split())
    if cut and found < words:
        why = f"line {number} has {found} words and no end, {words} in the frame before"
        raise damaged(path, frames - 1, why)


def _is_row(line: str) -> bool:
    """Whether a line is one of numbers; words of a title are free."""
    return len(re.findall(r"(?<!\S)[-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?(?!\S)", line)) >= 3
