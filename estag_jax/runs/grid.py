"""Runs a grid of tasks and methods, one file a cell, and continues where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from estag_jax.config import to_dict
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import Metric, evaluate
from estag_jax.evaluation.result import Result, Row
from estag_jax.io import read_json, reporting_as, slug, write_json
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm
from estag_jax.models.variants import ORDER
from estag_jax.nn.config import Elements, Head
from estag_jax.runs.asked import Asked, Rows, settled
from estag_jax.runs.checkpoint import Checkpoints
from estag_jax.runs.folder import Unwritable, sums_of
from estag_jax.runs.lock import locked
from estag_jax.runs.published import PUBLISHED
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.training.callbacks import Callback, TrainingDiverged
from estag_jax.training.fit import fit
from estag_jax.training.settings import WHERE

CELLS = "cells"

Announce = Callable[[str, str], Sequence[Callback]]
"""From data set and row to the callbacks that are told of its training."""

Metrics = Callable[[Task], Mapping[str, Metric]]
"""From a task to further metrics by name."""

ADDED = {
    "up": None,
    "start": None,
    "edft_nodes": True,
    "edft_edges": True,
    "equivariant": True,
    "turn_in_training": False,
    "skip_nonfinite": None,
}
"""Settings that earlier versions lacked, and the values that mean what these did: cells stay finished."""

_FAILURES = (
    TrainingDiverged,
    ValueError,
    TypeError,
    MemoryError,
    FloatingPointError,
    jax.errors.JaxRuntimeError,
)


def run_grid(
    datasets: dict[str, RunConfig],
    methods: Sequence[str] | Rows,
    seeds: int,
    out: Path,
    head: Head | None = None,
    elements: Elements | None = None,
    announce: Announce = lambda data, row: (),
    metrics: Metrics = lambda task: {},
) -> list[Result]:
    """Fits and tests every method on every data set; finished cells are skipped.

    The test windows are evaluated once, at the best validation epoch of each seed. A cell that was
    killed continues from its last evaluation. One that fails is recorded with its reason and tried again
    the next time; the others are run.

    Args:
      datasets: by the name of a column, the settings; their method and constraints are not looked at.
      methods: names of the catalog. Closed forms are added: all of them, or, where ``methods`` names some,
        Last frame and VAR ridge, to which the others are compared. Or a function that says the rows.
      seeds: how many, counted from the settings' ``train.seed``.
      out: folder; cells go to its cells/DATA/ROW.json.
      head: in place of every network's own head, or None.
      elements: how atoms enter compared networks (models.catalog.settings).
      announce: called before each network that is trained.
      metrics: further ones, by name.

    Returns:
      For each data set a result with its rows in the order of the catalog: those asked for, and the
      finished ones that earlier calls left in the folder for the same windows (other methods, or heads;
      each says its own seeds and epochs).
    """
    out, results = Path(out), []
    with locked(out):
        for name, config in datasets.items():
            cells = out / CELLS / slug(name)
            try:
                config, task = prepare(config)
            except ValueError as error:
                row = Row("(data)", name, "failed", str(error))
                results.append(Result({"source": ", ".join(config.data)}, [row]))
                continue
            asked = settled(methods, name, task, head, elements, config.start)
            results.append(_column(name, config, task, asked, seeds, cells, announce, metrics))
    return results


def _column(
    name: str,
    config: RunConfig,
    task: Task,
    asked: Sequence[Asked],
    seeds: int,
    cells: Path,
    announce: Announce,
    metrics: Metrics,
) -> Result:
    rows: dict[Path, Row] = {}
    numbers = tuple(range(config.train.seed, config.train.seed + seeds))
    device: list[Result] = []
    for label, settings, why_not in asked:
        path = cells / f"{slug(label)}.json"
        if why_not:
            rows[path] = Row(label, name, "skipped", why_not)
            continue
        key = _key(config, task, settings, numbers)
        cell = _finished(path)
        if cell is None or cell.about.get("key") != key:
            cell = _run(name, label, settings, config, task, numbers, key, path, announce, metrics)
        device.append(cell)
        rows[path] = cell.rows[0]
    for path in sorted(cells.glob("*.json")):
        cell = None if path in rows else _finished(path)
        if cell is not None and _same_windows(cell, config, task):
            rows[path] = cell.rows[0]
    ordered = sorted(rows.values(), key=place)
    return dataclasses.replace(device[0] if device else Result(task.describe(), []), rows=ordered)


def stored(out: Path) -> list[Result]:
    """The finished cells that earlier calls left in a folder, a result for each data set."""
    columns: dict[str, list[Result]] = {}
    for path in sorted((Path(out) / CELLS).glob("*/*.json")):
        if (cell := _finished(path)) is not None:
            columns.setdefault(cell.rows[0].data, []).append(cell)
    return [
        dataclasses.replace(found[0], rows=sorted((c.rows[0] for c in found), key=place))
        for _, found in sorted(columns.items(), key=lambda column: _natural(column[0]))
    ]


def _natural(name: str) -> list[tuple[str, int]]:
    """By numbers where names have numbers: T = 5 comes before T = 20."""
    return [(text, int(n or 0)) for text, n in re.findall(r"(\D*)(\d*)", name)]


def _run(
    name: str,
    label: str,
    settings: Any,
    config: RunConfig,
    task: Task,
    numbers: tuple[int, ...],
    key: str,
    path: Path,
    announce: Announce,
    metrics: Metrics,
) -> Result:
    """Fits a method from all seeds, tests it and writes the cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints = path.with_suffix(".training")
    callbacks: list[Callback] = []
    if not isinstance(settings, ClosedForm):
        saved = Checkpoints(checkpoints, key)
        callbacks = [saved, *announce(name, label)]
    try:
        with reporting_as(f"{name}: {label}"):
            fitted = fit(
                settings,
                task,
                seeds=numbers,
                train=config.train,
                callbacks=callbacks,
                start=config.start,
                label=label,
            )
            cell = evaluate(fitted, task, metrics(task))
        row = dataclasses.replace(cell.rows[0], data=name, published=_published(name, label))
    except Unwritable:  # which is no fault of the method
        raise
    except _FAILURES as error:
        cell = Result(task.describe(), [])
        row = Row(label, name, "failed", " ".join(str(error).split())[:500])
    cell = dataclasses.replace(cell, rows=[row])
    cell.about.update(key=key, window=to_dict(config.window), config=to_dict(config))
    write_json(path, cell.to_dict())
    shutil.rmtree(checkpoints, ignore_errors=True)
    sums_of(checkpoints).unlink(missing_ok=True)
    return cell


