"""``estag data info``: what a source holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from estag_jax.cli.main import check_out
from estag_jax.data.settings import (
    DEFAULT_GRAPH,
    GraphConfig,
    SplitConfig,
    Suggested,
    WindowConfig,
)
from estag_jax.io import FileError, slug
from estag_jax.sources.catalog import DEFAULT_READ, ReadConfig, find, load

if TYPE_CHECKING:
    from estag_jax.data.trajectory import Trajectory

JUMP = 10.0
"""A step this many times the median of the largest steps is worth a word."""


def given(argv: list[str]) -> dict[str, Any]:
    """Windows and splits that suit the source are what options start from."""
    named = argv and not argv[0].startswith("-")
    fitting = find(argv[0])[0].suggested if named else Suggested()
    return {"window": fitting.window, "split": fitting.split}


def data_info(
    source: tyro.conf.Positional[str],
    *,
    read: ReadConfig = DEFAULT_READ,
    graph: GraphConfig = DEFAULT_GRAPH,
    window: WindowConfig,
    split: SplitConfig,
    figure: Path | None = None,
) -> None:
    """Say what a source holds.

    Args:
      source: SOURCE[:NAME] of estag data list, or a path.
      read: How the data are read.
      graph: Which nodes are joined.
      window: The windows that are counted and on which the two predictors are tried.
      split: Which of them would train, validate and test.
      figure: PNG of the power spectrum; by default in runs/data/.
    """
    from estag_jax.cli.console import say
    from estag_jax.cli.output import facts_of, print_facts
    from estag_jax.cli.progress import Display
    from estag_jax.data import statistics
    from estag_jax.data.graphs import resolve
    from estag_jax.report.spectrum import peak_and_half, spectrum

    if figure is not None:
        check_out(figure, source, option="--figure")
    with Display() as shown:
        trajectory = load(source, graph, read, shown.report)
    edges = resolve(graph, trajectory)
    bonded = edges.kind in ("bonds", "covalent", "paper")
    hops = f", up to {edges.hops} bonds apart" if bonded else ""
    unit = trajectory.system.length_unit
    cutoff = f", within {edges.cutoff:g} {unit}" if edges.cutoff else ""
    facts = facts_of(trajectory) | {
        "edges": f"{trajectory.system.graph.num_edges} ({edges.kind}{hops}{cutoff})",
        "RMS displacement": _displacements(trajectory),
        "largest step": _jump(trajectory),
    }
    print_facts(facts)
    print_facts(_windows(trajectory, window, split))
    found = statistics.power_spectrum(trajectory)
    if found is None:
        say("power spectrum: too few consecutive frames, or nothing moves")
        return
    path = figure or Path("runs/data") / f"{slug(source)}_spectrum.png"
    words = f"power spectrum: strongest {peak_and_half(*found, trajectory.time_unit)}"
    try:
        spectrum(*found, trajectory.time_unit, path, f"Power spectrum of {trajectory.source}")
    except FileError as error:
        if figure is not None:
            raise
        say(f"{words}; no figure: {error}")
        return
    say(f"{words}; figure: {path}")


def _displacements(trajectory: Trajectory) -> str:
    from estag_jax.data import statistics

    found = statistics.rms_displacement(trajectory)
    listed = ", ".join(f"{size:.4g} over {lag}" for lag, size in found.items())
    return f"{listed} step(s) [{trajectory.system.length_unit}]"


def _jump(trajectory: Trajectory) -> str:
    from estag_jax.data import statistics

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
    from estag_jax.data.system import DataError
    from estag_jax.data.task import Task
    from estag_jax.data.windows import starts
    from estag_jax.evaluation.evaluate import evaluate
    from estag_jax.training.fit import fit

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
