"""A trained model as pure functions for other JAX code."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluate.rollout import rollout
from estag_jax.models.registry import build
from estag_jax.runs import folder as runfiles
from estag_jax.runs.run import read_config, restore_best
from estag_jax.train.settings import RunConfig
from estag_jax.types import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Forecaster:
    """A trained model bound to its weights and its system.

    ``predict`` and ``rollout`` are pure functions of the history: jit, differentiate and vmap them.

    Args:
      config: settings of the run.
      model: the network.
      variables: its weights at the best validation epoch.
      system: node names, features, graph, units; without frames.
    """

    config: RunConfig
    model: nn.Module
    variables: Any
    system: Trajectory

    @property
    def past(self) -> int:
        """T, the frames of a history."""
        return self.config.window.past

    @property
    def time_step(self) -> float:
        """Time between two frames of a history or forecast, in ``system.time_unit``."""
        return self.config.window.delta * self.system.frame_step

    @property
    def horizon(self) -> int:
        """Steps of ``time_step`` from the last frame of a history to the forecast."""
        return self.config.window.horizon

    def history(self, frames: Array, start: int = 0) -> jax.Array:
        """The history that begins at a frame of a trajectory in its original step.

        Args:
          frames: [frames, N, 3] or [frames, N, C, 3].
          start: index of the first frame of the history.

        Returns:
          [N, T, C, 3], frames ``window.delta`` steps apart.

        Raises:
          ValueError: too few frames, or another number of nodes or channels.
        """
        if frames.ndim == 3:
            frames = frames[:, :, None]
        expected = (self.system.num_nodes, self.system.channels, 3)
        if frames.shape[1:] != expected:
            raise ValueError(f"frames have shape {frames.shape}, expected (frames, *{expected})")
        delta = self.config.window.delta
        need = start + (self.past - 1) * delta + 1
        if not 0 <= start <= need <= frames.shape[0]:
            raise ValueError(
                f"a history from frame {start} needs {need} frames (T={self.past}, Δ={delta}), "
                f"there are {frames.shape[0]}"
            )
        return jnp.moveaxis(jnp.asarray(frames[start:need:delta]), 0, 1)

    def predict(self, history: jax.Array) -> jax.Array:
        """The frame ``horizon`` steps after the history, by default the next one.

        Args:
          history: past frames, oldest first [N, T, C, 3].

        Returns:
          [N, C, 3].
        """
        return self.model.apply(
            self.variables, history, self.system.node_features, self.system.topology
        )

    def rollout(self, history: jax.Array, steps: int) -> jax.Array:
        """The next ``steps`` frames, each from the T before it, in one lax.scan.

        Args:
          history: past frames, oldest first [N, T, C, 3].
          steps: how many frames to predict (static under jit).

        Returns:
          [steps, N, C, 3].

        Raises:
          ValueError: the horizon is not one step, so that a forecast is not the next frame.
        """
        if self.horizon != 1:
            raise ValueError(
                f"this forecaster looks {self.horizon} steps ahead and cannot be fed with its own "
                f"forecasts; train with --window.horizon 1"
            )
        return rollout(self.predict, history, steps)


def load(run_dir: str | os.PathLike) -> Forecaster:
    """The forecaster that a run left, at its best validation epoch. Needs no data.

    Args:
      run_dir: the folder given to ``estag train --out``.

    Returns:
      The forecaster.

    Raises:
      RunError: the folder holds no run, or a damaged one.
    """
    out = Path(run_dir)
    config = read_config(out)
    system = runfiles.read_system(out / runfiles.SYSTEM)
    model = build(config.model)
    variables, _ = restore_best(out, model, system)
    topology = jax.tree.map(jnp.asarray, system.topology)
    return Forecaster(config, model, variables, dataclasses.replace(system, topology=topology))
