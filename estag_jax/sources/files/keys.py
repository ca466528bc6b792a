"""What collections and programs call the arrays of a trajectory: (r)MD17, MD22, sGDML, PhysNet, mdtraj."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.system import DataError
from estag_jax.data.transform import LENGTHS
from estag_jax.sources.files import run_keys

ALIASES = {
    "R": ("R", "coords", "coordinates"),
    "positions": ("positions", "pos", "xyz", "loc", "points", "joints", "arr_0", "forecast"),
    "z": ("z", "Z", "nuclear_charges", "atomic_numbers", "numbers", "species"),
    "length_unit": ("length_unit", "r_unit", "unit_length", "length_units", "units", "unit"),
    "cell": ("cell", "box", "lattice", "unitcell_vectors"),
    "time_unit": ("time_unit", "t_unit", "dt_unit", "time_units"),
}
"""By the name used here, those that are read for it; the first that is there is taken."""

TIME = re.compile(
    r"(dt|delta_?t|times?|t|time_?step|time_?interval|frame_?time|frame_?interval)"
    r"(?:_(fs|ps|ns|us|ms|s|frame))?",
    re.IGNORECASE,
)
"""Keys of a time step or of the times of the frames, with the unit."""

RATE = re.compile(r"fps|frame_?rate|frequency_hz|rate_hz", re.IGNORECASE)
"""Keys of a number of frames per second."""

_MEASURES = [
    *(key for name in ("length_unit", "time_unit") for key in ALIASES[name]),
    *(
        f"{key}_{unit}"
        for key in ("dt", "time", "timestep", "delta_t")
        for unit in ("fs", "ps", "ns", "s")
    ),
]
"""Keys that say what numbers mean."""

_NEAR = 0.86
"""Likeness from which a key is taken for one of them that is misspelt; e_unit and r_unit have 0.83."""

DATES = ("t", "time", "times")
"""Those of them that may hold a time for each frame."""

UNITS = {name.lower(): name for name in LENGTHS} | {
    "a": "Å",
    "ang": "Å",
    "angstrom": "Å",
    "ångström": "Å",
    "nanometer": "nm",
    "nanometre": "nm",
    "picometer": "pm",
    "picometre": "pm",
    "a0": "bohr",
    "au": "bohr",
    "a.u.": "bohr",
    "meter": "m",
    "metre": "m",
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
}
"""Units of length by their names in lower case, without the s of a plural."""

TIMES = {"femtosecond": "fs", "picosecond": "ps", "nanosecond": "ns", "second": "s", "sec": "s"}
"""Other words for units of time."""


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
    return names | {
        key: key
        for key in there
        if key not in names and any(p.fullmatch(key) for p in (TIME, RATE, run_keys.RUNS))
    }


def tells(key: str, value: np.ndarray) -> bool:
    """Whether the value of a key is what its name promises, where the name may mean something else."""
    if key in ("unit", "units"):  # of energies, too
        return value.size == 1 and length_unit(str(value.item())) in LENGTHS
    return not run_keys.RUNS.fullmatch(key) or run_keys.tells(value)


def nearest(there: Iterable[str]) -> str:
    """ ", is 'Pos' R or positions?" for the first key that is nearly one of those that are read, or ""."""
    known = {other: name for name, others in ALIASES.items() for other in others}
    for key in there:
        near = difflib.get_close_matches(key.lower(), [other.lower() for other in known], n=1)
        if near and key not in known and not TIME.fullmatch(key):
            name = next(name for other, name in known.items() if other.lower() == near[0])
            return f" (is {key!r} {name}? rename it)"
    return ""


def noted(path: Path, names: Mapping[str, str], there: Iterable[str]) -> list[str]:
    """Notes on keys of other names, and on those that are not read.

    Raises:
      DataError: one of these is nearly the key of a unit or a time, without which numbers would be wrong.
    """
    others = [f"{key} as {name}" for key, name in names.items() if key != name]
    unread = sorted(set(there) - set(names))
    for key in unread:
        near = difflib.get_close_matches(key.lower(), _MEASURES, n=1, cutoff=_NEAR)
        if near and key.lower() not in _MEASURES:
            raise DataError(
                f"{path}: key {key} is not read; rename it if it is {near[0]}, else leave it out"
            )
    notes = [f"keys of {path.name} that are read: {', '.join(others)}"] if others else []
    return notes + ([f"keys that are not read: {', '.join(unread)}"] if unread else [])


def time_key(path: Path, arrays: Mapping[str, np.ndarray], given: bool) -> tuple[str, str]:
    """The key that tells the time and its unit, or nothing; a key without a unit needs one, or the option.

    Raises:
      DataError: the unit is not there and the user gives no step.
    """
    matches = {key: match[2] for key in arrays if (match := TIME.fullmatch(key))}
    for key, unit in matches.items():
        if unit:
            return key, unit.lower()
    for key in matches:
        if "time_unit" in arrays and arrays["time_unit"].size == 1:
            return key, time_unit(str(arrays["time_unit"].item()))
        if not given:
            raise DataError(
                f"{path}: key {key} has no unit of time; call it {key}_fs or {key}_ps, or give the step "
                f"(--read.frame-step 0.5fs)"
            )
    return "", "fs"


def rate_key(arrays: Iterable[str]) -> str:
    """The key that tells the frames per second, or nothing."""
    return next((key for key in arrays if RATE.fullmatch(key)), "")


def time_unit(word: str) -> str:
    """A unit of time by any of its names; one that is not known stays, as a unit of the user's."""
    plain = word.strip().lower()
    return TIMES.get(plain.removesuffix("s"), plain if plain in TIME_UNITS else word)


def length_unit(word: str) -> str:
    """A unit of length by any of its names; one that is not known stays, as a unit of the user's."""
    plain = unicodedata.normalize("NFC", word).strip().lower()
    return UNITS.get(plain) or UNITS.get(plain.removesuffix("s")) or word


def atomic_numbers(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """Atomic numbers int64 [N] of the key z, which may hold symbols, or None if the file has none.

    Raises:
      DataError: they are none, or not those of one system.
    """
    if "z" not in arrays:
        return None
    numbers = arrays["z"]
    if numbers.dtype.kind in "SU":
        numbers = _of_symbols(path, numbers.astype(str))
    if numbers.dtype.kind not in "iu":
        raise DataError(f"{path}: z holds {numbers.dtype}, expected integers (atomic numbers)")
    if numbers.ndim == 2 and len(numbers) and (numbers == numbers[0]).all():
        numbers = numbers[0]  # the same in every frame, as PhysNet has it
    if numbers.ndim != 1:
        raise DataError(
            f"{path}: z has shape {list(numbers.shape)}, expected [atoms]; all frames must be of one system"
        )
    wrong = np.flatnonzero((numbers < 1) | (numbers > 118))
    if wrong.size:
        raise DataError(
            f"{path}: z of atom {wrong[0]} is {numbers[wrong[0]]}, expected an atomic number "
            f"from 1 to 118"
        )
    return numbers.astype(np.int64)


def _of_symbols(path: Path, symbols: np.ndarray) -> np.ndarray:
    from ase.data import atomic_numbers as number_of  # takes long, and few files have symbols

    kinds, which = np.unique(symbols, return_inverse=True)
    if odd := [str(kind) for kind in kinds if not number_of.get(kind.strip().capitalize())]:
        raise DataError(
            f"{path}: z holds {odd[0]!r}, which is no element; expected atomic numbers or symbols"
        )
    numbers = [number_of[kind.strip().capitalize()] for kind in kinds]
    return np.array(numbers)[which].reshape(symbols.shape)
