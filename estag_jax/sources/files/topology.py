"""The topology of a system as MDAnalysis reads it: what it is opened as, what is selected, its bonds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from estag_jax.data.system import DataError
from estag_jax.io import cause
from estag_jax.sources.files.text import UNPACK, compressed, opened
from estag_jax.sources.files.xyz import is_xyz

PARTIAL_BONDS = (".pdb", ".ent", ".xpdb", ".pdbqt", ".cif", ".mmcif", ".mmtf")
"""Formats that list bonds of hetero atoms alone (CONECT), if any."""

FORMATS = {
    ".lammpstrj": "LAMMPSDUMP",
    ".lammpsdump": "LAMMPSDUMP",
    ".dump": "LAMMPSDUMP",
    ".lmp": "DATA",
    ".lmpdat": "DATA",
    ".lammps": "DATA",
    ".his": "HISTORY",
    ".rst7": "INPCRD",
    ".ncrst": "INPCRD",
    ".cor": "CRD",
    ".netcdf": "NCDF",
    ".h5": "H5MD",
    ".hdf5": "H5MD",
}
"""MDAnalysis' names of formats that it does not know by these suffixes."""

NAMES = ("xdatcar", "outcar", "vasprun.xml", "history", "geometry.in")
"""Files that are called by their format, at least at the beginning of their name."""

_LAMMPS = ("data", "dump")
"""What LAMMPS users begin names with; not with these suffixes, however:"""
_OTHERS = (".npz", ".npy", ".xyz", ".extxyz", ".traj", ".db", ".json", ".cif", ".h5", ".hdf5")
_OTHERS = (
    *_OTHERS,
    ".csv",
    ".txt",
    ".mat",
    ".pkl",
    ".pickle",
    ".pckl",
    ".pt",
    ".pth",
    ".asf",
    ".bvh",
)

STYLES = {
    "atomic": "id type x y z",
    "charge": "id type charge x y z",
    "bond": "id resid type x y z",
    "angle": "id resid type x y z",
    "molecular": "id resid type x y z",
    "full": "id resid type charge x y z",
}
"""The columns of the Atoms of a LAMMPS data file, by its atom_style."""


def known_to_mdanalysis(suffix: str) -> bool:
    """Whether MDAnalysis reads files of this suffix; yes where it is not installed: it is asked for then."""
    try:
        import MDAnalysis
    except ImportError:
        return True
    form = mdanalysis_name(suffix)
    return form in MDAnalysis._PARSERS or form in MDAnalysis._READERS


def check_order(paths: list[Path], kinds: dict[Path, str]) -> None:
    """Refuses a trajectory where a topology is needed, and a topology behind it.

    Args:
      paths: as the user orders them.
      kinds: their suffixes, by ``kinds_of``.

    Raises:
      DataError: says what to write.
    """
    import MDAnalysis

    def of(path: Path, formats: Any) -> bool:
        return mdanalysis_name(kinds[path]) in formats

    first, *others = paths
    dump = (
        mdanalysis_name(kinds[first]) == "LAMMPSDUMP"
    )  # which tells types of atoms, and is a topology so far
    topologies = {name for name in MDAnalysis._PARSERS if not dump or name != "LAMMPSDUMP"}
    behind = next((p for p in others if of(p, topologies)), None)
    if of(first, topologies) or not of(first, MDAnalysis._READERS) or (dump and behind is None):
        return
    if behind is not None:
        order = ",".join(map(str, (behind, *(p for p in paths if p != behind))))
        raise DataError(f"{first}: holds no names of atoms, the topology goes first; write {order}")
    if is_xyz(first):
        raise DataError(
            f"{first}: its text is that of an XYZ file; name its format (--read.format xyz)"
        )
    raise DataError(
        f"{first}: holds no names of atoms; write TOPOLOGY,{','.join(map(str, paths))} with the "
        f"topology that it was written with (.pdb, .gro, .psf, .prmtop, …)"
    )


def format_suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case, without one of compression.

    Of files that are called by their format (XDATCAR, data.water) it is a dot and this name.
    """
    name, suffixes = path.name.lower(), [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in UNPACK:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if known := next((known for known in NAMES if name.startswith(known)), None):
        return f".{known}"
    first = name.partition(".")[0]
    if suffix and first in _LAMMPS and suffix not in _OTHERS and not known_to_mdanalysis(suffix):
        return f".{first}"
    return suffix


def kinds_of(paths: list[Path], form: str) -> dict[Path, str]:
    """The suffixes that tell the formats; ``form`` is that of a single file, and of those that have none.

    Raises:
      DataError: a suffix is not known, or the format is that of no file.
    """
    kinds = {path: format_suffix(path) for path in paths}
    unknown = [path for path, kind in kinds.items() if not known_to_mdanalysis(kind)]
    named = f".{form.lower().lstrip('.')}"
    if form and len(paths) > 1 and not unknown:
        raise DataError(
            f"read format has no effect on {paths[0]}: all suffixes are known; leave it out"
        )
    if unknown and not form:
        if len(paths) > 1 and guess(unknown[0]):
            raise DataError(
                f"{unknown[0]}: is read by itself; several files are a topology and trajectories in formats "
                f"of MDAnalysis; put runs of one system into one .npz, with a key lengths"
            )
        raise unknown_format(unknown[0])
    return kinds | dict.fromkeys(unknown if len(paths) > 1 else paths if form else (), named)


def open_topology(topology: Path, suffix: str, folder: Path) -> Any:
    """MDAnalysis' universe of one file, with the suffix of its format; the folder is for a part of it."""
    import MDAnalysis

    form, more, path = mdanalysis_name(suffix), {}, topology
    if form == "LAMMPSDUMP":
        path = _first_frame(topology, folder / "first.dump")
    if form == "DATA" and (style := _atom_style(topology)):
        more = {"atom_style": style}
    try:
        universe = MDAnalysis.Universe(
            str(path), to_guess=(), topology_format=form, format=form, **more
        )
    except Exception as error:  # parsers raise errors of any kind
        if "isn't a valid topology format" in str(error):
            raise unknown_format(topology) from error
        if "No id column" in str(error):
            why = "without id the order of atoms is not known; dump it with the other columns"
            raise DataError(f"{topology}: {why}") from error
        raise unreadable(topology, "it", error) from error
    if not len(universe.atoms):
        raise DataError(
            f"{topology}: holds no atoms; copy it again, or name its format (--read.format)"
        )
    return universe


