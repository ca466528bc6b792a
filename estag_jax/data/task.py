"""The problem: trajectories, the shape of a window, and which windows train, validate and test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from estag_jax.data import splits
from estag_jax.data.graphs import with_graph
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig, SplitConfig, WindowConfig
from estag_jax.data.splits import Split, overlap
from estag_jax.data.system import DataError, System
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import gather

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Windows(NamedTuple):
    """Some windows of one system.

    Args:
      which: number of the trajectory in the task.
      starts: first frame of each window [W].
      history: past frames [W, N, T, C, 3].
      target: frames to predict [W, P, N, C, 3], one for each horizon.
      vectors: external vectors by name, [1, 3] where they are the system's, [W, 3] where they change: those
        of the last past frame.
    """

    which: int
    starts: np.ndarray
    history: np.ndarray
    target: np.ndarray
    vectors: dict[str, np.ndarray]


def resolve(
    trajectories: Sequence[Trajectory],
    window: WindowConfig | None,
    split: SplitConfig | Literal["paper"] | None,
) -> tuple[WindowConfig, SplitConfig]:
    """Windows and split of a task: what was asked, else what suits the first trajectory's source.

    The one place where defaults meet data.

    Args:
      trajectories: each with what its source suggests.
      window: as asked, or None.
      split: as asked; "paper" is the source's published split; or None.
    """
    suggested = trajectories[0].suggested
    if split is None or split == "paper":
        split = suggested.paper_split if split else suggested.split
    return window or suggested.window, split


class Task:
    """Trajectories of one or more systems, cut into windows for training, validation and test.

    Windows are kept as starts; frames are copied only when a batch is gathered.

    Args:
      trajectories: one or several; those whose systems have no graph get one by ``graph``.
      window: the shape of a window; None takes what suits the source (T=10, Δ=10 where it says nothing).
      split: which windows train, validate and test: a SplitConfig, "paper" for the source's published
        split, the splits themselves (one for each trajectory), or None for what suits the source.
      graph: which nodes exchange messages.

    Raises:
      DataError: no trajectory, one without enough frames for the windows, or systems that differ in
        their channels, units, step, edge features or names of external vectors.

    Example:
      >>> from estag_jax import Trajectory
      >>> walk = np.random.default_rng(0).normal(size=(400, 3, 3)).cumsum(axis=0)
      >>> task = Task(Trajectory.from_arrays(walk), WindowConfig(past=4, delta=2))
      >>> next(task.windows("test", 5)).history.shape
      (5, 3, 4, 1, 3)
    """

    def __init__(
        self,
        trajectories: Trajectory | Sequence[Trajectory],
        window: WindowConfig | None = None,
        split: SplitConfig | Literal["paper"] | Sequence[Split] | None = None,
        graph: GraphConfig = DEFAULT_GRAPH,
    ):
        given = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
        if not given:
            raise DataError("a task needs at least one trajectory")
        given = [t if t.system.graph is not None else with_graph(t, graph) for t in given]
        _check_alike(given)
        self.trajectories = tuple(given)
        drawn = None if split is None or isinstance(split, SplitConfig | str) else tuple(split)
        if drawn is not None and len(drawn) != len(given):
            raise DataError(
                f"there are {len(drawn)} splits for {len(given)} trajectories, give one each"
            )
        self.window, self.split_config = resolve(given, window, None if drawn else split)
        self.splits = drawn or tuple(splits.split(t, self.window, self.split_config) for t in given)

    @classmethod
    def from_windows(
        cls,
        system: System | None = None,
        *,
        graph: GraphConfig = DEFAULT_GRAPH,
        vectors: Mapping[str, Mapping[Part, Any]] | None = None,
        **parts: Any,
    ) -> Task:
        """A task of windows that are already cut, for a data set of your own.

        Args:
          system: the nodes; None for plain nodes.
          graph: which nodes exchange messages, where the system has no graph.
          vectors: external vectors that change from window to window, by name and part [W, 3]; those that
            do not are the system's.
          **parts: ``train``, ``validation`` and ``test``, each a pair of arrays (history
            [W, N, T, C, 3] or [W, N, T, 3], target [W, N, C, 3] or [W, N, 3]), or any sequence of such
            pairs for single windows (an object with ``__len__`` and ``__getitem__``).

        Raises:
          DataError: a part is missing or empty, or shapes differ.
        """
        if set(parts) != set(PARTS):
            raise DataError(
                f"from_windows needs {', '.join(PARTS)}, got {', '.join(parts) or 'none'}"
            )
        pairs = {part: _stacked(part, parts[part]) for part in PARTS}
        shapes = {history.shape[1:] for history, _ in pairs.values()}
        if len(shapes) > 1:
            raise DataError(f"histories have different shapes {sorted(shapes)}")
        past = pairs["train"][0].shape[2]
        runs = [
            np.concatenate([np.moveaxis(history, 1, 2), target[:, None]], axis=1)
            for history, target in pairs.values()
        ]
        counts = [len(run) for run in runs]
        positions = np.concatenate(runs).reshape(-1, *runs[0].shape[2:])
        lengths = (past + 1,) * sum(counts)
        if system is None:
            trajectory = Trajectory.from_arrays(positions, lengths=lengths)
        else:
            trajectory = Trajectory(system, positions, lengths=lengths)
        by_frame = {
            name: np.repeat(np.concatenate([given[part] for part in PARTS]), past + 1, axis=0)
            for name, given in (vectors or {}).items()
        }
        trajectory = trajectory.with_vectors(by_frame)
        starts = np.split((past + 1) * np.arange(sum(counts)), np.cumsum(counts)[:-1])
        window = WindowConfig(past=past, delta=1)
        return cls(trajectory, window, [Split(*starts, kind="given")], graph)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(part)} {part}" for part in PARTS)
        return f"Task({', '.join(t.source for t in self.trajectories)}: {self.window}; {counts})"

    @property
    def systems(self) -> tuple[System, ...]:
        """The system of each trajectory."""
        return tuple(trajectory.system for trajectory in self.trajectories)

    @property
    def system(self) -> System:
        """The only system.

        Raises:
          DataError: there are several.
        """
        if len(self.trajectories) > 1:
            raise DataError(f"the task has {len(self.trajectories)} systems, not one")
        return self.trajectories[0].system

    @property
    def dtype(self) -> np.dtype:
        """Of the positions."""
        return self.trajectories[0].positions.dtype

    def count(self, part: Part) -> int:
        """How many windows a part has, over all trajectories."""
        return sum(len(getattr(s, part)) for s in self.splits)

    def windows(self, part: Part, at_once: int | None = None) -> Iterator[Windows]:
        """The windows of a part, system by system, in the order of their draw.

        Args:
          part: train, validation or test.
          at_once: the most windows in memory; None gathers all of a system.
        """
        for which, (trajectory, drawn) in enumerate(
            zip(self.trajectories, self.splits, strict=True)
        ):
            starts = getattr(drawn, part)
            for begin in range(0, len(starts), at_once or max(len(starts), 1)):
                chosen = starts[begin : begin + (at_once or len(starts))]
                vectors = trajectory.vectors_at(chosen + self.window.last)
                frames = gather(trajectory.positions, chosen, self.window)
                yield Windows(which, chosen, *frames, vectors)

    def describe(self) -> dict[str, Any]:
        """Facts about the data and the windows, for a result; JSON-ready."""
        first = self.trajectories[0]
        kinds = sorted({s.kind for s in self.splits})
        shares = [overlap(s, self.window) for s in self.splits]
        counts = {part: self.count(part) for part in PARTS}

        def shared(part: Part) -> dict[str, float]:
            number = sum(share[part]["count"] for share in shares)
            return {"count": number, "share": number / max(counts[part], 1)}

        return {
            "source": ", ".join(t.source for t in self.trajectories),
            "provenance": first.provenance,
            "notes": [note for t in self.trajectories for note in t.notes],
            "fingerprint": [t.fingerprint for t in self.trajectories],
            "systems": len(self.trajectories),
            "frames": sum(t.num_frames for t in self.trajectories),
            "runs": sum(len(t.lengths) for t in self.trajectories),
            "nodes": max(s.num_nodes for s in self.systems),
            "channels": first.system.channels,
            "edges": max(s.graph.num_edges for s in self.systems),
            "frame_step": first.frame_step,
            "time_unit": first.time_unit,
            "length_unit": first.system.length_unit,
            "window": dataclasses.asdict(self.window),
            "split": kinds[0] if len(kinds) == 1 else kinds,
            "windows": counts,
            "dropped_windows": sum(s.dropped for s in self.splits),
            "overlap_with_train": {part: shared(part) for part in ("validation", "test")},
        }


def _check_alike(trajectories: Sequence[Trajectory]) -> None:
    """Systems of one task may differ in their nodes alone."""

    def facts(t: Trajectory) -> dict[str, Any]:
        return {
            "channels": t.system.channels,
            "length unit": t.system.length_unit,
            "frame step": (t.frame_step, t.time_unit),
            "edge features": t.system.graph.edge_width,
            "number of node features": t.system.inputs().shape[-1],
            "type": t.positions.dtype.name,
            "external vectors": sorted(t.external),
        }

    first = facts(trajectories[0])
    for other in trajectories[1:]:
        for name, value in facts(other).items():
            if value != first[name]:
                raise DataError(
                    f"{trajectories[0].source} and {other.source} cannot be one task: {name} "
                    f"{first[name]} and {value}"
                )


def _stacked(part: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """History [W, N, T, C, 3] and target [W, N, C, 3] of a part."""
    arrays = isinstance(values, tuple) and len(values) == 2 and np.ndim(values[0]) > 3
    if not len(values[0] if arrays else values):
        raise DataError(f"{part}: there are no windows")
    if arrays:
        history, target = map(np.asarray, values)
    else:
        pairs = [values[i] for i in range(len(values))]
        history, target = (np.stack([np.asarray(pair[i]) for pair in pairs]) for i in (0, 1))
    if history.ndim == 4:
        history, target = history[:, :, :, None], target[:, :, None]
    expected = (*history.shape[:2], *history.shape[3:])
    if history.ndim != 5 or history.shape[-1] != 3 or target.shape != expected:
        raise DataError(
            f"{part}: history {history.shape} and target {target.shape}, expected [W, N, T, C, 3] and "
            f"[W, N, C, 3]"
        )
    return history, target
