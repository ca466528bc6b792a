"""The topology of a system as MDAnalysis reads it: what it is opened as, what is selected, its bonds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.io import cause

PARTIAL_BONDS = (".pdb", ".ent", ".xpdb", ".pdbqt", ".cif", ".mmcif", ".mmtf")
"""Formats that list bonds of hetero atoms alone (CONECT), if any."""

FORMATS = {
    ".lammpstrj": "LAMMPSDUMP",
    ".lammpsdump": "LAMMPSDUMP",
    ".dump": "LAMMPSDUMP",
    ".h5": "H5MD",
    ".hdf5": "H5MD",
}
"""MDAnalysis' names of formats that it does not know by these suffixes."""


def known_to_mdanalysis(suffix: str) -> bool:
    """Whether MDAnalysis reads files of this suffix; yes where it is not installed: it is asked for then."""
    try:
        import MDAnalysis
    except ImportError:
        return True
    form = FORMATS.get(suffix, suffix[1:].upper())
    return form in MDAnalysis._PARSERS or form in MDAnalysis._READERS


def check_order(paths: list[Path]) -> None:
    """Refuses a trajectory where a topology is needed, and a topology behind it.

    Raises:
      DataError: says what to write.
    """
    import MDAnalysis

    def of(path: Path, kinds: Any) -> bool:
        suffix = format_suffix(path)
        return FORMATS.get(suffix, suffix[1:].upper()) in kinds

    first, *others = paths
    if of(first, MDAnalysis._PARSERS) or not of(first, MDAnalysis._READERS):
        return
    behind = next((p for p in others if of(p, MDAnalysis._PARSERS)), None)
    if behind is not None:
        order = ",".join(map(str, (behind, *(p for p in paths if p != behind))))
        raise DataError(f"{first}: holds no names of atoms, the topology goes first; write {order}")
    raise DataError(
        f"{first}: holds no names of atoms; write TOPOLOGY,{','.join(map(str, paths))} with the "
        f"topology that it was written with (.pdb, .gro, .psf, .prmtop, …)"
    )


def format_suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case, without one of compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] in ([".gz"], [".bz2"]):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_topology(topology: Path, form: str) -> Any:
    """MDAnalysis' universe of one file, whose format ``form`` names where the suffix does not."""
    import MDAnalysis

    form = form.upper() or FORMATS.get(format_suffix(topology))
    if form is None and topology.name.upper().startswith("HISTORY"):
        form = "HISTORY"
    try:
        return MDAnalysis.Universe(str(topology), to_guess=(), topology_format=form, format=form)
    except Exception as error:  # parsers raise errors of any kind
        if "isn't a valid topology format" in str(error):
            raise unknown_format(topology) from error
        raise unreadable(topology, "it", error) from error


def unreadable(path: Path, what: str, error: Exception) -> DataError:
    """What another library's error says, with the file and what to look at."""
    return DataError(
        f"{path}: MDAnalysis cannot read {what} ({cause(error)}); is it whole, and is its suffix "
        f"that of its format?"
    )


def unknown_format(path: Path) -> DataError:
    """What is read, and what to do with any other file."""
    return DataError(
        f"{path}: {path.suffix or 'no suffix'!r} is no format that is known here; name one by --read.format "
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
