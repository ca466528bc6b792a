"""The file of a forecaster: one .npz that is read without the data."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from estag_jax.config import from_dict, to_dict, version_fault
from estag_jax.data.settings import WindowConfig
from estag_jax.data.system import System
from estag_jax.graph import Graph
from estag_jax.io import FileError
from estag_jax.models.base import Method
from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.saved_method import method_from_dict, method_to_dict, predictor_from_arrays
from estag_jax.models.weights_check import check_weights
from estag_jax.npz import part_of, read_npz, write_npz

FORMAT, VERSION = "estag_jax forecaster", 1
# Arrays that are None are left out.
_VALUES = ("frame_step", "time_unit", "choice")
_SYSTEM_VALUES = ("channels", "length_unit", "anchor", "contact_distance")
_SYSTEM_ARRAYS = ("node_features", "atomic_numbers", "bonds", "bond_orders", "hydrogens")
_GRAPH_ARRAYS = ("senders", "receivers", "edge_features")
_NEEDED = {"system/names", "system/node_features", "graph/senders", "graph/receivers"}


def write(path: str | os.PathLike, fields: dict[str, Any]) -> None:
    """Writes the fields of a forecaster."""
    system, bars = fields["system"], fields["error_bars"]
    about = {
        "format": FORMAT,
        "version": VERSION,
        "method": method_to_dict(fields["method"]),
        "window": to_dict(fields["window"]),
    }
    about |= {name: fields[name] for name in _VALUES}
    about |= {name: getattr(system, name) for name in _SYSTEM_VALUES}
    arrays = {
        "about": np.array(json.dumps(about)),
        "system/names": np.array(system.names),
        **{f"system/{name}": getattr(system, name) for name in _SYSTEM_ARRAYS},
        **{f"vectors/{name}": vector for name, vector in system.vectors.items()},
        **{f"graph/{name}": getattr(system.graph, name) for name in _GRAPH_ARRAYS},
        **{f"fitted/{name}": value for name, value in fields["predictor"].to_arrays().items()},
    }
    if bars is not None:
        arrays |= {f"bars/{name}": value for name, value in bars.to_arrays().items()}
    write_npz(path, {name: np.asarray(a) for name, a in arrays.items() if a is not None})


def read(path: str | os.PathLike, method: Any = None) -> dict[str, Any]:
    """The fields of a forecaster.

    Raises:
      FileError: no such file, or one that is damaged, newer, or not a forecaster.
    """
    arrays = read_npz(path)
    try:
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise KeyError("format")
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{path}: is not a forecaster of estag_jax") from None
    if why := version_fault(about.get("version"), VERSION):
        raise FileError(f"{path}: {why}")
    try:
        return _fields(about, arrays, method_from_dict(about["method"], method))
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: {error}") from None


def _fields(about: dict, arrays: dict[str, np.ndarray], method: Method) -> dict[str, Any]:
    for name in _NEEDED - arrays.keys():
        raise ValueError(f"the array {name} is missing")
    names = tuple(map(str, arrays["system/names"]))
    graph = Graph(num_nodes=len(names), **part_of(arrays, "graph/"))
    known = part_of(arrays, "system/") | {name: about[name] for name in _SYSTEM_VALUES}
    known |= {"names": names, "graph": graph, "vectors": part_of(arrays, "vectors/")}
    bars, system = part_of(arrays, "bars/"), System(**known)
    window = from_dict(WindowConfig, about["window"])
    predictor = predictor_from_arrays(method, part_of(arrays, "fitted/"))
    check_weights(method, predictor, system, window.past)
    about.setdefault("choice", "{}")  # Files from before ``auto`` have none.
    return {name: about[name] for name in _VALUES} | {
        "predictor": predictor,
        "inputs": predictor.inputs(system),
        "method": method,
        "system": system,
        "window": window,
        # In float64, as they were fitted: a run's file repeats the figures of its table.
        "error_bars": ErrorBars(**bars) if bars else None,
    }
