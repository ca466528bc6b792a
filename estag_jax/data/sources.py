"""Data by name: the one place that knows which sources there are."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
from collections.abc import Callable
from pathlib import Path

from estag_jax.data.graphs import DEFAULT_GRAPH, GraphConfig
from estag_jax.data.npz import read_npz
from estag_jax.data.trajectory import DataError, Trajectory


@dataclasses.dataclass(frozen=True)
class ReadConfig:
    """How a source is read.

    Args:
      hydrogens: keep hydrogen atoms; the published protocol leaves them out as the unobserved part.
      frame_step: femtoseconds between frames, where the file does not say.

    Raises:
      ValueError: a value is out of its range.
    """

    hydrogens: bool = False
    frame_step: float = 0.5

    def __post_init__(self):
        if not 0 < self.frame_step < float("inf"):
            raise ValueError(f"read frame_step is {self.frame_step}, it must be positive")


DEFAULT_READ = ReadConfig()

Loader = Callable[[GraphConfig, ReadConfig], Trajectory]
"""From a graph and how to read to a trajectory."""


def load(
    spec: str, graph: GraphConfig = DEFAULT_GRAPH, read: ReadConfig = DEFAULT_READ
) -> Trajectory:
    """Loads a trajectory by the name of a source or the path of a file.

    Args:
      spec: a name in SOURCES, or the path of an .npz or .npy file (see ``npz.read_npz``). A name
        goes before a file of that name; write ./demo for the file.
      graph: which pairs of nodes are edges.
      read: how it is read.

    Returns:
      The trajectory.

    Raises:
      DataError: there is no such source or file, or its data are bad.
    """
    if spec in SOURCES:
        return SOURCES[spec](graph, read)
    path = Path(spec)
    if path.exists() or path.suffix in (".npz", ".npy"):
        return read_npz(path, graph=graph, **dataclasses.asdict(read))
    near = difflib.get_close_matches(spec, SOURCES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"{spec!r} is neither a known source nor a file; {hint}known are "
        f"{', '.join(sorted(SOURCES))} and the path of an .npz or .npy file"
    )


def _demo(graph: GraphConfig, read: ReadConfig) -> Trajectory:
    bundled = importlib.resources.files("estag_jax.data") / "bundled" / "aspirin_xtb.npz"
    with importlib.resources.as_file(bundled) as path:
        trajectory = read_npz(path, graph=graph, hydrogens=read.hydrogens)
    return dataclasses.replace(
        trajectory,
        source="demo",
        provenance="simulated data in the manner of MD17: aspirin, GFN2-xTB, 500 K, 0.5 fs, "
        "made by experiments/generate_xtb.py",
        licence="MIT",
    )


SOURCES: dict[str, Loader] = {"demo": _demo}
"""Every source by its name."""
