"""XYZ and extended XYZ: every line belongs to a frame, columns in any order, words that are no elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers as number_of
from ase.geometry import cellpar_to_cell
from ase.io.extxyz import key_val_str_to_dict

from estag_jax.data.system import DataError
from estag_jax.data.transform import LENGTHS
from estag_jax.sources.files.text import opened, whole

CP2K = re.compile(r"\s*i\s*=\s*\d+,\s*time\s*=\s*([-+.\dEe]+)")
"""How CP2K begins a comment; the time is in fs."""

IPI = re.compile(r"#\s*CELL\(abcH\):\s*((?:[-+.\deE]+\s+){6})")
"""How i-PI begins a comment: lengths and angles of the box. Behind it are names of what it writes{unit}."""

IPI_UNITS = {"angstrom": "Å", "atomic_unit": "bohr", "bohr": "bohr", "nanometer": "nm"}

TIME = re.compile(r"\b(?:time|t)\s*[=:]\s*([-+.\dEe]+)\s*(fs|ps|ns)\b", re.IGNORECASE)
"""A time with its unit in a comment, as ORCA and GROMACS write it."""

NUMBERS = number_of | {"D": 1, "T": 1}
"""Atomic numbers by symbol, with those of the isotopes of hydrogen that have one of their own."""

AMBIGUOUS = {"CA": "carbon", "CD": "carbon", "CE": "carbon", "HG": "hydrogen", "HE": "hydrogen"}
AMBIGUOUS |= {"HO": "hydrogen", "NE": "nitrogen", "OS": "oxygen", "NB": "nitrogen", "CS": "carbon"}
"""Names of atoms in proteins that are symbols of other elements."""


class Frame(NamedTuple):
    """One frame of a file.

    Args:
      atoms: positions, cell, and what the comment says as ``info``; elements X where there are none.
      words: what stands for the element of each atom [N].
    """

    atoms: Atoms
    words: tuple[str, ...]


def read_xyz(path: Path) -> Iterator[Frame]:
    """The frames of a file: a number of atoms, a comment, a line for each atom; blank lines between.

    Raises:
      DataError: names the frame and the line that is no part of one.
    """
    with opened(path) as file:
        lines = enumerate(file, 1)
        for k, (number, line) in enumerate((n, text) for n, text in lines if text.strip()):
            where = f"{path}: frame {k} (counted from 0), line {number}"
            if (count := whole(line)) is None:
                other = (
                    "(Tinker's is --read.format txyz)"
                    if whole(line.split()[0]) is not None
                    else "(extxyz)"
                )
                raise DataError(
                    f"{where}: is {line.strip()[:40]!r}, expected the number of atoms of a frame; delete "
                    f"what is no frame {other}"
                )
            _, comment = next(lines, (0, ""))
            texts = [text for _, (_, text) in zip(range(count), lines, strict=False)]
            rows = [text.split() for text in texts]
            info = _info(where, comment)
            symbol, place, width = _columns(where, info)
            try:
                if len(rows) < count:
                    raise ValueError(f"{len(rows)} of {count} atoms are there")
                if short := [i for i, row in enumerate(rows) if len(row) < width]:
                    line, text = number + 2 + short[0], texts[short[0]].strip()[:40]
                    more = f"{width} columns, as Properties says"
                    wanted = more if width > 4 else "an element and 3 numbers"
                    raise ValueError(f"line {line} is {text!r}, expected {wanted}")
                points = np.array([row[place : place + 3] for row in rows], np.float64)
                words = tuple(row[symbol] for row in rows)
            except ValueError as error:
                remedy = f", or save its {k} whole frames to a new file" if k else ""
                raise DataError(
                    f"{where}: is not a whole frame of extxyz ({error}); copy it again{remedy}"
                ) from None
            cell = info.pop("Lattice", None)
            pbc = info.pop("pbc", cell is not None)
            if cell is not None:
                cell = (
                    np.asarray(cell, float).reshape(3, 3).T if np.size(cell) == 9 else np.diag(cell)
                )
            atoms = Atoms(np.zeros(count, int), points, cell=cell, pbc=pbc)
            atoms.info = info
            yield Frame(atoms, words)


def elements(path: Path, words: tuple[str, ...]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Atomic numbers [N] of what stands for the elements, or None for plain nodes; and a note.

    Symbols are taken in any case, names by their letters (C1, O_2), numbers as atomic numbers unless
    they are 1 to k, which are types. X is no element; where all are X, the nodes are plain.

    Raises:
      DataError: some are X.
    """
    if all(word.upper() == "X" for word in words):
        return None, ()
    numbers = [NUMBERS.get(word.capitalize()) for word in words]
    if None not in numbers:
        if 0 in numbers:
            i = numbers.index(0)
            raise DataError(
                f"{path}: the element of atom {i} is not known (X); leave dummy atoms out"
            )
        names = sorted({word for word in words if word in AMBIGUOUS})
        notes = tuple(
            f"{name} in {path.name} is read as the element {name.capitalize()}; write {name[0]} if it is a "
            f"{AMBIGUOUS[name]}"
            for name in names
        )
        return np.array(numbers), notes
    counts = [whole(word) for word in words]
    if None not in counts:
        values, kinds = np.array(counts), len(set(counts))
        if values.min() < 1 or values.max() > 118 or values.max() == kinds:
            note = f"the numbers in {path.name} are taken for types, and the nodes for plain ones"
            return None, (f"{note}; write the symbols of elements if they are atoms",)
        return values, (f"the numbers in {path.name} are taken for atomic numbers",)
    named = [_by_name(word) for word in words]
    if all(named):
        kinds = ", ".join(sorted({w for w, n in zip(words, numbers, strict=True) if n is None})[:4])
        return np.array(named), (f"elements are taken from the names in {path.name} ({kinds}, …)",)
    i = named.index(None) if None in named else 0
    note = f"{words[i]!r} of node {i} in {path.name} is no element: the nodes are plain, with these names"
    return None, (f"{note}; write the symbols of elements if they are atoms",)


