"""Nodes out of an MDAnalysis group of atoms: single atoms, or residues with their four backbone atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers as number_of

from estag_jax.data.edges import inside
from estag_jax.data.system import DataError

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
    notes = []
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
    notes = []
    universe = group.universe
    if not hasattr(group, "elements") or not all(group.elements):
        universe.guess_TopologyAttrs(context="default", to_guess=["elements"])
        notes.append("elements guessed by MDAnalysis from the names of atoms")
    symbols = [str(symbol).capitalize() for symbol in group.elements]
    for atom, symbol in zip(group, symbols, strict=True):
        if not number_of.get(symbol):  # "X", a dummy, has the number 0
            name = getattr(atom, "name", "without a name")
            raise DataError(
                f"{source}: the element of atom {atom.index} ({name}) is {symbol!r}, which is none; "
                f"add it to the topology, or leave the atom out (--read.select)"
            )
    numbers = np.array([number_of[symbol] for symbol in symbols])
    fields = {"names": _atom_names(group, symbols), "atomic_numbers": numbers}
    if bonds is not None:
        pairs, kept = inside(bonds, group.indices, len(universe.atoms))
        if len(pairs):  # a selection without any bond (CA atoms) has none to tell of
            fields["bonds"] = pairs
            if orders and all(order in ORDERS for order in orders):
                known = np.array([ORDERS[order] for order in orders], np.float32)
                fields["bond_orders"] = known[kept]
    return group.indices[:, None], fields, notes


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
