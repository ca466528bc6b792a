"""``estag data``: which sources there are, what one holds, and a copy of it in one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro

from estag_jax.cli.arguments import parse, suggested
from estag_jax.cli.main import UsageError
from estag_jax.cli.output import print_facts
from estag_jax.cli.progress import display
from estag_jax.data import statistics
from estag_jax.data.graphs import GraphConfig, resolve
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import starts
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.io import slug
from estag_jax.report.spectrum import spectrum, to_display
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.sources.files.npz import write_npz
from estag_jax.training.fit import fit

JUMP = 10.0
"""A step this many times the median of the largest steps is worth a word."""


@dataclasses.dataclass(frozen=True)
class InfoArgs:
    """Say what a source holds."""

    source: tyro.conf.Positional[str]
    """SOURCE[:NAME] of estag data list, or a path."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    graph: GraphConfig = GraphConfig()
    """Which nodes are joined."""
    window: WindowConfig = WindowConfig()
    """The windows that are counted and on which the two predictors are tried."""
    split: SplitConfig = SplitConfig()
    """Which of them would train, validate and test."""
    figure: Path | None = None
    """PNG of the power spectrum; by default in runs/data/."""


@dataclasses.dataclass(frozen=True)
class PrepareArgs:
    """Download or simulate a source and keep it."""

    source: tyro.conf.Positional[str]
    """SOURCE[:NAME] of estag data list, or a path."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    out: Path | None = None
    """Also write all that was read into this .npz file, which --data takes on any machine."""


def prepare(argv: list[str]) -> None:
    """``estag data prepare``."""
    args = parse("data prepare", PrepareArgs, argv)
    if args.out is not None and args.out.suffix != ".npz":
        raise UsageError(f"--out is {args.out}, it must end in .npz")
    with display() as shown:
        trajectory = load(args.source, read=args.read, report=shown.report)
    if args.out is not None:
        write_npz(args.out, trajectory)
    print_facts(_facts(trajectory))
    if args.out is not None:
        size = args.out.stat().st_size / 1e6
        print(f"written: {args.out} ({size:.2f} MB); use it as --data {args.out}")
    else:
        print(f"ready: --data {args.source}")


def info(argv: list[str]) -> None:
    """``estag data info``."""
    source = argv[0] if argv and not argv[0].startswith("-") else None
    fitting = suggested((source,) if source else ())
    default = InfoArgs(source or tyro.MISSING, window=fitting.window, split=fitting.split)
    args = parse("data info", tyro.conf.AvoidSubcommands[InfoArgs], argv, default)
    with display() as shown:
        trajectory = load(args.source, args.graph, args.read, shown.report)
    graph = resolve(args.graph, trajectory)
    bonded = graph.kind in ("bonds", "covalent", "paper")
    hops = f", up to {graph.hops} bonds apart" if bonded else ""
    unit = trajectory.system.length_unit
    cutoff = f", within {graph.cutoff:g} {unit}" if graph.cutoff else ""
    facts = _facts(trajectory) | {
        "edges": f"{trajectory.system.graph.num_edges} ({graph.kind}{hops}{cutoff})",
        "RMS displacement": _displacements(trajectory),
        "largest step": _jump(trajectory),
    }
    print_facts(facts | _windows(trajectory, args.window, args.split))
    found = statistics.power_spectrum(trajectory)
    if found is None:
        print("power spectrum: too few consecutive frames, or nothing moves")
        return
    path = args.figure or Path("runs/data") / f"{slug(args.source)}_spectrum.png"
    spectrum(*found, trajectory.time_unit, path, f"Power spectrum of {trajectory.source}")
    x, label, share = to_display(*found, trajectory.time_unit)
    unit = label[label.index("[") + 1 : -1]
    print(
        f"power spectrum: strongest at {x[np.argmax(found[1])]:.4g} {unit}, half of the power below "
        f"{x[np.searchsorted(share, 0.5)]:.4g} {unit}; figure: {path}"
    )


def _facts(trajectory: Trajectory) -> dict[str, object]:
    lengths = trajectory.lengths
    runs = (
        f" in {len(lengths)} runs of {min(lengths)} to {max(lengths)}" if len(lengths) > 1 else ""
    )
    missing = (
        "" if trajectory.missing is None else f", {np.count_nonzero(trajectory.missing)} missing"
    )
    more = " …" if trajectory.system.num_nodes > 40 else ""
    facts = {
        "source": trajectory.source,
        "provenance": trajectory.provenance,
        "licence": trajectory.licence,
        "frames": f"{trajectory.num_frames}{runs}{missing}",
        "step": f"{trajectory.frame_step:.6g} {trajectory.time_unit}",
        "length unit": trajectory.system.length_unit,
        "nodes": f"{trajectory.system.num_nodes}: {' '.join(trajectory.system.names[:40])}{more}",
        "channels": trajectory.system.channels,
        "edges": trajectory.system.graph.num_edges,
        "fingerprint": trajectory.fingerprint,
    }
    return facts | {f"note {i}": note for i, note in enumerate(trajectory.notes, 1)}


def _displacements(trajectory: Trajectory) -> str:
    found = statistics.rms_displacement(trajectory)
    listed = ", ".join(f"{size:.4g} over {lag}" for lag, size in found.items())
    return f"{listed} step(s) [{trajectory.system.length_unit}]"


def _jump(trajectory: Trajectory) -> str:
    jump = statistics.largest_jump(trajectory)
    if jump is None:
        return ""
    where = f"{trajectory.system.node_name(jump.node)}, from frame {jump.frame}"
    text = f"{jump.size:.4g} {trajectory.system.length_unit}, {where}"
    if jump.size > JUMP * jump.median:
        text += (
            f"; {jump.size / jump.median:.0f} times the median of {jump.median:.4g}: look for a "
            f"periodic box (--read.align), frames or atoms out of order"
        )
    return text


def _windows(
    trajectory: Trajectory, window: WindowConfig, config: SplitConfig
) -> dict[str, object]:
    """Windows of the split and the figures of the two simplest predictors, or why there are none."""
    try:
        lengths, missing = trajectory.lengths, trajectory.missing
        count = len(starts(lengths, window, trajectory.source, missing))
        task = Task(trajectory, window, config)
    except DataError as error:
        return {"windows": f"none: {error}"}
    found = task.describe()
    counts, share = found["windows"], found["overlap_with_train"]["test"]
    facts: dict[str, object] = {
        "windows": f"{count} with {window}; {config.kind} split: {counts['train']} training, "
        f"{counts['validation']} validation, {counts['test']} test",
        "dropped": f"{found['dropped_windows']} windows touch a missing frame"
        if found["dropped_windows"]
        else "",
        "overlap": f"{share['count']} test windows ({share['share']:.1%}) share a frame with a "
        f"training window",
    }
    names = ["Last frame", "Constant velocity"][: window.past]
    for row in evaluate([fit(name, task) for name in names], task).rows:
        unit = trajectory.system.length_unit
        facts[row.name.lower()] = f"{row.mse:.4e} {unit}² on the test windows"
    return facts
