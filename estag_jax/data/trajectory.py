"""The one container for data: what a source returns and everything downstream reads."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from estag_jax.types import Topology


class DataError(ValueError):
    """Bad input data or a bad request for data; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Frames of one system, possibly of several independent runs of it.

    Args:
      positions: coordinates [frames, N, C, 3], float32 or float64, in ``length_unit``; the runs one
        after another.
      node_features: invariant features [N, F], float32.
      names: N node names (element symbols, joint or residue names).
      topology: the graph on the N nodes.
      frame_step: time between frames in ``time_unit``.
      atomic_numbers: [N] integers, or None where nodes are not atoms.
      lengths: frames of each independent run; they add up to ``frames``. Windows never bridge two.
      source: what was read, for people (a path or a source name).
      provenance: how the data came to be, in one sentence.
      licence: under what terms it may be used.
    """

    positions: np.ndarray
    node_features: np.ndarray
    names: tuple[str, ...]
    topology: Topology
    frame_step: float
    time_unit: str = "fs"
    length_unit: str = "Å"
    atomic_numbers: np.ndarray | None = None
    lengths: tuple[int, ...] = ()
    source: str = ""
    provenance: str = ""
    licence: str = ""

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
        for name, count in (
            ("node_features", self.node_features.shape[0]),
            ("names", len(self.names)),
            ("topology", self.topology.num_nodes),
        ):
            if count != self.num_nodes:
                raise DataError(
                    f"{self.source}: {name} is for {count} nodes, positions have {self.num_nodes}"
                )
        if not self.frame_step > 0:
            raise DataError(
                f"{self.source}: the time step is {self.frame_step}, it must be positive"
            )

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
        parts += [self.topology.receivers, self.topology.senders]
        if self.topology.edge_features is not None:
            parts.append(self.topology.edge_features)
        for part in parts:
            part = np.ascontiguousarray(part)
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(part)
        return digest.hexdigest()