def _first_frame(dump: Path, to: Path) -> Path:
    """Writes the first frame of a LAMMPS dump without items that MDAnalysis does not know."""
    frames = 0
    with opened(dump) as file, to.open("w", encoding="utf-8") as out:
        for line in file:
            if line.strip() in ("ITEM: UNITS", "ITEM: TIME"):
                next(file, "")
                continue
            frames += line.startswith("ITEM: TIMESTEP")
            if frames > 1:
                break
            out.write(line)
    return to


def mdanalysis_name(suffix: str) -> str:
    """MDAnalysis' name of a format."""
    return FORMATS.get(suffix, suffix[1:].upper())


def _atom_style(path: Path) -> str | None:
    """The columns of a LAMMPS data file: by the style beside Atoms, else by how many there are."""
    with opened(path) as file:
        line = next((text for text in file if text.strip().startswith("Atoms")), "")
        row = next((text for text in file if text.strip()), "").partition("#")[0].split()
    style = line.partition("#")[2].strip()
    if style or len(row) not in (5, 8):
        return STYLES.get(style)
    return STYLES["atomic"]


def guess(path: Path) -> str | None:
    """ASE's name of the format of a file, by its name and its first bytes."""
    try:
        found = filetype(str(path))
    except (UnknownFileTypeError, OSError, UnicodeDecodeError):
        return None
    return found if found in ioformats else None


OWN_NAMES = {
    "proteindatabank": "pdb",
    "gromacs": "gro",
    "xyz": "extxyz",
    "dlp-history": "history",
    "lammps-dump-text": "dump",
}
"""Our names of ASE's formats that are read here or by MDAnalysis, whichever name is given."""

_SHARED = (*OWN_NAMES, "extxyz", "cif", "cp2k-dcd", "dlp4")
"""ASE's names of formats that MDAnalysis has too."""


def unreadable(path: Path, what: str, error: Exception) -> DataError:
    """What another library's error says, with the file and what to look at."""
    binary = isinstance(error, TypeError | UnicodeError) or "codec can't decode" in str(error)
    if binary and (refused := compressed(path)):
        return refused
    other = guess(path)
    remedy = f", or is it ASE's format {other} (--read.format {other})"
    remedy = "" if other in (None, *_SHARED) else remedy
    return DataError(
        f"{path}: MDAnalysis cannot read {what} ({cause(error)}); is it whole, and is its suffix "
        f"that of its format{remedy}?"
    )


def unknown_format(path: Path) -> DataError:
    """What is read, and what to do with any other file."""
    if is_xyz(path):
        return DataError(
            f"{path}: its text is that of an XYZ file; name its format (--read.format xyz)"
        )
    return DataError(
        f"{path}: {path.suffix or 'no suffix'!r} is no format that is known here; name it by --read.format "
        f"(xyz, XDATCAR, pdb, …), or save positions [frames, N, 3] as .npz; read are .npz, .npy, "
        f".h5 (mdtraj), .asf with .amc, .bvh, what ASE reads (.xyz, .traj, XDATCAR, …) and what MDAnalysis "
        f"reads (.pdb, .gro, .psf, .prmtop, .data, …)"
    )


def selected(source: str, universe: Any, select: str) -> Any:
    """The selected atoms, in the order of the file."""
    try:
        group = universe.select_atoms(select or "all")
    except Exception as error:
        raise DataError(
            f"{source}: the selection {select!r} is not understood ({cause(error)}); examples are "
            f"'protein and not name H*', 'resid 1:20', 'name CA'"
        ) from error
    if len(group):
        return group
    present = []
    for key in ("resnames", "names"):
        if hasattr(universe.atoms, key):
            found = sorted(set(getattr(universe.atoms, key)))
            present.append(f"{key} {' '.join(found[:12])}{' …' if len(found) > 12 else ''}")
    raise DataError(
        f"{source}: the selection {select!r} holds none of the {len(universe.atoms)} atoms; there are "
        f"{'; '.join(present) or 'neither names nor residues'}"
    )


def bonds_of(topology: Path, universe: Any) -> tuple[np.ndarray | None, list[str], tuple[str, ...]]:
    """All bonds between atoms [bonds, 2] or None, their orders if MOL2 gives them, and notes."""
    if not hasattr(universe, "bonds") or not len(universe.bonds):
        return None, [], ()
    suffix = format_suffix(topology)
    if suffix in PARTIAL_BONDS:
        note = (
            f"the {len(universe.bonds)} bonds of {topology.name} were not used: this format lists "
            f"some of them alone"
        )
        return None, [], (note,)
    orders = [str(bond.order) for bond in universe.bonds] if suffix == ".mol2" else []
    return universe.bonds.indices.astype(np.int64), orders, ()
