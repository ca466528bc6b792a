"""Counts that text files begin with, against the rows that are there.

Libraries take the atoms that are there for all, or speak of a number that they cannot convert.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from estag_jax.data.system import DataError
from estag_jax.sources.files.text import opened, whole

Promise = tuple[str, Counter[str], Counter[str]]
"""Who promises, and how many of a kind are promised and found."""


def _data(file: TextIO) -> Iterator[Promise]:
    """Of a LAMMPS data file: rows of sections."""
    promised, found, section = Counter(), Counter(), ""
    for line in islice(file, 1, None):  # behind the title
        words = line.partition("#")[0].split()
        if not section and len(words) == 2 and (count := whole(words[0])) is not None:
            promised[words[1]] = count
        elif words and words[0].isalpha() and words[0][0].isupper():
            section = words[0].lower()
        elif words:
            found[section] += 1
    yield "its header", promised, found


def _psf(file: TextIO) -> Iterator[Promise]:
    """Of a PSF: rows of atoms, and pairs of numbers."""
    promised, found, kind = Counter(), Counter(), ""
    for line in file:
        if match := re.match(r"\s*(\d{1,18})\s+(?:\d+\s+)?!(\w+)", line):
            kind = {"NATOM": "atoms", "NBOND": "bonds"}.get(match[2].upper(), "")
            promised[kind] = int(match[1])
        else:
            found[kind] += len(line.split()) if kind == "bonds" else bool(line.strip())
    found["bonds"] //= 2
    yield "its header", promised, found


def _mol2(file: TextIO) -> Iterator[Promise]:
    """Of a .mol2: rows of each molecule's sections, by its third line."""
    what, promised, found, section, begin = "", Counter(), Counter(), "", 0
    for number, line in enumerate(file, 1):
        if line.startswith("@<TRIPOS>"):
            section, begin = f"{line[9:].strip().lower()}s", number
        if section == "molecules" and number == begin:
            yield what, promised, found
            what, promised, found = f"the molecule in line {number}", Counter(), Counter()
        elif section == "molecules" and number == begin + 2:
            counts = [count for word in line.split()[:2] if (count := whole(word)) is not None]
            promised.update(dict(zip(("atoms", "bonds"), counts, strict=False)))
        elif number > begin:
            found[section] += bool(line.partition("#")[0].strip())
    yield what, promised, found


def _inpcrd(file: TextIO) -> Iterator[Promise]:
    """Of an AMBER restart: numbers of 12 letters, three an atom; velocities and a box may follow."""
    words = [line.split() for line in islice(file, 2)][1:]
    if words and words[0] and (count := whole(words[0][0])) is not None:
        atoms = sum(len(line.rstrip()) // 12 for line in file) // 3
        yield "its second line", Counter(atoms=count), Counter(atoms=min(atoms, count))


def _crd(file: TextIO) -> Iterator[Promise]:
    """Of a CHARMM card: a title, marked by stars, a count, and rows that reach to z or further."""
    lines = (line.rstrip() for line in file if line.strip() and not line.lstrip().startswith("*"))
    head = next(lines, "0")
    if (count := whole(head.split()[0])) is not None:
        width = 100 if head.endswith("EXT") else 50
        found = sum(len(row) >= width for row in lines)
        yield "its header", Counter(atoms=count), Counter(atoms=found)


def _con(file: TextIO) -> Iterator[Promise]:
    """Of EON's .con: nine lines, the eighth with the atoms of each kind; two lines before those of a kind."""
    lines = enumerate(file, 1)
    while (head := list(islice(lines, 9))) and any(line.strip() for _, line in head):
        what, words = f"the frame in line {head[0][0]}", head[7][1].split() if len(head) > 8 else []
        counts = [count for word in words if (count := whole(word)) is not None]
        found = sum(max(len(list(islice(lines, 2 + count))) - 2, 0) for count in counts)
        yield what, Counter(atoms=sum(counts) or 1), Counter(atoms=found)


PROMISES: dict[str, Callable[[TextIO], Iterator[Promise]]] = {
    "data": _data,
    "psf": _psf,
    "mol2": _mol2,
    "inpcrd": _inpcrd,
    "restrt": _inpcrd,
    "crd": _crd,
    "eon": _con,
}
"""What counts what a file promises and what is there, by MDAnalysis' name of the format."""


def check(path: Path, form: str) -> bool:
    """Whether a format says how many rows there are; another number of atoms, bonds, … is refused.

    Args:
      path: the file.
      form: MDAnalysis' name of its format, in small letters.

    Raises:
      DataError: names what promises, and both numbers.
    """
    if form not in PROMISES:
        return False
    with opened(path) as file:
        for what, promised, found in PROMISES[form](file):
            for kind in ("atoms", "bonds", "angles", "dihedrals", "impropers"):
                if promised.get(kind, found[kind]) != found[kind]:
                    raise DataError(
                        f"{path}: {what} promises {promised[kind]} {kind}, {found[kind]} are there; copy "
                        f"it again"
                    )
    return True
