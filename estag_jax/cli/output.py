"""What several commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from estag_jax.cli.console import say, wide_console
from estag_jax.evaluation.result import Result
from estag_jax.report.remarks import remarks
from estag_jax.report.tables import cells, spread_of

if TYPE_CHECKING:
    from estag_jax.data.task import Task
    from estag_jax.data.trajectory import Trajectory

FACT = len("constant velocity")
"""Columns of the name of a fact, at least."""


def print_facts(facts: dict[str, Any]) -> None:
    """One line a fact, the names in a column; empty facts are left out."""
    width = max(FACT, *map(len, facts))
    for name, value in facts.items():
        if value != "":
            say(f"{name:<{width}}  {value}", indent=width + 2)


def facts_of(trajectory: Trajectory) -> dict[str, Any]:
    """What there is to say of a trajectory."""
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
        "external vectors": "; ".join(
            f"{name} {'by frame' if vector.ndim > 1 else vector}"
            for name, vector in trajectory.external.items()
        ),
        "edges": trajectory.system.graph.num_edges,
        "fingerprint": trajectory.fingerprint,
    }
    return facts | {f"note {i}": note for i, note in enumerate(trajectory.notes, 1)}


def print_task(task: Task) -> None:
    """What was understood of the data, and every note, before anything is compiled."""
    for trajectory in task.trajectories:
        say(str(trajectory))
        for note in trajectory.notes:
            say(f"  note: {note}", indent=4)
    counts = ", ".join(f"{task.count(part)} {part}" for part in ("train", "validation", "test"))
    say(f"windows: {task.window}; {task.describe()['split']} split: {counts}")


def terminal(result: Result, width: int = 10_000) -> Table:
    """The finished rows of a result for the terminal; columns that its width has no room for are left out."""
    header, lines = cells(result, training=False, short=True)
    widths = np.cumsum([max(map(len, column)) + 3 for column in zip(header, *lines, strict=True)])
    shown = max(2, np.count_nonzero(widths < width))
    caption = spread_of(result.finished)
    if left := header[shown:]:
        caption = f"{caption} There is no room here for {', '.join(left)}.".lstrip()
    title = f"{result.data['source']}: {result.data['windows']['test']} test windows"
    table = Table(
        title=title, title_justify="left", caption=caption or None, caption_justify="left"
    )
    for i, name in enumerate(header[:shown]):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for line in lines:
        table.add_row(*line[:shown])
    return table


def print_result(result: Result) -> None:
    """The result table of a run and the outcome of its rollouts."""
    console = wide_console()
    console.print(terminal(result, console.width))
    for row in result.rows:
        if row.status != "finished":
            say(f"{row.name}: {row.status}, {row.reason}")
    for line in remarks(result):
        say(line)
    for note in result.about.get("notes", ()):
        say(f"note: {note}")
    name, rollout = result.rows[-1].name, result.rollout
    if rollout:
        figures, steps = rollout["predictors"][name], rollout["steps"]
        median = figures["median"][-1]
        say(
            f"{rollout['windows']} rollouts of {steps} frames by {name}: "
            f"{figures['diverged'][-1]:.1%} diverged, median error at the end "
            f"{'infinite' if median is None else f'{median:.3g}'} {result.data['length_unit']}²"
        )
