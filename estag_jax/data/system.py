"""The nodes of a system, what is known of them, and their graph."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from estag_jax.config import Elements
from estag_jax.graph import Array, Graph

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
"""Atomic numbers with a column of their own in the one-hot features; all others share the last one."""


class DataError(ValueError):
    """Bad input data or a bad request for data; the message is one line for the user."""


def needed(module: str, who: str, install: str) -> Any:
    """A module of an optional package.

    Raises:
      DataError: it cannot be imported; says who needs it and what pip installs.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DataError(f"{who} needs {package}; pip install {install}") from error


def checked_vectors(vectors: Mapping[str, Any], shape: tuple[int, ...], known: Any = ...) -> dict:
    """External vectors as float64 arrays, by name.

    Args:
      vectors: arrays by name.
      shape: of each, [3] or [frames, 3].
      known: where they must be finite and have a direction; by default everywhere.

    Raises:
      DataError: a name is no identifier, or a vector has another shape, is not finite or zero.
    """
    found = {}
    for name, given in vectors.items():
        if not name.isidentifier():
            raise DataError(
                f"vectors: {name!r} is no name, write letters, digits and _ (up, field)"
            )
        found[name] = vector = np.asarray(given, np.float64)
        if vector.shape != shape:
            raise DataError(f"vectors: {name} has shape {vector.shape}, expected {shape}")
        size = np.linalg.norm(vector, axis=-1)
        wrong = np.atleast_1d(~((size > 0) & np.isfinite(size)))[known]
        if wrong.any():
            where = f" in {np.count_nonzero(wrong)} frame(s)" if vector.ndim > 1 else f" {vector}"
            raise DataError(f"vectors: {name} is zero or not finite{where}, it needs a direction")
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """The nodes of a system and the graph on them.

    Args:
      names: N node names (element symbols, joint or residue names).
      atomic_numbers: [N] integers, or None where nodes are not atoms.
      node_features: further invariant features [N, F], float32, F may be 0. Nodes without any are told
        apart by their neighbours alone.
      channels: C, points per node.
      length_unit: "Å", or the file's own.
      bonds: pairs of nodes [bonds, 2] that the source itself joins (bones, chemical bonds), or None
        where it does not say.
      bond_orders: [bonds] float32 (1, 1.5, 2, 3), or None.
      anchor: the channel that stands for a node (the CA atom of a residue).
      contact_distance: two nodes of a graph of contacts are at most this far apart (6 Å between
        residues), or None where bonds say more.
      graph: who sends messages to whom, G = 1; None before data.graphs has built it.
      hydrogens: how many hydrogen atoms that are no nodes each atom carries [N], or None where that is
        not known.
      vectors: external vectors that turn with the data, by name (up, field, heading), each [3] float64 and
        not zero. Lengths are kept, as that of a field may matter.
    """

    names: tuple[str, ...]
    atomic_numbers: Array | None = None
    node_features: Array | None = None
    channels: int = 1
    length_unit: str = "Å"
    bonds: Array | None = None
    bond_orders: Array | None = None
    anchor: int = 0
    contact_distance: float | None = None
    graph: Graph | None = None
    hydrogens: Array | None = None
    vectors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.node_features is None:
            # Without any knowledge of the nodes, all have the feature one.
            width = 1 if self.atomic_numbers is None else 0
            object.__setattr__(self, "node_features", np.ones((self.num_nodes, width), np.float32))
        if not 0 <= self.anchor < self.channels:
            raise DataError(f"anchor is {self.anchor}, nodes have {self.channels} channel(s)")
        bonds = 0 if self.bonds is None else len(self.bonds)
        for name, values, expected in (
            ("node_features", self.node_features, self.num_nodes),
            ("atomic_numbers", self.atomic_numbers, self.num_nodes),
            ("bond_orders", self.bond_orders, bonds),
            ("hydrogens", self.hydrogens, self.num_nodes),
            ("graph", self.graph and range(self.graph.num_nodes), self.num_nodes),
        ):
            if values is not None and len(values) != expected:
                raise DataError(f"{name} has {len(values)} entries, expected {expected}")
        if bonds:
            for end in (np.min(self.bonds), np.max(self.bonds)):
                if not 0 <= end < self.num_nodes:
                    there = f"there are nodes 0 … {self.num_nodes - 1}"
                    raise DataError(f"bonds name node {end}, {there}")
        object.__setattr__(self, "vectors", checked_vectors(self.vectors, (3,)))

    def __str__(self) -> str:
        channels = f" of {self.channels} channels" if self.channels > 1 else ""
        edges = "" if self.graph is None else f", {self.graph.num_edges} edges"
        return f"{self.num_nodes} nodes{channels} in {self.length_unit}{edges}"

    def __repr__(self) -> str:
        return f"System({self})"

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.names)

    def inputs(self, elements: Elements = "one-hot") -> Array:
        """The node features that a network reads [1, N, F].

        Args:
          elements: how atoms enter: one-hot by element (``ELEMENTS`` and one column for all others), or
            the atomic number as one float, as the released program has it.

        Raises:
          ValueError: another word for elements.
        """
        if elements not in ("one-hot", "number"):
            raise ValueError(f"elements is {elements!r}, expected one of one-hot, number")
        features = np.asarray(self.node_features, np.float32)
        if self.atomic_numbers is None:
            return features[None]
        columns = np.asarray(self.atomic_numbers)[:, None]
        if elements == "one-hot":
            known = columns == np.array(ELEMENTS)
            columns = np.concatenate([known, ~known.any(axis=1, keepdims=True)], axis=1)
        return np.concatenate([columns.astype(np.float32), features], axis=1)[None]

    def node_name(self, node: int) -> str:
        """A node for a message: "atom 3 (O)" or "node 3 (knee)", counted from 0."""
        kind = "node" if self.atomic_numbers is None else "atom"
        name = self.names[node]
        return f"{kind} {node}" if name == str(node) else f"{kind} {node} ({name})"
