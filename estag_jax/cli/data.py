"""``estag data``: which sources there are, what one holds, and a copy of it in one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.cli.main import UsageError, nearest, parse
from estag_jax.cli.output import print_facts, slug
from estag_jax.data import statistics
from estag_jax.data.checks import node_name
from estag_jax.data.graphs import GraphConfig, resolve
from estag_jax.data.splits import SplitConfig, overlap, split
from estag_jax.data.trajectory import DataError, Trajectory
from estag_jax.data.windows import WindowConfig, gather, starts
from estag_jax.evaluate.metrics import per_window_mse
from estag_jax.models.closed_form import constant_velocity, last_frame
from estag_jax.report.spectrum import spectrum, to_display
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig
from estag_jax.sources.files.npz import write_npz

JUMP = 10.0
"""A step this many times the median of the largest steps is worth a word."""


@dataclasses.dataclass(frozen=True)
class InfoArgs:
    """Say what a source holds: estag data info SOURCE[:NAME] | PATH [OPTIONS]."""

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
    """Download or simulate a source and keep it: estag data prepare SOURCE[:NAME] | PATH [OPTIONS]."""

    read: ReadConfig = ReadConfig()
    """How the data are read."""
    out: Path | None = None
    """Also write all that was read into this .npz file, which --data takes on any machine."""


def data(argv: list[str]) -> None:
    """``estag data list | info | prepare``."""
    actions = {"list": _list, "info": _info, "prepare": _prepare}
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: estag data list\n       estag data info SOURCE [OPTIONS]")
        print("       estag data prepare SOURCE [OPTIONS]")
        print("\nSOURCE is SOURCE[:NAME] of estag data list, or a path.")
        return
    if argv[0] not in actions:
        raise UsageError(f"no command data {argv[0]!r}{nearest(argv[0], actions)}; see estag data")
    actions[argv[0]](argv[1:])


def _list(argv: list[str]) -> None:
    if argv:
        raise UsageError(f"estag data list takes no arguments, got {' '.join(argv)}")
    table = Table(box=None, pad_edge=False)
    table.add_column("--data", no_wrap=True)
    table.add_column("what")
    for key, source in sources.SOURCES.items():
        table.add_row(source.example(key), source.about)
        if "MOLECULE" in source.hint:
            table.add_row("", f"MOLECULE: {', '.join(source.names)}")
    Console(width=None if Console().is_terminal else 120).print(table)


def _prepare(argv: list[str]) -> None:
    spec, argv = _spec("prepare", argv, PrepareArgs)
    args = parse("data prepare", PrepareArgs, argv)
    if args.out is not None and args.out.suffix != ".npz":
        raise UsageError(f"--out is {args.out}, it must end in .npz")
    trajectory = sources.load(spec, read=args.read)
    if args.out is not None:
        write_npz(args.out, trajectory)
    print_facts(_facts(trajectory))
    if args.out is not None:
        print(
            f"written: {args.out} ({args.out.stat().st_size / 1e6:.2f} MB); use it as --data {args.out}"
        )
    else:
        print(f"ready: --data {spec}")


def _info(argv: list[str]) -> None:
    spec, argv = _spec("info", argv, InfoArgs)
    source, _ = sources.find(spec)
    default = InfoArgs(window=source.window, split=source.split)
    args = parse("data info", tyro.conf.AvoidSubcommands[InfoArgs], argv, default)
    trajectory = sources.load(spec, args.graph, args.read)
    graph = resolve(args.graph, trajectory)
    hops = (
        f", up to {graph.hops} bonds apart" if graph.kind in ("bonds", "covalent", "paper") else ""
    )
    cutoff = f", within {graph.cutoff:g} {trajectory.length_unit}" if graph.cutoff else ""
    facts = _facts(trajectory) | {
        "edges": f"{trajectory.topology.num_edges} ({graph.kind}{hops}{cutoff})",
        "RMS displacement": _displacements(trajectory),
        "largest step": _jump(trajectory),
    }
    print_facts(facts | _windows(trajectory, args.window, args.split))
    found = statistics.power_spectrum(trajectory)
    if found is None:
        print("power spectrum: too few consecutive frames, or nothing moves")
        return
    path = args.figure or Path("runs/data") / f"{slug(spec)}_spectrum.png"
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
    more = " …" if trajectory.num_nodes > 40 else ""
    facts = {
        "source": trajectory.source,
        "provenance": trajectory.provenance,
        "licence": trajectory.licence,
        "frames": f"{trajectory.num_frames}{runs}{missing}",
        "step": f"{trajectory.frame_step:.6g} {trajectory.time_unit}",
        "length unit": trajectory.length_unit,
        "nodes": f"{trajectory.num_nodes}: {' '.join(trajectory.names[:40])}{more}",
        "channels": trajectory.channels,
        "edges": trajectory.topology.num_edges,
        "fingerprint": trajectory.fingerprint,
    }
    return facts | {f"note {i}": note for i, note in enumerate(trajectory.notes, 1)}


def _displacements(trajectory: Trajectory) -> str:
    found = statistics.rms_displacement(trajectory)
    listed = ", ".join(f"{size:.4g} over {lag}" for lag, size in found.items())
    return f"{listed} step(s) [{trajectory.length_unit}]"


def _jump(trajectory: Trajectory) -> str:
    jump = statistics.largest_jump(trajectory)
    if jump is None:
        return ""
    where = f"{node_name(trajectory, jump.node)}, from frame {jump.frame}"
    text = f"{jump.size:.4g} {trajectory.length_unit}, {where}"
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
        count = len(starts(trajectory.lengths, window, trajectory.source, trajectory.missing))
        parts = split(trajectory, window, config)
    except DataError as error:
        return {"windows": f"none: {error}"}
    shares = overlap(parts, window)
    sizes = (
        f"{len(parts.train)} training, {len(parts.validation)} validation, {len(parts.test)} test"
    )
    facts: dict[str, object] = {
        "windows": f"{count} with {window}; {config.kind} split: {sizes}",
        "dropped": f"{parts.dropped} windows touch a missing frame" if parts.dropped else "",
        "overlap": f"{shares['test']['count']} test windows ({shares['test']['share']:.1%}) share a "
        f"frame with a training window",
    }
    history, target = gather(trajectory.positions, parts.test, window)
    predictors = [last_frame(window.past)]
    if window.past > 1:
        predictors.append(constant_velocity(window.past, window.horizon))
    for predictor in predictors:
        error = float(np.mean(per_window_mse(predictor(history), target)))
        facts[predictor.name.lower()] = f"{error:.4e} {trajectory.length_unit}² on the test windows"
    return facts


def _spec(action: str, argv: list[str], kind: type) -> tuple[str, list[str]]:
    """The source, which comes first, and the other arguments."""
    if argv and argv[0] in ("-h", "--help"):
        parse(f"data {action}", kind, argv)
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"estag data {action} needs a source first; see estag data list")
    return argv[0], argv[1:]
