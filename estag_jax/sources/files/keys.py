"""What collections and programs call the arrays of a trajectory: (r)MD17, MD22, sGDML, PhysNet, mdtraj."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from estag_jax.data.system import DataError
from estag_jax.data.transform import LENGTHS
from estag_jax.io import did_you_mean

ALIASES = {
    "R": ("R", "coords", "coordinates"),
    "positions": ("positions", "pos", "xyz"),
    "z": ("z", "Z", "nuclear_charges", "atomic_numbers", "numbers", "species"),
    "length_unit": ("length_unit", "r_unit", "unit_length", "length_units"),
}
"""By the name used here, those that are read for it; the first that is there is taken."""

TIME = re.compile(r"(dt|time|times|t|timestep|time_step)(?:_(fs|ps|s))?")
"""Keys of a time step or of the times of the frames, with the unit."""

DATES = ("t", "time", "times")
"""Those of them that may hold a time for each frame."""

UNITS = {
    "ang": "Å",
    "angstrom": "Å",
    "angstroms": "Å",
    "a0": "bohr",
    "au": "bohr",
    "nanometer": "nm",
}
"""Other words for units of length."""


def renamed(path: Path, there: Collection[str], known: Iterable[str]) -> dict[str, str]:
    """The keys of a file that are read, each with the name that it has here.

    Raises:
      DataError: the frames are in no order in time, and the source that puts them back is another.
    """
    if "old_indices" in there:
        raise DataError(
            f"{path}: key old_indices says that the frames are shuffled (rMD17); write rmd17:NAME "
            f"--read.folder {path.parent}, which puts them back in order"
        )
    names = {key: key for key in known if key in there}
    for name, others in ALIASES.items():
        taken = {"R", "positions"} & set(names.values()) if name in ("R", "positions") else ()
        if (
            not taken
            and name not in names
            and (other := next((o for o in others if o in there), None))
        ):
            names[other] = name
    return names | {key: key for key in there if TIME.fullmatch(key)}


def nearest(there: Iterable[str]) -> str:
    """ ", is 'Pos' R or positions?" for the first key that is nearly one of those that are read, or ""."""
    known = {other: name for name, others in ALIASES.items() for other in others}
    for key in there:
        near = difflib.get_close_matches(key.lower(), [other.lower() for other in known], n=1)
        if near and key not in known:
            name = next(name for other, name in known.items() if other.lower() == near[0])
            return f" (is {key!r} {name}? rename it)"
    return ""


def noted(path: Path, names: Mapping[str, str]) -> list[str]:
    """A note on keys of other names."""
    others = [f"{key} as {name}" for key, name in names.items() if key != name]
    return [f"keys of {path.name} that are read: {', '.join(others)}"] if others else []


def time_key(path: Path, there: Iterable[str], given: bool) -> tuple[str, str]:
    """The key that tells the time and its unit, or nothing; a key without a unit needs the option.

    Raises:
      DataError: the unit is not there and the user gives no step.
    """
    matches = {key: match[2] for key in there if (match := TIME.fullmatch(key))}
    for key, unit in matches.items():
        if unit:
            return key, unit
    for key in matches:
        if not given:
            raise DataError(
                f"{path}: key {key} has no unit of time; call it {key}_fs or {key}_ps, or give the step "
                f"(--read.frame-step 0.5fs)"
            )
    return "", "fs"


def length_unit(path: Path | str, word: str) -> str:
    """A unit of length by any of its names; one that is not known stays, as a unit of the user's."""
    unit = UNITS.get(word.strip().lower(), word)
    near = did_you_mean(unit, LENGTHS)
    if unit not in LENGTHS and unit.lower() in {name.lower() for name in LENGTHS}:
        raise DataError(f"{path}: length_unit is {word!r}{near}")
    return unit
