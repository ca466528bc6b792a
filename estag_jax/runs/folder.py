"""The files of a run's folder: whole or not there, never half-written.

config.json     the run's settings
system.npz      node features, names and graph, from which a forecaster is rebuilt
checkpoints/    latest and best (estag_jax.runs.checkpoint)
metrics.jsonl   one object per evaluation
result.json     final figures, baselines, config, versions, device, seconds
table.md        the result table
figures/        pictures
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.trajectory import Trajectory
from estag_jax.types import Topology

CONFIG, SYSTEM, CHECKPOINTS = "config.json", "system.npz", "checkpoints"
METRICS, RESULT, TABLE, FIGURES = "metrics.jsonl", "result.json", "table.md", "figures"


class RunError(ValueError):
    """A run's folder cannot be used as asked; the message is one line for the user."""


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it into place."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON (no NaN: they are not JSON) by :func:`write_text`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
      RunError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; is {path.parent} the folder of a run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not JSON ({error})") from None


def append_metrics(path: Path, evaluation: dict[str, Any]) -> None:
    """Adds one evaluation's line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(evaluation, allow_nan=False) + "\n")


def read_metrics(path: Path, up_to_epoch: int | None = None) -> list[dict[str, Any]]:
    """The evaluations so far, those after ``up_to_epoch`` and a torn last line left out."""
    evaluations = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            evaluation = json.loads(line)
        except json.JSONDecodeError:
            break
        if up_to_epoch is None or evaluation["epoch"] <= up_to_epoch:
            evaluations.append(evaluation)
    return evaluations


def write_system(path: Path, trajectory: Trajectory) -> None:
    """Keeps what a forecaster needs to know of the system besides the weights."""
    topology = trajectory.topology
    arrays = {
        "node_features": trajectory.node_features,
        "names": np.array(trajectory.names),
        "senders": topology.senders,
        "receivers": topology.receivers,
        "frame_step": np.float64(trajectory.frame_step),
        "time_unit": np.array(trajectory.time_unit),
        "length_unit": np.array(trajectory.length_unit),
        "channels": np.int64(trajectory.channels),
        "dtype": np.array(str(trajectory.positions.dtype)),
    }
    if topology.edge_features is not None:
        arrays["edge_features"] = topology.edge_features
    if trajectory.atomic_numbers is not None:
        arrays["atomic_numbers"] = trajectory.atomic_numbers
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def read_system(path: Path) -> Trajectory:
    """The system of a run as a Trajectory without frames.

    Raises:
      RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        nodes = arrays["node_features"].shape[0]
        return Trajectory(
            positions=np.empty((0, nodes, int(arrays["channels"]), 3), str(arrays["dtype"])),
            node_features=arrays["node_features"],
            names=tuple(map(str, arrays["names"])),
            topology=Topology(
                arrays["senders"], arrays["receivers"], nodes, arrays.get("edge_features")
            ),
            frame_step=float(arrays["frame_step"]),
            time_unit=str(arrays["time_unit"]),
            length_unit=str(arrays["length_unit"]),
            atomic_numbers=arrays.get("atomic_numbers"),
            source=str(path),
        )
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; is {path.parent} the folder of a run?") from None
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}); train again") from None