def _published(data: str, label: str) -> float | None:
    entry = catalog.METHODS.get(label)
    return None if entry is None else PUBLISHED.get(data, {}).get(entry.published)


def _key(config: RunConfig, task: Task, settings: Any, numbers: Sequence[int]) -> str:
    """A digest of all that a figure depends on: settings, the data themselves, seeds.

    The data by their contents: the same file in another folder is the same data. A closed form does
    not depend on how networks are trained.
    """
    saved = to_dict(config)
    saved |= {"model": None, "method": None, "data": None, "read": _read(saved["read"])}
    saved.pop("beside")
    saved.pop("constrain_bonds")
    saved["train"] = _as_before({k: v for k, v in saved["train"].items() if k not in WHERE})
    if isinstance(settings, ClosedForm):
        saved["train"], saved["start"], numbers = None, None, ()
    method = to_dict(settings) if dataclasses.is_dataclass(settings) else repr(settings)
    data = [t.fingerprint for t in task.trajectories]
    everything = [_as_before(saved), _as_before(method), data, list(numbers)]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _read(read: dict[str, Any]) -> dict[str, Any]:
    """What decides how the data are read."""
    return _as_before({k: v for k, v in read.items() if k != "max_memory"})


def _as_before(settings: Any) -> Any:
    """Settings without those of ADDED that change nothing."""
    if not isinstance(settings, dict):
        return settings
    return {k: v for k, v in settings.items() if k not in ADDED or v != ADDED[k]}


def _finished(path: Path) -> Result | None:
    """The finished cell in a file; None where it is unfinished, damaged, missing or of another format."""
    try:
        cell = Result.from_dict(read_json(path))
    except ValueError:
        return None
    return cell if len(cell.rows) == len(cell.finished) == 1 else None


def _same_windows(cell: Result, config: RunConfig, task: Task) -> bool:
    """Whether a cell of an earlier call is of a task's data, windows and graph."""
    ours, theirs = (
        settings | {"read": _read(settings.get("read", {}))}
        for settings in (to_dict(config), cell.about.get("config", {}))
    )
    same = all(theirs.get(k) == ours[k] for k in ("read", "window", "split", "graph"))
    return same and cell.data.get("fingerprint") == [t.fingerprint for t in task.trajectories]


def place(row: Row) -> tuple[int, str]:
    """The place of a row in the table: by its method or variant, then by its head."""
    order = [*catalog.METHODS, *ORDER]
    base = row.name if row.name in order else row.name.rpartition(" (")[0]
    return (order.index(base) if base in order else len(order)), row.name
