"""Files of one frame whose rows nobody counts: each row is looked at, and what else tells of a missing one.

FHI-aims' geometry.in and v_sim's .ascii tell nothing more. Atoms of .pdb and .pqr have numbers that run on,
DL_POLY's CONFIG may have a count, and a .cif a formula.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from estag_jax.data.system import DataError
from estag_jax.sources.files.text import opened, whole

Told = tuple[bool, tuple[str, ...]]
"""Whether a cut would be noticed, and notes."""


class Serials:
    """The numbers of atoms in the order of a file, and where they skip some.

    A file whose numbers skip often was made of another by taking atoms out; where they skip once among many,
    a row may be missing.
    """

    few = 3
    """Jumps that are noted."""

    def __init__(self):
        self.last: int | None = None
        self.free, self.jumps = 0, []

    def add(self, word: str, number: int) -> None:
        """The number of an atom, and that of its line; others than whole numbers end the search."""
        now, last = whole(word), self.last
        if now is not None and last is not None and last < now and now - last > 1 + self.free:
            self.jumps.append((last, now, number))
        self.last, self.free = now, 0

    def end_chain(self) -> None:
        """A line TER, which may take a number or not."""
        self.free = 1

    def note(self, path: Path) -> tuple[str, ...]:
        """A note on the first jump."""
        if not 0 < len(self.jumps) <= self.few:
            return ()
        last, now, number = self.jumps[0]
        return (
            f"the numbers of atoms in {path.name} jump from {last} to {now} in line {number}: "
            f"are rows missing?",
        )


def wrong_row(path: Path, number: int, line: str, expected: str) -> DataError:
    """A row of an atom is cut or damaged."""
    return DataError(
        f"{path}: line {number} is {line.strip()[:60]!r}, expected {expected}; copy it again"
    )


def examine_pqr(path: Path) -> Told:
    """Rows of a .pqr: MDAnalysis counts its columns from the last, which a row that is cut has not.

    Raises:
      DataError: names the line.
    """
    serials, record = Serials(), ""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            record = words[0] if words else record
            if line.startswith("TER"):
                serials.end_chain()
            elif line.startswith(("ATOM", "HETATM")):
                if words and not is_number(words[-1]):
                    words.pop()  # GROMACS adds the element
                if not (
                    all(map(is_number, words[-5:])) and re.fullmatch(r"-?\d+\w?", words[-6:][0])
                ):
                    raise wrong_row(
                        path, number, line, "a residue's number, x y z, charge and radius"
                    )
                serials.add(words[1], number)
    return record in ("END", "TER"), serials.note(path)


def examine_config(path: Path) -> Told:
    """Rows of a CONFIG of DL_POLY: a name with a number or without, then x y z, velocity, force by levcfg.

    Where its second line has three numbers or five and more, the third is the number of atoms; of four it is
    that of a step.

    Raises:
      DataError: names the line, or both numbers of atoms.
    """
    with opened(path) as file:
        lines = [(k, line) for k, line in enumerate(file, 1)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    head = lines[1][1].split() if len(lines) > 1 else []
    level, periodic = (whole(word) for word in (*head[:2], "", "")[:2])
    if level is None or periodic is None or level > 2:
        number, line = lines[1] if len(lines) > 1 else (2, "")
        raise wrong_row(path, number, line, "levcfg (0, 1 or 2), imcon and the number of atoms")
    rows, found, numbers = lines[5 if periodic else 2 :], 0, []
    for number, line in lines[2 : 5 if periodic else 2]:
        _check_numbers(path, number, line)
    for k, (number, line) in enumerate(rows):
        if k % (2 + level):
            _check_numbers(path, number, line)
        elif not line.strip():
            raise wrong_row(path, number, line, "the name of an atom")
        else:
            found += 1
            numbers.append(whole(line[8:]))
    if len(rows) % (2 + level):
        raise wrong_row(path, *lines[-1], f"{1 + level} lines behind the name of the last atom")
    promised = whole(head[2]) if len(head) == 3 or len(head) > 4 else None
    if promised not in (None, 0, found):
        raise DataError(
            f"{path}: its second line promises {promised} atoms, {found} are there; copy it again"
        )
    notes = ()
    if None not in numbers and max(numbers, default=0) > found:
        notes = (
            f"the numbers of atoms in {path.name} go up to {max(numbers)}, {found} are there: "
            f"are rows missing?",
        )
    return bool(promised), notes


def examine_aims(path: Path) -> Told:
    """Rows of a geometry.in: atom or atom_frac, three numbers, a name; lattice_vector and three numbers.

    Raises:
      DataError: names the line.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            words = line.partition("#")[0].split() or [""]
            rows = {"atom": 5, "atom_frac": 5, "lattice_vector": 4}
            if (count := rows.get(words[0])) is None:
                continue
            if len(words) < count or not all(map(is_number, words[1:4])):
                what = f"{words[0]} x y z" + " and a name" * (count == 5)
                raise wrong_row(path, number, line, what)
    return False, ()


def examine_v_sim(path: Path) -> Told:
    """Rows of an .ascii of v_sim: a title, six numbers of the box in two lines, x y z and an element.

    Raises:
      DataError: names the line; ASE leaves out a row of fewer columns.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1 or not line.strip() or line.lstrip()[0] in "#!":
                continue
            words = line.split()
            short = len(words) < (3 if number <= 3 else 4)
            if short or not all(map(is_number, words[:3])):
                raise wrong_row(path, number, line, "x y z" + " and an element" * (number > 3))
    return False, ()


EXAMINE: dict[str, Callable[[Path], Told]] = {
    "pqr": examine_pqr,
    "config": examine_config,
    "dlp4": examine_config,
    "aims": examine_aims,
    "fhiaims": examine_aims,
    "v-sim": examine_v_sim,
}
"""By ASE's name of a format, or MDAnalysis' in small letters."""


def told_by_formula(path: Path, symbols: tuple[str, ...]) -> Told:
    """Compares the atoms of a .cif with the formula that it states.

    Args:
      path: the file.
      symbols: of the atoms in its cell.

    Returns:
      Whether they are whole formula units, as many as it states; and a note where they are not.
    """
    text = ""
    with opened(path) as file:
        for line in file:
            if line.lower().startswith(("_chemical_formula_sum", "_cell_formula_units_z")):
                text += line
    formula = re.search(r"(?im)^_chemical_formula_sum\s+['\"]?([\w. ]+)", text)
    units = re.search(r"(?im)^_cell_formula_units_z\s+(\d+)", text)
    stated = Counter()
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula[1] if formula else ""):
        stated[symbol] += float(count or 1)
    if not stated:
        return False, ()
    found = Counter("H" if symbol in "DT" else symbol for symbol in symbols)
    ratios = {found[symbol] / count for symbol, count in stated.items() if count}
    ratio = ratios.pop()
    if ratio >= 1 and ratio.is_integer() and not ratios and set(found) <= set(stated):
        if units is None or ratio == float(units[1]):
            return True, ()
    here = " ".join(f"{symbol}{count}" for symbol, count in sorted(found.items()))
    there = f"{formula[1].strip()}{f' {units[1]} times' if units else ''}"
    return False, (f"{path.name} states the formula {there}, read were {here}: are rows missing?",)


def is_number(word: str) -> bool:
    """Whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_numbers(path: Path, number: int, line: str) -> None:
    if len(line.split()) < 3 or not all(map(is_number, line.split()[:3])):
        raise wrong_row(path, number, line, "3 numbers")
