"""Settings of windows, splits and graphs, apart from the code that uses them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from estag_jax.config import check

if TYPE_CHECKING:
    import numpy as np

TIME_UNITS = {
    "fs": 1e-15,
    "ps": 1e-12,
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "frame": None,
}
"""Units of time in seconds; frames are counted where the time is not known."""


@dataclasses.dataclass(frozen=True)
class WindowConfig:
    """The shape of a window.

    Args:
      past: T, the number of past frames.
      delta: Δ, trajectory steps from one frame of a window to the next.
      horizons: the frames to predict, in steps of Δ after the last past frame, increasing. With several,
        the first is 1 and the others are reached by feeding forecasts back.
      stride: trajectory steps from one possible start to the next; more than 1 thins windows that
        overlap almost wholly.

    Raises:
      ValueError: one of them is below 1, or the horizons are not as said.

    Example:
      >>> WindowConfig(past=3, delta=2, horizons=(1, 4)).offsets.tolist()
      [0, 2, 4, 6, 12]
    """

    past: int = 10
    delta: int = 10
    horizons: tuple[int, ...] = (1,)
    stride: int = 1

    def __post_init__(self):
        check(self, "window", past=1, delta=1, stride=1)
        steps = list(self.horizons)
        if not steps or steps != sorted(set(steps)) or steps[0] < 1:
            raise ValueError(
                f"window horizons are {self.horizons}, they must be increasing and at least 1"
            )
        if len(steps) > 1 and steps[0] != 1:
            raise ValueError(
                f"window horizons are {self.horizons}: of several, the first must be 1, since the "
                f"others are reached by feeding forecasts back"
            )

    @property
    def span(self) -> int:
        """Trajectory steps from the first history frame to the last target frame."""
        return (self.past - 1 + self.horizons[-1]) * self.delta

    @property
    def last(self) -> int:
        """Trajectory steps from the first history frame to the last."""
        return (self.past - 1) * self.delta

    @property
    def offsets(self) -> np.ndarray:
        """The frames of a window counted from its start, history and then targets: [T + P]."""
        import numpy as np  # which options do without

        ahead = self.past - 1 + np.array(self.horizons)
        return self.delta * np.append(np.arange(self.past), ahead)

    def __str__(self) -> str:
        ahead = "" if self.horizons == (1,) else f", horizons={list(self.horizons)}"
        return f"T={self.past}, Δ={self.delta}{ahead}"


SplitKind = Literal["blocked", "by-trajectory", "paper"]
Assign = Literal["shuffled", "alternating"]


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How windows are divided.

    Args:
      kind: "blocked", "by-trajectory" or "paper", see ``split``.
      train: windows wanted for training; fewer are taken where there are fewer.
      validation: the same for validation.
      test: the same for test.
      fractions: shares of train, validation and test: of each run's time (blocked) or of the runs
        (by-trajectory, shuffled).
      runs: how whole runs are given out (by-trajectory): shuffled by the seed, or alternating in
        their order: train, validation, train, test, and so on.
      each: the most windows drawn from one run (by-trajectory); None for no bound.
      below: starts lie below this frame of their run (by-trajectory); None for no bound.
      margin: frames left out at both ends (paper, its rule for MD17).
      seed: of the draw; the published one is 100.

    Raises:
      ValueError: a value is out of its range.
    """

    kind: SplitKind = "blocked"
    train: int = 500
    validation: int = 2000
    test: int = 2000
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    runs: Assign = "shuffled"
    each: int | None = None
    below: int | None = None
    margin: int = 10_000
    seed: int = 100

    def __post_init__(self):
        least = dict.fromkeys(("train", "validation", "test", "each", "below"), 1)
        only = dict.fromkeys(("each", "below"), ("by-trajectory",))
        check(self, "split", only=only, seed_bits=32, margin=0, **least)
        if len(self.fractions) != 3 or not all(share > 0 for share in self.fractions):
            raise ValueError(
                f"split fractions are {self.fractions}, expected three positive numbers"
            )
        if abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(
                f"split fractions {self.fractions} add up to {sum(self.fractions):.6g}, not 1"
            )


GraphKind = Literal["auto", "bonds", "covalent", "paper", "radius", "nearest", "full"]


@dataclasses.dataclass(frozen=True)
class GraphConfig:
    """Which pairs of nodes are edges.

    Args:
      kind: "bonds", the source's own bonds (bones), or covalent bonds by the elements' radii where
        it has none, and all pairs up to ``hops`` bonds apart; "covalent", by radii in any case;
        "paper", the same with bonds by distance in frame 0; "radius", all pairs within ``cutoff``
        in frame 0 (contacts); "nearest", the ``neighbours`` closest of each node in frame 0 and
        those that it is one of the closest of; "full", all pairs; "auto", bonds where they are
        known, contacts for residues, all pairs of a few nodes, the nearest of many.
      hops: the most bonds between the ends of an edge (bonds, covalent and paper).
      cutoff: a length in the trajectory's unit (radius and paper); None takes the source's
        distance of contact, or 1.6 Å for paper.
      neighbours: per node (nearest); None for 16.
      channel: the point of a node that stands for it when distances are measured; None takes the
        source's (CA of a residue).

    Raises:
      ValueError: a value is out of its range or would have no effect.
    """

    kind: GraphKind = "auto"
    hops: int = 2
    cutoff: float | None = None
    neighbours: int | None = None
    channel: int | None = None

    def __post_init__(self):
        only = {"cutoff": ("paper", "radius"), "neighbours": ("nearest",)}
        check(self, "graph", only=only, positive=("cutoff",), hops=1, channel=0, neighbours=1)


DEFAULT_GRAPH = GraphConfig()


@dataclasses.dataclass(frozen=True)
class Suggested:
    """Windows and splits that suit a source; what a task takes unless told otherwise.

    Args:
      window: the published windows, or what suits the source.
      split: without shared frames between its parts.
      paper_split: the published split.
    """

    window: WindowConfig = WindowConfig()
    split: SplitConfig = SplitConfig()
    paper_split: SplitConfig = SplitConfig(kind="paper")
