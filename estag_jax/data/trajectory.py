"""Frames of one system: what a source returns and a task is made of."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from ase.data import chemical_symbols

from estag_jax.data.settings import Suggested
from estag_jax.data.system import DataError, System, checked_vectors
from estag_jax.io import printable

BLOCK = 10_000
"""Frames that are copied at once where all would be a second trajectory."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one system, possibly of several independent runs of it.

    Args:
      system: the nodes.
      positions: coordinates [frames, N, C, 3], float32 or float64, in the system's length unit; the
        runs one after another.
      frame_step: time between frames in ``time_unit``.
      time_unit: "fs", "ps", "s", or "frame" where the time is not known.
      lengths: frames of each independent run; they add up to ``frames``. Windows never bridge two.
      run_names: a name for each run, or nothing.
      missing: [frames] bool, True where the frame is not known (its positions are NaN), or None.
        No window uses such a frame.
      published: the published split of this data, if its rule is not the random one of MD17: trials,
        or "time" for consecutive parts.
      suggested: windows and splits that suit the source.
      source: what it was read from, for messages.
      provenance: how it came about.
      licence: of the data.
      notes: what was left out, unwrapped, centred or assumed.
      vectors: external vectors that change from frame to frame, by name, each [frames, 3] float64; those
        that do not are the system's. A window has their values in its last past frame.
    """

    system: System
    positions: np.ndarray
    frame_step: float = 1.0
    time_unit: str = "frame"
    lengths: tuple[int, ...] = ()
    run_names: tuple[str, ...] = ()
    missing: np.ndarray | None = None
    published: PublishedTrials | Literal["time"] | None = None
    suggested: Suggested = Suggested()
    source: str = "the trajectory"
    provenance: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    vectors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("source", "provenance", "licence"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        for name in ("run_names", "notes"):
            object.__setattr__(self, name, tuple(map(printable, getattr(self, name))))
        _check_shape(self.source, self.positions)
        expected = self.system.num_nodes, self.system.channels
        if self.positions.shape[1:3] != expected:
            raise DataError(
                f"{self.source}: positions have {self.positions.shape[1]} nodes of "
                f"{self.positions.shape[2]} channel(s), the system has {expected[0]} of {expected[1]}"
            )
        if not self.lengths:
            object.__setattr__(self, "lengths", (self.num_frames,))
        runs = len(self.lengths)
        if sum(self.lengths) != self.num_frames:
            shown = self.lengths if runs < 9 else f"of {runs} runs"
            raise DataError(
                f"{self.source}: lengths {shown} do not add up to {self.num_frames} frames"
            )
        for name, values, wanted in (
            ("missing", self.missing, self.num_frames),
            ("run_names", self.run_names or None, len(self.lengths)),
        ):
            if values is not None and len(values) != wanted:
                count = f"{name} has {len(values)} entries"
                raise DataError(f"{self.source}: {count}, expected {wanted}")
        if not 0 < self.frame_step < np.inf:
            raise DataError(
                f"{self.source}: the time step is {self.frame_step}, it must be positive"
            )
        try:
            vectors = checked_vectors(self.vectors, (self.num_frames, 3), self.known)
            if twice := sorted(vectors.keys() & self.system.vectors):
                raise DataError(f"vectors: {twice[0]} is both the system's and given by frame")
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from None
        object.__setattr__(self, "vectors", vectors)

    @classmethod
    def from_arrays(
        cls,
        positions: Any,
        *,
        atomic_numbers: Any = None,
        names: Sequence[str] | None = None,
        node_features: Any = None,
        vectors: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> Trajectory:
        """A trajectory of arrays in memory.

        Args:
          positions: [frames, N, 3] or [frames, N, C, 3]; float32 and float64 are kept, other numbers
            become float32.
          atomic_numbers: [N], or None where nodes are not atoms.
          names: N names; by default element symbols, or numbers.
          node_features: [N, F] invariant features besides the elements, or None.
          vectors: external vectors by name, [3] or, where they change, [frames, 3].
          **about: the other fields of System (length_unit, bonds, bond_orders, anchor,
            contact_distance) and of Trajectory (frame_step, time_unit, lengths, …).

        Returns:
          The trajectory; its system has no graph yet.

        Raises:
          DataError: shapes that do not match, or atomic numbers that are not 1 to 118.

        Example:
          >>> import numpy as np
          >>> trajectory = Trajectory.from_arrays(np.zeros((100, 3, 3)), atomic_numbers=[8, 1, 1])
          >>> trajectory.positions.shape, trajectory.system.names
          ((100, 3, 1, 3), ('O', 'H', 'H'))
        """
        positions = np.asarray(positions)
        if positions.dtype not in (np.float32, np.float64):
            positions = positions.astype(np.float32)
        if positions.ndim == 3:
            positions = positions[:, :, None]
        source = about.get("source", "the trajectory")
        _check_shape(source, positions)
        nodes, channels = positions.shape[1:3]
        if atomic_numbers is not None:
            atomic_numbers = np.asarray(atomic_numbers, np.int64)
            wrong = np.flatnonzero((atomic_numbers < 1) | (atomic_numbers > 118))
            if wrong.size:
                raise DataError(
                    f"{source}: atomic_numbers[{wrong[0]}] is {atomic_numbers[wrong[0]]}, expected 1 "
                    f"to 118"
                )
        names = _names(nodes, atomic_numbers) if names is None else tuple(names)
        if len(names) != nodes:
            raise DataError(f"{source}: names has {len(names)} entries, expected {nodes}")
        if node_features is not None:
            node_features = np.asarray(node_features, np.float32)
        names, of_system = tuple(printable(str(name)) for name in names), _of_system(about)
        try:
            system = System(names, atomic_numbers, node_features, channels, **of_system)
        except DataError as error:
            raise DataError(f"{source}: {error}") from None
        return cls(system, positions, **about).with_vectors(vectors or {})

    def __str__(self) -> str:
        runs = f" in {len(self.lengths)} runs" if len(self.lengths) > 1 else ""
        step = f"{self.frame_step:.6g} {self.time_unit}"
        return f"{self.source}: {self.num_frames} frames{runs}, {step} apart; {self.system}"

    def __repr__(self) -> str:
        return f"Trajectory({self})"

    @property
    def num_frames(self) -> int:
        return self.positions.shape[0]

    @property
    def runs(self) -> list[slice]:
        """The frames of each run."""
        ends = np.cumsum(self.lengths).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.lengths, strict=True)]

    @property
    def known(self) -> np.ndarray:
        """[frames] bool, False where the frame is missing."""
        return np.ones(self.num_frames, bool) if self.missing is None else ~self.missing

    @property
    def external(self) -> dict[str, np.ndarray]:
        """All external vectors by name: the system's [3] and those by frame [frames, 3]."""
        return {**self.system.vectors, **self.vectors}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a model sees, to tell whether a run saw this very data."""
        digest = hashlib.sha256()
        system, graph = self.system, self.system.graph
        parts = [self.positions, self.lengths, system.node_features]
        parts += [system.atomic_numbers, self.missing]
        if graph is not None:
            parts += [graph.receivers, graph.senders, graph.edge_features]
        for name, vector in sorted(self.external.items()):
            parts += [np.array(name.encode()), vector]
        for part in parts:
            if part is not None:
                part = np.atleast_1d(part)
                digest.update(f"{part.dtype}{part.shape}".encode())
                for k in range(0, len(part), BLOCK):  # a choice of nodes lies in another order
                    digest.update(np.ascontiguousarray(part[k : k + BLOCK]))
        return digest.hexdigest()

    def changed(self, **changes: Any) -> Trajectory:
        """The same with some fields replaced, those of the system too."""
        if of_system := _of_system(changes):
            changes["system"] = dataclasses.replace(self.system, **of_system)
        return dataclasses.replace(self, **changes)

    def with_vectors(self, vectors: Mapping[str, Any]) -> Trajectory:
        """The same with further external vectors: [3] for the system, [frames, 3] by frame.

        A vector that was there under the same name is replaced.

        Raises:
          DataError: see ``checked_vectors``.
        """
        if not vectors:
            return self
        system, by_frame = (
            {n: v for n, v in old.items() if n not in vectors}
            for old in (self.system.vectors, self.vectors)
        )
        for name, vector in vectors.items():
            (by_frame if np.ndim(vector) > 1 else system)[name] = vector
        try:
            of_system = dataclasses.replace(self.system, vectors=system)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from None
        return dataclasses.replace(self, system=of_system, vectors=by_frame)

    def vectors_at(self, frames: Any) -> dict[str, np.ndarray]:
        """External vectors by name: the system's as [1, 3], those by frame at some frames [W, 3]."""
        external = self.external.items()
        return {n: v[frames] if n in self.vectors else v[None] for n, v in external}

    def noted(self, note: str, **changes: Any) -> Trajectory:
        """:meth:`changed`, with a note that says so."""
        return self.changed(notes=(*self.notes, note), **changes)


def _check_shape(source: str, positions: np.ndarray) -> None:
    if positions.ndim != 4 or positions.shape[-1] != 3:
        raise DataError(
            f"{source}: positions have shape {positions.shape}, expected [frames, N, 3] or "
            f"[frames, N, C, 3]"
        )


def _of_system(fields: dict[str, Any]) -> dict[str, Any]:
    """Takes out of the fields those that are not the trajectory's own."""
    own = {field.name for field in dataclasses.fields(Trajectory)}
    return {name: fields.pop(name) for name in list(fields) if name not in own}


def _names(nodes: int, atomic_numbers: np.ndarray | None) -> tuple[str, ...]:
    if atomic_numbers is None:
        return tuple(map(str, range(nodes)))
    return tuple(chemical_symbols[number] for number in atomic_numbers)
