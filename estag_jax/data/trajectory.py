"""The one container for data: what a source returns and everything downstream reads."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from estag_jax.graph import Graph

if TYPE_CHECKING:
    from estag_jax.data.splits import SplitConfig
    from estag_jax.data.windows import WindowConfig


class DataError(ValueError):
    """Bad input data or a bad request for data; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class PublishedTrials:
    """A published split by trial: which runs train, validate and test, and how starts are drawn.

    Args:
      train: numbers of the training runs, in the order in which starts are drawn.
      validation: those of the validation runs.
      test: those of the test runs.
      each: starts drawn per run.
      below: starts lie in 0 … below - 1 of their run.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    each: int
    below: int


@dataclasses.dataclass(frozen=True)
class Suggested:
    """Windows and splits that suit a source.

    Args:
      window: the published windows, or what suits the source.
      split: without shared frames between its parts.
      paper_split: the published split.
    """

    window: WindowConfig = dataclasses.field(default_factory=lambda: _windows().WindowConfig())
    split: SplitConfig = dataclasses.field(default_factory=lambda: _splits().SplitConfig())
    paper_split: SplitConfig = dataclasses.field(
        default_factory=lambda: _splits().SplitConfig(kind="paper")
    )


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Frames of one system, possibly of several independent runs of it.

    A source fills in what it knows; ``sources.load`` adds the graph.

    Args:
      positions: coordinates [frames, N, C, 3], float32 or float64, in ``length_unit``; the runs one
        after another.
      node_features: invariant features [N, F], float32.
      names: N node names (element symbols, joint or residue names).
      frame_step: time between frames in ``time_unit``.
      time_unit: "fs", "ps", "s", or "frame" where the time is not known.
      length_unit: "Å", or the file's own.
      atomic_numbers: [N] integers, or None where nodes are not atoms.
      bonds: pairs of nodes [bonds, 2] that the source itself joins (bones, chemical bonds), or None
        where it does not say.
      bond_orders: [bonds] float32 (1, 1.5, 2, 3), or None.
      anchor: the channel that stands for a node (the CA atom of a residue).
      contact_distance: two nodes of a graph of contacts are at most this far apart (6 Å between
        residues), or None where bonds say more.
      lengths: frames of each independent run; they add up to ``frames``. Windows never bridge two.
      run_names: a name for each run, or nothing.
      missing: [frames] bool, True where the frame is not known (its positions are NaN), or None.
        No window uses such a frame.
      published: the published split of this data, if its rule is not the random one of MD17: trials,
        or "time" for 60/20/20 % in time.
      graph: the graph on the N nodes, or None before ``sources.load`` has built it.
      suggested: windows and splits that suit the source.
      source: what was read, for people (a path or a source name).
      provenance: how the data came to be, in one sentence.
      licence: under what terms it may be used.
      notes: what was done to the data on the way, one sentence each (unwrapped, centred, left out).
    """

    positions: np.ndarray
    node_features: np.ndarray
    names: tuple[str, ...]
    frame_step: float
    time_unit: str = "fs"
    length_unit: str = "Å"
    atomic_numbers: np.ndarray | None = None
    bonds: np.ndarray | None = None
    bond_orders: np.ndarray | None = None
    anchor: int = 0
    contact_distance: float | None = None
    lengths: tuple[int, ...] = ()
    run_names: tuple[str, ...] = ()
    missing: np.ndarray | None = None
    published: PublishedTrials | Literal["time"] | None = None
    graph: Graph | None = None
    suggested: Suggested = dataclasses.field(default_factory=Suggested)
    source: str = ""
    provenance: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.positions.ndim != 4 or self.positions.shape[-1] != 3:
            raise DataError(
                f"{self.source}: positions have shape {self.positions.shape}, expected [frames, N, C, 3]"
            )
        if not self.lengths:
            object.__setattr__(self, "lengths", (self.num_frames,))
        if sum(self.lengths) != self.num_frames:
            raise DataError(
                f"{self.source}: lengths {self.lengths} do not add up to {self.num_frames} frames"
            )
        if not 0 <= self.anchor < self.channels:
            raise DataError(
                f"{self.source}: anchor is {self.anchor}, nodes have {self.channels} channel(s)"
            )
        for name, count, expected in (
            ("node_features", len(self.node_features), self.num_nodes),
            ("names", len(self.names), self.num_nodes),
            ("atomic_numbers", _count(self.atomic_numbers, self.num_nodes), self.num_nodes),
            (
                "graph",
                self.graph.num_nodes if self.graph else self.num_nodes,
                self.num_nodes,
            ),
            ("missing", _count(self.missing, self.num_frames), self.num_frames),
            ("run_names", len(self.run_names or self.lengths), len(self.lengths)),
            ("bond_orders", _count(self.bond_orders, _count(self.bonds)), _count(self.bonds)),
        ):
            if count != expected:
                raise DataError(f"{self.source}: {name} has {count} entries, expected {expected}")
        if self.bonds is not None and self.bonds.size:
            low, high = self.bonds.min(), self.bonds.max()
            if low < 0 or high >= self.num_nodes:
                raise DataError(
                    f"{self.source}: bonds name node {low if low < 0 else high}, there are nodes 0 … "
                    f"{self.num_nodes - 1}"
                )
        if not 0 < self.frame_step < np.inf:
            raise DataError(
                f"{self.source}: the time step is {self.frame_step}, it must be positive"
            )

    @classmethod
    def from_arrays(cls, positions: np.ndarray, **about: Any) -> Trajectory:
        """A trajectory whose names and features, unless given, follow from its atomic numbers."""
        positions = positions[:, :, None] if positions.ndim == 3 else positions
        nodes, numbers = positions.shape[1], about.get("atomic_numbers")
        if numbers is None:
            names, features = map(str, range(nodes)), np.ones((nodes, 1))
        else:
            from ase.data import chemical_symbols

            names, features = (chemical_symbols[number] for number in numbers), numbers[:, None]
        derived = {"names": tuple(names), "node_features": features.astype(np.float32)}
        return cls(positions, **derived | about)

    @property
    def num_frames(self) -> int:
        return self.positions.shape[0]

    @property
    def num_nodes(self) -> int:
        return self.positions.shape[1]

    @property
    def channels(self) -> int:
        return self.positions.shape[2]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a model sees, to tell whether a run saw this very data."""
        digest = hashlib.sha256()
        parts = [self.positions, self.node_features, np.asarray(self.lengths)]
        parts += [self.graph.receivers, self.graph.senders]
        parts += [x for x in (self.graph.edge_features, self.missing) if x is not None]
        for part in parts:
            part = np.ascontiguousarray(part)
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(part)
        return digest.hexdigest()

    def noted(self, note: str, **changes: Any) -> Trajectory:
        """The same with some fields replaced, and a note that says so."""
        return dataclasses.replace(self, notes=(*self.notes, note), **changes)


def _windows() -> Any:
    from estag_jax.data import windows  # which imports this file

    return windows


def _splits() -> Any:
    from estag_jax.data import splits

    return splits


def _count(values: np.ndarray | None, otherwise: int = 0) -> int:
    return otherwise if values is None else len(values)
