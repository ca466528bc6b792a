"""Data by name: the one place that knows which sources there are.

A source is one function from its NAME and a ReadConfig to a Trajectory without a graph, in a file of
its own; ``load`` then does what is common to all: checks, hydrogens, centring, units, the graph.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from estag_jax.data import transform
from estag_jax.data.checks import check
from estag_jax.data.graphs import DEFAULT_GRAPH, GraphConfig, build_topology
from estag_jax.data.splits import SplitConfig
from estag_jax.data.trajectory import DataError, Trajectory
from estag_jax.data.windows import WindowConfig
from estag_jax.simulate import synthetic, xtb
from estag_jax.simulate.synthetic import SyntheticConfig
from estag_jax.simulate.xtb import XtbConfig
from estag_jax.sources import adk, cmu, md17
from estag_jax.sources.fetch import cache_folder
from estag_jax.sources.files import reader
from estag_jax.sources.files.npz import read_npz


@dataclasses.dataclass(frozen=True)
class ReadConfig:
    """How a source is read.

    Args:
      hydrogens: keep hydrogen atoms; the published protocol leaves them out as the unobserved part.
        With ``select``, the selection alone decides.
      frame_step: time between frames in the file's unit (fs for npz), where the file does not say
        or says wrongly; None takes the file's.
      select: atoms to keep, in MDAnalysis' selection language (files that MDAnalysis reads).
      nodes: what a node is: an atom, or a residue with its backbone N, CA, C, O as four channels.
      unwrap: undo jumps across a periodic box.
      folder: where the source's files lie, in place of downloading them; None for the cache
        (environment variable ESTAG_DATA).
      min_frames: leave out runs with fewer frames.
      centre: "run" subtracts the mean of each run, "frame" the centroid of each frame; "source" does
        what the source's protocol does.
      align: superimpose each frame on the first of its run.
      unit: convert lengths to this unit (Å, nm, bohr, …); None keeps the source's.
      xtb: how xtb: simulates.
      synthetic: how synthetic: simulates.

    Raises:
      ValueError: a value is out of its range.
    """

    hydrogens: bool = False
    frame_step: float | None = None
    select: str = ""
    nodes: Literal["atoms", "residues"] = "atoms"
    unwrap: bool = True
    folder: str | None = None
    min_frames: int = 1
    centre: transform.Centre = "source"
    align: bool = False
    unit: str | None = None
    xtb: XtbConfig = XtbConfig()
    synthetic: SyntheticConfig = SyntheticConfig()

    def __post_init__(self):
        if self.frame_step is not None and not 0 < self.frame_step < float("inf"):
            raise ValueError(f"read frame_step is {self.frame_step}, it must be positive")
        if self.min_frames < 1:
            raise ValueError(f"read min_frames is {self.min_frames}, it must be at least 1")
        for name, known in (("centre", transform.Centre), ("nodes", Literal["atoms", "residues"])):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"read {name} is {getattr(self, name)!r}, expected one of "
                    f"{', '.join(get_args(known))}"
                )


DEFAULT_READ = ReadConfig()


@dataclasses.dataclass(frozen=True)
class Source:
    """A place that trajectories come from.

    Args:
      read: from the NAME behind the colon ("" without one) and how to read to a trajectory.
      about: one line for ``estag data list``.
      names: the NAMEs there are, as far as they can be listed.
      hint: what to write for NAME, where a list would be long or not complete.
      open: NAMEs that are not listed are taken too.
      options: fields of ReadConfig that this source heeds, besides those that ``load`` itself does.
      window: the published windows, or what suits the source; the default of the commands.
      split: without leaks between its parts; the default of the commands.
      published: the published split.
      centre: what "source" centring is, by NAME.
    """

    read: Callable[[str, ReadConfig], Trajectory]
    about: str
    names: tuple[str, ...] = ()
    hint: str = ""
    open: bool = False
    options: tuple[str, ...] = ()
    window: WindowConfig = WindowConfig()
    split: SplitConfig = SplitConfig()
    published: SplitConfig = SplitConfig(kind="paper")
    centre: Callable[[str], transform.Centre] = lambda name: "none"

    def example(self, key: str) -> str:
        """How to name it on the command line."""
        name = self.hint or "|".join(self.names)
        return f"{key}:{name}" if name else key


def load(
    spec: str, graph: GraphConfig = DEFAULT_GRAPH, read: ReadConfig = DEFAULT_READ
) -> Trajectory:
    """Loads a trajectory by SOURCE, SOURCE:NAME or the path of a file, and builds its graph.

    Args:
      spec: a source in SOURCES, with its NAME behind a colon, or what ``file:`` takes: a path, or
        TOPOLOGY,TRAJECTORY[,TRAJECTORY…]. A source goes before a file of that name; write ./demo
        for the file.
      graph: which pairs of nodes are edges.
      read: how it is read.

    Returns:
      The trajectory.

    Raises:
      DataError: there is no such source or file, its data are bad, or an option has no effect on it.
    """
    source, name = find(spec)
    _check_options(spec, source, read)
    trajectory = source.read(name, read)
    check(trajectory)  # first, so that messages number atoms and frames as the file does
    if not read.hydrogens and not read.select:
        trajectory = transform.without_hydrogens(trajectory)
    trajectory = transform.take_runs(trajectory, read.min_frames)
    centre = source.centre(name) if read.centre == "source" else read.centre
    if centre != "none":
        trajectory = transform.centred(trajectory, centre)
    if read.align:
        trajectory = transform.superimposed(trajectory)
    if read.unit is not None:
        trajectory = transform.converted(trajectory, read.unit)
    return dataclasses.replace(trajectory, topology=build_topology(graph, trajectory))


def find(spec: str) -> tuple[Source, str]:
    """The source that a spec names, and the NAME within it.

    Raises:
      DataError: there is no such source or file, or the source has no such NAME.
    """
    key, colon, name = spec.partition(":")
    if key not in SOURCES:
        first = Path(spec.partition(",")[0])
        if first.exists() or first.suffix:
            return SOURCES["file"], spec
        near = difflib.get_close_matches(key, SOURCES, n=1)
        hint = f"did you mean {near[0] + colon + name!r}? " if near else ""
        raise DataError(
            f"{spec!r} is neither a known source nor a file; {hint}known are "
            f"{', '.join(sorted(SOURCES))} (see estag data list) and paths"
        )
    source = SOURCES[key]
    takes_name = source.names or source.open
    if name and not takes_name:
        raise DataError(f"{spec!r}: source {key!r} takes no name; write {key}")
    if not name and takes_name:
        raise DataError(f"{spec!r}: source {key!r} needs a name; write {source.example(key)}")
    if name and not source.open and name not in source.names:
        near = difflib.get_close_matches(name, source.names, n=1)
        hint = f"did you mean {key}:{near[0]}? " if near else ""
        raise DataError(f"{spec!r}: {key} has no {name!r}; {hint}it has {', '.join(source.names)}")
    return source, name


def _check_options(spec: str, source: Source, read: ReadConfig) -> None:
    """An option that would be ignored is an error: the user would believe in it."""
    for option in ("frame_step", "select", "nodes", "unwrap", "folder", "xtb", "synthetic"):
        value = getattr(read, option)
        if option not in source.options and value != getattr(DEFAULT_READ, option):
            raise DataError(f"read {option} has no effect on {spec!r}; leave it out")


def _demo(name: str, read: ReadConfig) -> Trajectory:
    bundled = importlib.resources.files("estag_jax.data") / "bundled" / "aspirin_xtb.npz"
    with importlib.resources.as_file(bundled) as path:
        trajectory = read_npz(path, frame_step=0.5)
    return dataclasses.replace(
        trajectory,
        source="demo",
        provenance="simulated data in the manner of MD17: aspirin, GFN2-xTB, 500 K, 0.5 fs, "
        "made by estag data prepare xtb:aspirin",
        licence="MIT",
    )


def _folder(read: ReadConfig, name: str) -> Path:
    return cache_folder() / name if read.folder is None else Path(read.folder)


def _cmu(name: str, read: ReadConfig) -> Trajectory:
    folder = _folder(read, "cmu")
    if read.folder is None:
        cmu.download(name, folder)
    return cmu.read(name, folder)


def _file(name: str, read: ReadConfig) -> Trajectory:
    return reader.read(
        name,
        select=read.select,
        nodes=read.nodes,
        frame_step=read.frame_step,
        unwrap=read.unwrap,
    )


def _md17(reader: Callable[[str, Path | None], Trajectory]) -> Callable:
    return lambda name, read: reader(name, None if read.folder is None else Path(read.folder))


_BY_TRAJECTORY = SplitConfig(kind="by-trajectory")
_TRIALS = {"train": 1100, "validation": 600, "test": 600}
_FIVE = WindowConfig(delta=5)

SOURCES: dict[str, Source] = {
    "demo": Source(_demo, "aspirin by GFN2-xTB, 20,000 frames, ships with the package"),
    "file": Source(
        _file,
        "your own: npz, npy, or any topology and trajectories that MDAnalysis or ASE read",
        hint="PATH|TOPOLOGY,TRAJECTORY,…",
        open=True,
        options=("frame_step", "select", "nodes", "unwrap"),
    ),
    "xtb": Source(
        lambda name, read: xtb.read(name, read.xtb, _folder(read, "xtb")),
        "simulated here by GFN2-xTB (ASE, tblite), the offline stand-in for MD17",
        names=tuple(md17.MOLECULES),
        hint="MOLECULE|SMILES|PATH.xyz",
        open=True,
        options=("xtb", "folder"),
    ),
    "md17": Source(
        _md17(md17.read_md17),
        "MD17, ab initio trajectories of eight molecules, 500 K",
        names=tuple(md17.MOLECULES),
        hint="MOLECULE",
        options=("folder",),
        centre=lambda name: "frame" if name == "benzene" else "none",
    ),
    "rmd17": Source(
        _md17(md17.read_rmd17),
        "revised MD17: recomputed, a part of the frames; windows with missing frames are dropped",
        names=tuple(md17.MOLECULES),
        hint="MOLECULE",
        options=("folder",),
        window=WindowConfig(past=3),  # of ten frames in a row hardly one window is whole
    ),
    "adk": Source(
        lambda name, read: adk.read_equilibrium(_folder(read, "adk")),
        "adenylate kinase, equilibrium run of 4187 frames, backbone (downloads 200 MB)",
        options=("folder",),
        window=_FIVE,
        published=SplitConfig(kind="paper", train=3000),
    ),
    "adk-dims": Source(
        lambda name, read: adk.read_dims(),
        "adenylate kinase, three biased transitions that MDAnalysisTests ships, backbone",
        window=WindowConfig(delta=1),
        split=_BY_TRAJECTORY,
    ),
    "cmu": Source(
        _cmu,
        "CMU motion capture, 31 joints, 120 Hz",
        names=("walk", "run", "basketball"),
        hint="walk|run|basketball|SUBJECT",
        open=True,
        options=("folder",),
        window=_FIVE,
        split=dataclasses.replace(_BY_TRAJECTORY, each=100, **_TRIALS),
        published=SplitConfig(kind="paper", **_TRIALS),
        centre=lambda name: "run",
    ),
    "synthetic": Source(
        lambda name, read: synthetic.read(name, read.synthetic),
        "N-body systems integrated here, with hidden particles on request",
        names=("springs", "charged", "pendulum", "lorenz", "threebody"),
        options=("synthetic",),
        window=WindowConfig(delta=1),
        split=_BY_TRAJECTORY,
    ),
}
"""Every source by its name."""
