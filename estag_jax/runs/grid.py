"""Runs a grid of data sets and predictors, one JSON file a cell, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from estag_jax.config import to_dict
from estag_jax.evaluate.metrics import per_window_mse
from estag_jax.models.closed_form import PREDICTORS, fit_all
from estag_jax.models.registry import ModelConfig
from estag_jax.models.rows import ROWS, Row, settings
from estag_jax.nn.heads import Head
from estag_jax.runs import folder as runfiles
from estag_jax.runs.published import CLOSED_FORM, PUBLISHED
from estag_jax.train.experiment import Experiment
from estag_jax.train.loop import Report, TrainingDiverged
from estag_jax.train.seeds import count_parameters, fit_seeds, seed_errors
from estag_jax.train.settings import RunConfig
from estag_jax.train.sharding import device_name

CELLS = "cells"

ORDER = (*PREDICTORS, *ROWS)
"""Of the rows of a table: closed forms, then networks."""

Announce = Callable[[str, str, int], Report]
"""From data set, row and epochs to what is told of its evaluations."""

_FAILURES = (
    TrainingDiverged,
    ValueError,
    TypeError,
    FloatingPointError,
    jax.errors.JaxRuntimeError,
)


def run_grid(
    datasets: dict[str, RunConfig],
    rows: dict[str, Row],
    seeds: int,
    out: Path,
    head: Head | None = None,
    announce: Announce = lambda data, row, epochs: lambda epoch, evaluation: None,
) -> list[dict[str, Any]]:
    """Trains and tests every row on every data set; cells that are there already are kept.

    The test windows are evaluated once, at the best validation epoch of each seed. A cell that fails
    is recorded with its reason and the rest goes on; it is tried again the next time.

    Args:
      datasets: by the name of a column, the settings; their ``model`` is not looked at.
      rows: the networks, see ``rows.choose``; the closed-form predictors are always there.
      seeds: how many, counted from the settings' ``train.seed``.
      out: folder; cells go to its cells/DATA/ROW.json.
      head: in place of every network's own head, or None.
      announce: called before each cell that is run.

    Returns:
      The cells in the order of the table, see ``_cell``: those asked for, and the finished ones that
      earlier calls left in the folder for the same windows (other rows, or heads; each says its own
      seeds and epochs).
    """
    cells = []
    for name, config in datasets.items():
        folder = Path(out) / CELLS / _slug(name)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            experiment = Experiment.prepare(config)
        except ValueError as error:
            cells.append(_unfinished(name, "(data)", "failed", str(error)))
            continue
        cells += _closed_form(name, experiment, folder)
        networks = {}
        for label, row, model in _networks(rows, experiment.trajectory.channels, head):
            path = folder / f"{_slug(label)}.json"
            if isinstance(model, str):
                networks[path] = _unfinished(name, label, "skipped", model)
                continue
            numbers = list(range(config.train.seed, config.train.seed + seeds))
            key = _key(experiment, to_dict(model), numbers)
            cell = _kept(path, key)
            if cell is None:
                report = announce(name, label, config.train.epochs)
                cell = _network(name, label, row, experiment, model, numbers, report)
                cell["key"] = key
                runfiles.write_json(path, cell)
            networks[path] = cell
        for path in sorted(folder.glob("*.json")):
            if path not in networks and _same_windows(cell := _read(path), experiment):
                networks[path] = cell
        cells += sorted(networks.values(), key=_place)
    return cells


def stored(out: Path) -> list[dict[str, Any]]:
    """The finished cells that earlier calls left in a folder, in the order of the table."""
    cells = [_read(path) for path in sorted((Path(out) / CELLS).glob("*/*.json"))]
    finished = [cell for cell in cells if cell.get("status") == "finished"]
    return sorted(finished, key=lambda cell: (cell["data"], _place(cell)))


def _networks(
    rows: dict[str, Row], channels: int, head: Head | None
) -> Iterator[tuple[str, Row, ModelConfig | str]]:
    """Label, row and settings of every network, or in place of these why it is not run."""
    labels: list[tuple[ModelConfig, str]] = []
    for name, row in rows.items():
        model = settings(row, channels, head)
        label = name if model == settings(row, channels, None) else f"{name} ({head})"
        same = [other for known, other in labels if known == model]
        if row.several_channels and channels == 1:
            yield label, row, "differs from another row only where nodes have several channels"
        elif same:
            yield label, row, f"the same network as {same[0]}"
        else:
            labels.append((model, label))
            yield label, row, model


def _place(cell: dict[str, Any]) -> tuple[int, str]:
    """Where a cell stands in the table: by its row, then by its head."""
    row = cell["row"]
    base = row if row in ORDER else row.rpartition(" (")[0]
    return ORDER.index(base) if base in ORDER else len(ORDER), row


def _network(
    name: str,
    row_name: str,
    row: Row,
    experiment: Experiment,
    model: ModelConfig,
    numbers: list[int],
    report: Report,
) -> dict[str, Any]:
    """Trains one network from all seeds and tests it."""
    try:
        experiment = experiment.with_model(model)
        fitted = fit_seeds(experiment, numbers, report)
        errors = np.asarray(
            seed_errors(experiment)(fitted.variables, experiment.starts("test"), experiment.dataset)
        )
    except _FAILURES as error:
        return _unfinished(name, row_name, "failed", " ".join(str(error).split())[:500])
    good = np.isfinite(fitted.validation_mse)
    steps = -(-len(experiment.split.train) // experiment.config.train.batch)
    return _cell(
        name,
        row_name,
        errors[good].astype(np.float64).mean(axis=1),
        count_parameters(fitted.variables),
        published=PUBLISHED.get(name, {}).get(row.published) if row_name in ROWS else None,
        head=model.head,
        equivariant=row.equivariant,
        seeds=[n for n, g in zip(numbers, good, strict=True) if g],
        diverged=[n for n, g in zip(numbers, good, strict=True) if not g],
        validation_mse=fitted.validation_mse[good].tolist(),
        best_epoch=fitted.best_epoch[good].tolist(),
        epochs=fitted.epochs,
        seconds={k: round(v, 3) for k, v in fitted.seconds.items()}
        | {"step": fitted.seconds["epoch"] / steps},
        config=to_dict(experiment.config),
        **_circumstances(experiment),
    )


def _closed_form(name: str, experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """All closed-form predictors of one data set; exact, so there is one seed."""
    horizon = experiment.config.window.horizon
    linear = fit_all(*experiment.windows("train"), *experiment.windows("validation"), horizon)
    history, target = experiment.windows("test")
    cells = []
    for forecast in linear:
        error = float(np.mean(per_window_mse(forecast(history), target)))
        published = PUBLISHED.get(name, {}).get(CLOSED_FORM.get(forecast.name, ""))
        cell = _cell(
            name,
            forecast.name,
            np.array([error]),
            forecast.parameters,
            published=published,
            equivariant=True,
            ridge=forecast.ridge,
            **_circumstances(experiment),
        )
        runfiles.write_json(folder / f"{_slug(forecast.name)}.json", cell)
        cells.append(cell)
    return cells


def _cell(name: str, row: str, errors: np.ndarray, parameters: int, **extra: Any) -> dict[str, Any]:
    """A finished cell: errors [S] of the seeds, their mean and sample standard deviation."""
    return {
        "data": name,
        "row": row,
        "status": "finished",
        "test_mse": errors.tolist(),
        "mean": float(errors.mean()),
        "sd": float(errors.std(ddof=1)) if len(errors) > 1 else None,
        "parameters": int(parameters),
    } | extra


def _unfinished(name: str, row: str, status: str, reason: str) -> dict[str, Any]:
    return {"data": name, "row": row, "status": status, "reason": reason}


def _circumstances(experiment: Experiment) -> dict[str, Any]:
    """What a figure must be read with."""
    return {
        "facts": experiment.describe(),
        "window": to_dict(experiment.config.window),
        "split": experiment.split.kind,
        "device": device_name(),
        "versions": {name: version(name) for name in ("estag_jax", "jax", "flax", "optax")}
        | {"python": platform.python_version()},
    }


def _key(experiment: Experiment, model: dict[str, Any], numbers: list[int]) -> str:
    """A digest of all that the figure depends on: settings, the data themselves, seeds.

    The data by their contents: the same file in another folder is the same data.
    """
    config = to_dict(experiment.config) | {"model": model, "data": None}
    everything = [config, experiment.trajectory.fingerprint, numbers]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """The cell in a file; {} where it is damaged or missing."""
    try:
        cell = runfiles.read_json(path)
    except runfiles.RunError:
        return {}
    return cell if isinstance(cell, dict) else {}


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    """The finished cell of the same settings that is there, or None."""
    cell = _read(path)
    same = cell.get("key") == key and cell.get("status") == "finished"
    return cell if same else None


def _same_windows(cell: dict[str, Any], experiment: Experiment) -> bool:
    """Whether a cell is a network's finished figure for an experiment's data, windows and graph."""
    if cell.get("status") != "finished" or "seeds" not in cell:
        return False
    ours = to_dict(experiment.config)
    same = all(cell["config"].get(k) == ours[k] for k in ("read", "window", "split", "graph"))
    return same and cell["facts"]["fingerprint"] == experiment.trajectory.fingerprint


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name).strip("_.") or "data"