def _by_name(word: str) -> int | None:
    """The element of a name such as C1, Cl2 or CL2; not of CA1 or HG1, which may be carbon and hydrogen."""
    match = re.fullmatch(r"([A-Za-z]{1,2})([\d_+*'-].*)?", word)
    if match is None:
        return None
    letters = match[1]
    if match[2] and len(letters) == 2 and letters.isupper() and letters not in ("CL", "BR", "SI"):
        return None
    return NUMBERS.get(letters.capitalize())


def _info(where: str, comment: str) -> dict[str, Any]:
    """What a comment says by key; a comment that is not made of keys says nothing."""
    if match := CP2K.match(comment):
        return {"time_fs": match[1]}
    try:
        info = key_val_str_to_dict(comment) if "=" in comment else {}
    except Exception:  # any text may stand there
        info = {}
    if match := IPI.match(comment):
        info = _ipi(where, match[1], comment)
    if match := TIME.search(comment):
        info[f"time_{match[2].lower()}"] = match[1]
    if "Lattice" in comment and np.size(info.get("Lattice")) not in (3, 9):
        raise DataError(f"{where}: its Lattice is not understood, expected 9 numbers in quotes")
    return info


def _ipi(where: str, box: str, comment: str) -> dict[str, Any]:
    """What a comment of i-PI says; without units all are atomic ones."""
    units = dict(re.findall(r"(\w+)\{(\w*)\}", comment))
    cell, (what, unit) = (
        units.pop("cell", "atomic_unit"),
        next(iter(units.items()), ("", "atomic_unit")),
    )
    if what not in ("", "positions", "x_centroid"):
        raise DataError(f"{where}: holds {what}; give the file of positions")
    if unknown := {unit, cell} - set(IPI_UNITS):
        raise DataError(
            f"{where}: the unit {min(unknown)} is not read; write positions{{angstrom}}"
        )
    scale = LENGTHS[IPI_UNITS[cell]] / LENGTHS[IPI_UNITS[unit]]
    vectors = cellpar_to_cell(np.array(box.split(), float)) * ([scale] * 3)
    return {"Lattice": vectors.T.ravel(), "length_unit": IPI_UNITS[unit]}


def is_xyz(path: Path) -> bool:
    """Whether the text of a file, whatever its suffix, begins as that of an XYZ file."""
    try:
        return next(read_xyz(path), None) is not None
    except DataError:
        return False


def _columns(where: str, info: dict[str, Any]) -> tuple[int, int, int]:
    """The columns of the symbol and of the first coordinate, and how many there are, by Properties."""
    names, at = {}, 0
    parts = str(info.pop("Properties", "species:S:1:pos:R:3")).split(":")
    for name, _, width in zip(*(parts[i::3] for i in range(3)), strict=False):
        names[name] = at
        if name == "pos" and width != "3":
            raise DataError(f"{where}: Properties gives pos {width[:20]} columns, expected 3")
        at += whole(width) or 1
    symbol = next((names[key] for key in ("species", "Z", "element") if key in names), None)
    if symbol is None or "pos" not in names:
        raise DataError(
            f"{where}: Properties names {', '.join(names)}, expected species and pos among them"
        )
    return symbol, names["pos"], at
