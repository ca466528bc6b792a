"""Data by name: the one place that knows which sources there are.

A source is one function from its NAME, its options and a progress report to a Trajectory without a
graph, in a file of its own that is imported when it is used; ``load`` then does what is common to all:
checks, hydrogens, centring, units, the graph.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estag_jax import memory
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig, SplitConfig, Suggested, WindowConfig
from estag_jax.io import Report, cause, did_you_mean, silent
from estag_jax.simulate.settings import MOLECULES
from estag_jax.sources.options import (
    Centre,
    FileOptions,
    FolderOptions,
    MocapOptions,
    NoOptions,
    SyntheticOptions,
    Transforms,
    XtbOptions,
    parse_direction,
)

if TYPE_CHECKING:
    from estag_jax.data.trajectory import Trajectory


@dataclasses.dataclass(frozen=True)
class Source:
    """A place that trajectories come from.

    Args:
      function: "module:function", module in estag_jax.sources; called with the NAME behind the colon
        ("" without one), the options and a Report.
      options: the class of its options.
      about: one line for ``estag data list``.
      names: the NAMEs there are, as far as they can be listed.
      hint: what to write for NAME, where a list would be long or not complete.
      open: NAMEs that are not listed are taken too.
      suggested: windows and splits that suit it.
      centre: what "source" centring is, by NAME, with "" for all others.
    """

    function: str
    options: type
    about: str
    names: tuple[str, ...] = ()
    hint: str = ""
    open: bool = False
    suggested: Suggested = Suggested()
    centre: dict[str, Centre] = dataclasses.field(default_factory=dict)

    def example(self, key: str) -> str:
        """How to name it on the command line."""
        name = self.hint or "|".join(self.names)
        return f"{key}:{name}" if name else key

    def read(self, name: str, options: Any, report: Report = silent) -> Trajectory:
        """Reads NAME, without what is common to all sources."""
        module, function = self.function.split(":")
        module = importlib.import_module(f"estag_jax.sources.{module}")
        return getattr(module, function)(name, options, report)


_BY_TRAJECTORY = SplitConfig(kind="by-trajectory")
_TRIALS: dict[str, Any] = {"train": 1100, "validation": 600, "test": 600}
_MD17: dict[str, Any] = {"names": tuple(MOLECULES), "hint": "MOLECULE"}

SOURCES: dict[str, Source] = {
    "demo": Source(
        "md17:read_demo", NoOptions, "aspirin by GFN2-xTB, 20,000 frames, ships with the package"
    ),
    "file": Source(
        "files.reader:read",
        FileOptions,
        "your own: npz, npy, asf with amc, bvh, or what MDAnalysis or ASE read",
        hint="PATH|TOPOLOGY,TRAJECTORY,…",
        open=True,
    ),
    "xtb": Source(
        "simulated:read_xtb",
        XtbOptions,
        "simulated here by GFN2-xTB (ASE, tblite), the offline stand-in for MD17",
        names=tuple(MOLECULES),
        hint="MOLECULE|SMILES|PATH.xyz",
        open=True,
    ),
    "md17": Source(
        "md17:read_md17",
        FolderOptions,
        "MD17, ab initio trajectories of eight molecules, 500 K",
        **_MD17,
        centre={"benzene": "frame"},
    ),
    "rmd17": Source(
        "md17:read_rmd17",
        FolderOptions,
        "revised MD17: recomputed, a part of the frames; windows with missing frames are dropped",
        **_MD17,
        # Of ten frames in a row hardly one window is whole.
        suggested=Suggested(WindowConfig(past=3)),
    ),
    "adk": Source(
        "adk:read_equilibrium",
        FolderOptions,
        "adenylate kinase, equilibrium run of 4187 frames, backbone (downloads 200 MB)",
        suggested=Suggested(
            WindowConfig(delta=5), paper_split=SplitConfig(kind="paper", train=3000)
        ),
    ),
    "adk-dims": Source(
        "adk:read_dims",
        NoOptions,
        "adenylate kinase, three biased transitions that MDAnalysisTests ships, backbone",
        suggested=Suggested(WindowConfig(delta=1), _BY_TRAJECTORY),
    ),
    "cmu": Source(
        "cmu:read",
        MocapOptions,
        "CMU motion capture, 31 joints, 120 Hz",
        names=("walk", "run", "basketball"),
        hint="walk|run|basketball|SUBJECT",
        open=True,
        suggested=Suggested(
            WindowConfig(delta=5),
            dataclasses.replace(_BY_TRAJECTORY, each=100, **_TRIALS),
            SplitConfig(kind="paper", **_TRIALS),
        ),
        centre={"": "run"},
    ),
    "synthetic": Source(
        "simulated:read_synthetic",
        SyntheticOptions,
        "N-body systems integrated here, with hidden particles on request",
        names=("springs", "charged", "pendulum", "lorenz", "threebody"),
        suggested=Suggested(WindowConfig(delta=1), _BY_TRAJECTORY),
    ),
}
"""Every source by its name."""

# Subclasses go before what they build on.
_OPTIONS = dict.fromkeys(source.options for source in SOURCES.values())
_OPTIONS = sorted(_OPTIONS, key=lambda kind: -len(kind.__mro__))


@dataclasses.dataclass(frozen=True)
class ReadConfig(Transforms, *_OPTIONS):
    """How a source is read: what is done to any trajectory, and the options of all sources."""

    def __post_init__(self):
        for kind in (Transforms, *_OPTIONS):
            if check := vars(kind).get("__post_init__"):
                check(self)


DEFAULT_READ = ReadConfig()

_STUMBLES = (ArithmeticError, LookupError, EOFError, struct.error)
"""What code that reads a whole file meets in a damaged one, where no check of ours came before."""


def load(
    spec: str | os.PathLike,
    graph: GraphConfig | None = None,
    read: ReadConfig = DEFAULT_READ,
    report: Report | None = None,
) -> Trajectory:
    """Loads a trajectory by SOURCE, SOURCE:NAME or the path of a file, and builds its graph.

    Args:
      spec: a source in SOURCES, with its NAME behind a colon, or what ``file:`` takes: a path, or
        TOPOLOGY,TRAJECTORY[,TRAJECTORY…]. A source takes precedence over a file of that name; write
        ./demo for the file.
      graph: which pairs of nodes are edges; None for the default.
      read: how it is read.
      report: receives the progress of downloads, simulations and long files.

    Returns:
      The trajectory, with the windows and splits that suit the source as ``suggested``.

    Raises:
      DataError: there is no such source or file, its data are bad, or an option has no effect on it.

    Example:
      >>> demo = load("demo")
      >>> demo.num_frames, demo.system.num_nodes, demo.frame_step, demo.time_unit
      (20000, 13, 0.5, 'fs')
    """
    from estag_jax.data import checks
    from estag_jax.data.graphs import with_graph
    from estag_jax.data.system import DataError

    source, name = find(spec := os.fspath(spec))
    try:
        with memory.at_most(read.max_memory):
            whole = _whole(spec, source, name, read, report or silent)
            memory.afford_parts(len(whole.lengths), "runs", name)
            asked = _as_asked(whole, source, name, read)
            return checks.connected(with_graph(asked, graph or DEFAULT_GRAPH))
    except memory.TooLarge as why:
        named = any(part in str(why) for part in name.split(","))
        raise DataError(str(why) if named else f"{name}: {why}") from None


def _whole(spec: str, source: Source, name: str, read: ReadConfig, report: Report) -> Trajectory:
    """What a source holds, without a graph."""
    from estag_jax.data.system import DataError

    try:
        return source.read(name, _options(spec, source, read), report)
    except _STUMBLES as why:
        if not source.function.startswith("files."):
            raise
        text = f"cannot be read, it may be damaged ({cause(why)}); copy it again, or save positions"
        raise DataError(f"{name}: {text} [frames, N, 3] as .npz") from why


def _as_asked(trajectory: Trajectory, source: Source, name: str, read: ReadConfig) -> Trajectory:
    """The runs and nodes that are asked for, in the unit and the frame of reference that are."""
    from estag_jax.data import checks, transform
    from estag_jax.sources.files import keys

    if read.up is not None:
        trajectory = trajectory.with_vectors({"up": parse_direction(read.up)})
    transform.check(trajectory)  # first, so that messages number atoms and frames as the file does
    unit = None if read.unit is None else keys.length_unit(read.unit)
    trajectory = checks.plausible(trajectory, unit)
    if not read.hydrogens and not read.select:
        trajectory = transform.without_hydrogens(trajectory)
    trajectory = transform.take_runs(trajectory, read.min_frames)
    of_source = source.centre.get(name, source.centre.get("", "none"))
    centre = of_source if read.centre == "source" else read.centre
    if centre != "none":
        trajectory = transform.centred(trajectory, centre)
    if read.align:
        trajectory = transform.superimposed(trajectory)
    if unit is not None:
        trajectory = transform.converted(trajectory, unit)
    return trajectory.changed(suggested=source.suggested)


def find(spec: str) -> tuple[Source, str]:
    """The source that a spec names, and the NAME within it.

    Raises:
      DataError: there is no such source or file, or the source has no such NAME.
    """
    from estag_jax.data.system import DataError

    key, _, name = spec.partition(":")
    if key not in SOURCES:
        first = Path(spec.partition(",")[0])
        if first.exists() or first.suffix or Path(spec).exists() or Path(spec).suffix:
            return SOURCES["file"], spec
        raise DataError(
            f"{spec!r} is neither a known source nor a file; known are "
            f"{', '.join(sorted(SOURCES))} (see estag data list) and paths{did_you_mean(key, SOURCES)}"
        )
    source = SOURCES[key]
    takes_name = source.names or source.open
    if name and not takes_name:
        raise DataError(f"{spec!r}: source {key!r} takes no name; write {key}")
    if not name and takes_name:
        raise DataError(f"{spec!r}: source {key!r} needs a name; write {source.example(key)}")
    if name and not source.open and name not in source.names:
        raise DataError(
            f"{spec!r}: {key} has no {name!r}, it has {', '.join(source.names)}"
            f"{did_you_mean(name, source.names)}"
        )
    return source, name


def _options(spec: str, source: Source, read: ReadConfig) -> Any:
    """The source's own options; one that would be ignored is an error, lest the user rely on it."""
    from estag_jax.data.system import DataError

    taken, common = (_names(kind) for kind in (source.options, Transforms))
    for name in _names(ReadConfig) - taken - common:
        if getattr(read, name) != getattr(DEFAULT_READ, name):
            raise DataError(f"read {name} has no effect on {spec!r}; leave it out")
    return source.options(**{name: getattr(read, name) for name in taken})


def _names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
