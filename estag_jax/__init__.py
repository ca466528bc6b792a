"""Forecasts the motion of physical systems from a window of past frames, exactly equivariant.

    import estag_jax
    task = estag_jax.Task(estag_jax.Trajectory.from_arrays(positions, atomic_numbers=z))
    forecaster = estag_jax.fit("ESTAG", task).forecaster
    frame = forecaster.predict(forecaster.history(positions))        # [N, C, 3]
    forecaster.save("mine.npz")

See the README and docs/python.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from estag_jax.moved import moved

if TYPE_CHECKING:
    from estag_jax.data.settings import GraphConfig, SplitConfig, WindowConfig
    from estag_jax.data.system import System
    from estag_jax.data.task import Task
    from estag_jax.data.trajectory import Trajectory
    from estag_jax.evaluation.evaluate import evaluate
    from estag_jax.evaluation.result import Result
    from estag_jax.graph import Graph
    from estag_jax.models.base import ClosedForm, Network, Predictor
    from estag_jax.models.catalog import METHODS
    from estag_jax.models.estag import ESTAG, EstagConfig
    from estag_jax.models.forecaster import Forecaster
    from estag_jax.ops.rollout import rollout
    from estag_jax.report.viewer import view
    from estag_jax.runs.pretrained import load_pretrained
    from estag_jax.runs.readers import load
    from estag_jax.runs.run import train
    from estag_jax.runs.settings import RunConfig
    from estag_jax.sources.catalog import load as load_trajectory
    from estag_jax.training.callbacks import Callback
    from estag_jax.training.fit import fit
    from estag_jax.training.settings import TrainConfig

# Imported on first use, so that `from estag_jax.ops.edft import edft` does not load flax, optax and
# orbax.
_NAMES = {
    "Callback": "training.callbacks",
    "ClosedForm": "models.base",
    "ESTAG": "models.estag",
    "EstagConfig": "models.estag",
    "Forecaster": "models.forecaster",
    "Graph": "graph",
    "GraphConfig": "data.settings",
    "METHODS": "models.catalog",
    "Network": "models.base",
    "Predictor": "models.base",
    "Result": "evaluation.result",
    "RunConfig": "runs.settings",
    "SplitConfig": "data.settings",
    "System": "data.system",
    "Task": "data.task",
    "TrainConfig": "training.settings",
    "Trajectory": "data.trajectory",
    "WindowConfig": "data.settings",
    "evaluate": "evaluation.evaluate",
    "fit": "training.fit",
    "load": "runs.readers",
    "load_pretrained": "runs.pretrained",
    "load_trajectory": "sources.catalog:load",
    "rollout": "ops.rollout",
    "train": "runs.run",
    "view": "report.viewer",
}

__all__ = [*_NAMES]

_MOVED = {
    "LOSSES": "estag_jax.training.losses.LOSSES",
    "METRICS": "estag_jax.evaluation.metrics.METRICS",
    "PRETRAINED": "estag_jax.runs.pretrained.PRETRAINED",
    "load_released": "estag_jax.interop.load_released",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # a tenth of what some commands import

        return version("estag_jax")
    if name not in _NAMES:
        return moved(__name__, _MOVED, stacklevel=3)(name)
    module, _, attribute = _NAMES[name].partition(":")
    return getattr(importlib.import_module(f"estag_jax.{module}"), attribute or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
