"""Nodes out of an MDAnalysis group of atoms: single atoms, or residues with their four backbone atoms."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from ase.data import atomic_numbers as number_of

from estag_jax.data.edges import inside
from estag_jax.data.system import DataError
from estag_jax.sources.files.xyz import NUMBERS

BACKBONE = ("N", "CA", "C", "O")
"""The channels of a residue, in this order."""

CONTACT = 6.0
"""Å; residues whose CA atoms are this near are joined in the published graph."""

ORDERS = {"1": 1.0, "2": 2.0, "3": 3.0, "ar": 1.5, "am": 1.0}
"""Bond orders of MOL2 types; ar is aromatic, am the C-N bond of an amide."""


Nodes = tuple[np.ndarray, dict[str, Any], list[str]]
"""Indices of the atoms in the topology [N, C], fields of the Trajectory, and notes."""


def residue_nodes(source: str, group: Any) -> Nodes:
    """One node for each residue that has N, CA, C and O exactly once each.

    Args:
      source: for messages.
      group: MDAnalysis atoms.

    Returns:
      The nodes; their features are the four partial charges, or ones.

    Raises:
      DataError: there is no such residue.
    """
    if not hasattr(group, "names"):
        raise DataError(f"{source}: the topology has no atom names, residues need them; use atoms")
    check_locations(source, group)
    channel = {name: c for c, name in enumerate(BACKBONE)}
    backbone = group[[name in channel for name in group.names]]
    rows, incomplete = [], 0
    for atoms in backbone.split("residue") if len(backbone) else ():
        if sorted(atoms.names) == sorted(BACKBONE):
            rows.append(sorted(atoms, key=lambda atom: channel[atom.name]))
        elif len(atoms) > 1:  # ions named CA and the O of water are nobody's backbone
            incomplete += 1
    if not rows:
        raise DataError(
            f"{source}: none of the {len(group.residues)} residue(s) has the backbone atoms "
            f"{', '.join(BACKBONE)} once each; use nodes 'atoms' (--read.nodes atoms)"
        )
    notes = _gaps_in_chains(group)
    if incomplete:
        notes.append(
            f"{incomplete} residue(s) left out: not exactly one each of {', '.join(BACKBONE)}"
        )
    atoms = np.array([[atom.index for atom in row] for row in rows])
    universe = group.universe.atoms
    features = np.ones(atoms.shape)
    if hasattr(universe, "charges"):
        features = universe.charges[atoms]
    else:
        notes.append("the topology has no partial charges, the node features are ones")
    fields = {
        "names": _residue_names([row[0].residue for row in rows]),
        "node_features": features.astype(np.float32),
        "anchor": BACKBONE.index("CA"),
        "contact_distance": CONTACT,
    }
    return atoms, fields, notes


def atom_nodes(source: str, group: Any, bonds: np.ndarray | None, orders: list[str]) -> Nodes:
    """One node for each atom.

    Args:
      source: for messages.
      group: MDAnalysis atoms.
      bonds: pairs of indices into all atoms [bonds, 2], or None where they are not known.
      orders: of these bonds as MOL2 writes them, or nothing.

    Returns:
      The nodes; their feature is the atomic number.

    Raises:
      DataError: an element is not known.
    """
    check_locations(source, group)
    universe = group.universe
    numbers, notes = elements_of(group)
    if numbers is None:
        notes.append(
            f"{source} names no elements: the nodes are plain; for atoms, write a TOPOLOGY that has their "
            f"names or masses before it"
        )
        fields = {"names": _atom_names(group, _types(group))}
    else:
        symbols = [chemical_symbols[number] for number in numbers]
        unknown = np.flatnonzero(numbers == 0)  # "X", a dummy, too
        if unknown.size:
            atom = group[unknown[0]]
            name = getattr(atom, "name", "without a name")
            word = getattr(atom, "element", "") or getattr(atom, "type", "") or name
            raise DataError(
                f"{source}: the element of atom {atom.index} ({name}) is {str(word).capitalize()!r}, which "
                f"is none; add it to the topology, or leave the atom out (--read.select)"
            )
        fields = {"names": _atom_names(group, symbols), "atomic_numbers": numbers}
    notes += _gaps_in_chains(group)
    if bonds is not None:
        pairs, kept = inside(bonds, group.indices, len(universe.atoms))
        if len(pairs):  # a selection without any bond (CA atoms) has none to tell of
            fields["bonds"] = pairs
            if orders and all(order in ORDERS for order in orders):
                known = np.array([ORDERS[order] for order in orders], np.float32)
                fields["bond_orders"] = known[kept]
    return group.indices[:, None], fields, notes


def elements_of(group: Any) -> tuple[np.ndarray | None, list[str]]:
    """Atomic numbers [n], 0 where one is not known, or None where nothing tells any; and notes.

    They are those of the topology, or MDAnalysis guesses them from the names, or the masses tell them.
    """
    notes, universe = [], group.universe
    if not hasattr(group, "elements") or not all(group.elements):
        if hasattr(group, "names"):
            universe.guess_TopologyAttrs(context="default", to_guess=["elements"])
            # Ar is guessed to be of an element A.
            symbols = [
                name
                if element.capitalize() not in number_of and name.capitalize() in number_of
                else element
                for name, element in zip(group.names, group.elements, strict=True)
            ]
            group.elements = np.array(symbols, object)
            odd = {
                f"{name} as {element}"
                for name, element in zip(group.names, group.elements, strict=True)
                if element not in ("H", "C", "N", "O", "P", "S")
            }
            shown = f" ({', '.join(sorted(odd)[:6])}{', …' * (len(odd) > 6)})" if odd else ""
            notes.append(f"elements guessed by MDAnalysis from the names of atoms{shown}")
        elif (numbers := _by_mass(group)) is not None:
            return numbers, ["elements taken from the masses"]
        elif hasattr(group, "types") and all(str(t).capitalize() in number_of for t in group.types):
            return np.array([number_of[str(t).capitalize()] for t in group.types]), notes
        else:
            return None, notes
    symbols = [str(symbol).capitalize() for symbol in group.elements]
    numbers = np.array([NUMBERS.get(symbol, 0) for symbol in symbols])
    if not numbers.all() and hasattr(group, "types") and hasattr(group, "names"):
        # Beads, whose names are those of their types.
        if (group.names == group.types).all():
            return None, []
    return numbers, notes


def check_locations(source: str, group: Any) -> None:
    """Refuses atoms that are there at several alternate locations (altLoc of PDB).

    Raises:
      DataError: names one, and how to keep one location.
    """
    if not hasattr(group, "altLocs"):
        return
    seen: dict[tuple[int, str], str] = {}
    for atom in group[[bool(place) for place in group.altLocs]]:
        key = atom.resindex, atom.name
        if seen.setdefault(key, atom.altLoc) != atom.altLoc:
            places = sorted({place for place in group.altLocs if place})
            keep = " ".join(places[1:])
            raise DataError(
                f"{source}: {atom.resname}{atom.resid}-{atom.name} is there at the alternate locations "
                f"{', '.join(places)}; keep one of them (--read.select 'not altloc {keep}')"
            )


def _by_mass(group: Any) -> np.ndarray | None:
    """The elements whose masses those of the atoms are, to 1 % and 0.1; None for reduced units and beads."""
    masses = getattr(group, "masses", None)
    if masses is None or not len(masses) or (masses == 1.0).all():
        return None
    kinds, which = np.unique(masses, return_inverse=True)
    apart = np.abs(atomic_masses[None, 1:] - kinds[:, None])
    numbers = apart.argmin(axis=1) + 1
    if (apart.min(axis=1) > np.minimum(0.1, 0.01 * kinds)).any():
        return None
    return numbers[which]


def _types(group: Any) -> list[str]:
    return [str(kind) for kind in getattr(group, "types", range(len(group)))]


def _gaps_in_chains(group: Any) -> list[str]:
    """A note on residues that are not there between others of a protein."""
    if not hasattr(group, "names") or not hasattr(group.residues, "resids"):
        return []
    chain = group[group.names == "CA"].residues
    chain = [r for r in chain if "N" in r.atoms.names and "C" in r.atoms.names]
    for one, other in pairwise(chain):
        if one.segindex == other.segindex and other.resid > one.resid + 1:
            missing = f"{one.resid + 1} to {other.resid - 1}"
            return [
                f"residues {missing} are not there, between {one.resname}{one.resid} and its successor"
            ]
    return []


def _residue_names(residues: list) -> tuple[str, ...]:
    """ALA12, or A:ALA12 where there are several of the first kind."""
    short = [
        f"{getattr(r, 'resname', '')}{r.resid}{getattr(r, 'icode', '')}".strip() for r in residues
    ]
    if len(set(short)) == len(short):
        return tuple(short)
    return tuple(f"{r.segment.segid}:{name}" for r, name in zip(residues, short, strict=True))


def _atom_names(group: Any, symbols: list[str]) -> tuple[str, ...]:
    """ALA12-CB, or CB within one residue, or the element where atoms have no names."""
    names = group.names if hasattr(group, "names") else symbols
    if len(group.residues) == 1:
        return tuple(map(str, names))
    residues = dict(zip(group.residues.ix, _residue_names(list(group.residues)), strict=True))
    return tuple(f"{residues[i]}-{name}" for i, name in zip(group.resindices, names, strict=True))
