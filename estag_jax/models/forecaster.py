"""A fitted predictor bound to its system: pure functions for other JAX code."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from estag_jax.data.settings import WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.graph import Array
from estag_jax.models import catalog, compiled
from estag_jax.models.base import Method, Predictor
from estag_jax.models.constrained import Constrained, ConstrainedPredictor
from estag_jax.models.error_bars import Distribution, ErrorBars
from estag_jax.models.forecaster_file import read, write
from estag_jax.models.history import checked_history
from estag_jax.models.limited import Limited, limited

Vectors = Mapping[str, Array]
"""External vectors by name."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Forecaster:
    """A predictor bound to a system and the shape of its windows.

    A pytree: its arrays (weights, node features, graph) are leaves, so ``jax.jit`` over a forecaster
    does not bake them in. ``predict`` and ``rollout`` are pure: jit, differentiate and vmap them.

    Args:
      predictor: what was fitted.
      inputs: what it knows of the system, see Predictor.inputs.
      system: the nodes.
      window: the shape of a window.
      frame_step: time between frames of the trajectory, in ``time_unit``.
      time_unit: "fs", "ps", "s" or "frame".
      method: the settings of the predictor's method.
      choice: what ``auto`` chose the method from, as JSON.
      error_bars: of the predictor on this system; None where there are none.
    """

    predictor: Predictor
    inputs: Any
    system: System = dataclasses.field(metadata={"static": True})
    window: WindowConfig = dataclasses.field(metadata={"static": True})
    frame_step: float = dataclasses.field(metadata={"static": True})
    time_unit: str = dataclasses.field(metadata={"static": True})
    method: Method = dataclasses.field(metadata={"static": True})
    choice: str = dataclasses.field(default="{}", metadata={"static": True})
    error_bars: ErrorBars | None = None

    @classmethod
    def bind(
        cls,
        predictor: Predictor,
        method: Method,
        trajectory: Trajectory,
        window: WindowConfig,
        error_bars: ErrorBars | None = None,
    ) -> Forecaster:
        """The forecaster for the system of a trajectory, frames as far apart as there."""
        system = trajectory.system
        inputs = jax.tree.map(jnp.asarray, predictor.inputs(system))
        step, unit = trajectory.frame_step, trajectory.time_unit
        return cls(predictor, inputs, system, window, step, unit, method, error_bars=error_bars)

    def of_system(self, trajectory: Trajectory) -> Forecaster:
        """The same predictor for the system of another trajectory, frames as far apart as there."""
        known = self.predictor.transfers
        bars = self.predictor.bars_of(trajectory.system) if known else self.error_bars
        return self.bind(self.predictor, self.method, trajectory, self.window, bars)

    def constrained(self) -> Forecaster:
        """The same with constrained bonds: forecasts keep the bond lengths of the last past frame.

        Error bars stay those of the forecasts without constraints.

        Raises:
          ValueError: the system has no bonds, or bonds are constrained already.
        """
        if isinstance(self.method, Constrained):
            raise ValueError("bonds are constrained already")
        return self._corrected(Constrained(self.method), ConstrainedPredictor(self.predictor))

    def limited(self, task: Task) -> Forecaster:
        """The same within what the training windows of a task show (models.limited), for long rollouts.

        Error bars stay those of the forecasts without limits.

        Args:
          task: of the same system and time step.

        Raises:
          ValueError: motion is limited already.
        """
        if isinstance(self.method, Limited):
            raise ValueError("motion is limited already")
        return self._corrected(Limited(self.method), limited(self.predictor, task))

    def _corrected(self, method: Method, predictor: Predictor) -> Forecaster:
        inputs = jax.tree.map(jnp.asarray, predictor.inputs(self.system))
        return dataclasses.replace(self, predictor=predictor, method=method, inputs=inputs)

    def __repr__(self) -> str:
        return (
            f"Forecaster({catalog.label(self.method)}, {self.system.num_nodes} nodes, {self.window}, "
            f"{self.predictor.parameters:,} parameters)"
        )

    @property
    def chosen(self) -> dict[str, Any]:
        """What was chosen from the data: the method, by ``auto``, and what its fit chose."""
        return json.loads(self.choice) | self.predictor.chosen

    @property
    def past(self) -> int:
        """T, the frames of a history."""
        return self.window.past

    @property
    def time_step(self) -> float:
        """Time between two frames of a history or forecast, in ``time_unit``."""
        return self.window.delta * self.frame_step

    @property
    def horizon(self) -> int:
        """Steps of ``time_step`` from the last frame of a history to the forecast."""
        return self.window.horizons[0]

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
        delta = self.window.delta
        need = start + (self.past - 1) * delta + 1
        if not 0 <= start <= need <= frames.shape[0]:
            raise ValueError(
                f"a history from frame {start} needs frames {start} to {need - 1} (T={self.past}, "
                f"Δ={delta}), there are {frames.shape[0]}"
            )
        return jnp.moveaxis(jnp.asarray(frames[start:need:delta]), 0, 1)

    def inputs_with(self, vectors: Vectors | None) -> Any:
        """The predictor's inputs with external vectors of windows, [3] or [B, 3], in place of the system's.

        Raises:
          ValueError: a vector has another shape, or the predictor looks at others alone.
        """
        found, looks_at = {}, self.predictor.vectors
        for name, vector in (vectors or {}).items():
            found[name] = vector = jnp.atleast_2d(jnp.asarray(vector))
            if vector.ndim != 2 or vector.shape[1] != 3:
                raise ValueError(
                    f"vectors: {name} has shape {vector.shape}, expected [3] or [B, 3]"
                )
        if found and looks_at and found.keys().isdisjoint(looks_at):
            given, own = ", ".join(found), ", ".join(looks_at)
            raise ValueError(f"vectors are {given}, the forecast looks at {own}")
        return self.predictor.with_vectors(self.inputs, found)

    def predict(self, history: Array, vectors: Vectors | None = None) -> jax.Array:
        """The frame ``horizon`` steps after the history, by default the next one.

        Args:
          history: past frames, oldest first [N, T, C, 3], or of several windows [B, N, T, C, 3].
          vectors: external vectors at the last of them by name, [3] or one for each window [B, 3]; by
            default those of the system.

        Returns:
          [N, C, 3], or [B, N, C, 3].

        Raises:
          ValueError: another shape, no real numbers, NaN (where the history is not traced), or an external
            vector is not known.
        """
        history = self._checked(history)
        if history.ndim == 4:
            return self._forecast(history[None], vectors)[0]
        return self._forecast(history, vectors)

    def _forecast(self, windows: jax.Array, vectors: Vectors | None) -> jax.Array:
        run = compiled.predict if self.predictor.compiled else type(self.predictor).predict
        return run(compiled.placed(self), windows, self.inputs_with(vectors))

    def _checked(self, history: Array) -> jax.Array:
        expected = self.system.num_nodes, self.past, self.system.channels, 3
        return jnp.asarray(checked_history(history, expected))

    def distribution(
        self, history: Array, joint: bool = False, vectors: Vectors | None = None
    ) -> Distribution:
        """The forecast with its error bars, see models.error_bars; pure.

        Args:
          history: past frames, oldest first [N, T, C, 3], or of several windows [B, N, T, C, 3].
          joint: the covariance of all components together, in place of each point's.
          vectors: as for ``predict``.

        Returns:
          Mean [..., N, C, 3], covariance [..., N, C, 3, 3] or, joint, [..., 3NC, 3NC], and the radius of
          the region of 90 %.

        Raises:
          ValueError: another shape, there are no error bars, or too many points for a joint covariance.
        """
        history, bars = self._checked(history), self._bars()
        windows = history if history.ndim == 5 else history[None]
        found = compiled.distribution(bars, windows, self._forecast(windows, vectors), joint)
        if history.ndim == 5:
            return found
        return Distribution(found.mean[0], found.covariance[0], found.radius)

    def _bars(self) -> ErrorBars:
        if self.error_bars is None:
            raise ValueError("this forecaster has no error bars; fit it again")
        return self.error_bars

    def rollout(
        self,
        history: Array,
        steps: int,
        samples: int | None = None,
        seed: int = 0,
        vectors: Vectors | None = None,
    ) -> jax.Array:
        """The next ``steps`` frames, each from the T before it, in one lax.scan.

        Args:
          history: past frames, oldest first [N, T, C, 3], or of several windows [B, N, T, C, 3].
          steps: how many frames to predict (static under jit).
          samples: K paths, to each forecast of which an error drawn from the error bars is added; None
            for one path without errors (static under jit).
          seed: of the errors.
          vectors: as for ``predict``; they stay as they are over the steps.

        Returns:
          [steps, N, C, 3], or [steps, B, N, C, 3]; with ``samples`` [K, steps, …].

        Raises:
          ValueError: the horizon is not one step, so that a forecast is not the next frame, or there are
            no error bars to draw from.
        """
        if self.horizon != 1:
            raise ValueError(
                f"this forecaster looks {self.horizon} steps ahead and cannot be fed with its own "
                f"forecasts; train with --window.horizons 1"
            )
        history, inputs = self._checked(history), self.inputs_with(vectors)
        windows = history if history.ndim == 5 else history[None]
        bars = None if samples is None else self._bars()
        key = jax.random.key(seed)
        # What jax traces may be differentiated, also in forward mode, which the fast path has not.
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((self, windows, inputs)))
        predictor = self.predictor if traced else compiled.placed(self).hastened()
        paths = compiled.rollout(predictor, windows, inputs, bars, key, steps, samples)
        return paths if history.ndim == 5 else paths[..., 0, :, :, :]

    def save(self, path: str | os.PathLike) -> None:
        """Writes everything into one .npz file, which :meth:`load` reads without the data."""
        write(path, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike, method: Any = None) -> Forecaster:
        """Reads a file of :meth:`save`.

        Args:
          path: the .npz file.
          method: the settings or the Flax module of a method of your own, whose code is not kept in
            the file; not needed for the methods of the catalog.

        Raises:
          FileError: no such file, or one that is damaged, newer, or not a forecaster.
        """
        fields = read(path, method)
        arrays = [jax.tree.map(jnp.asarray, fields.pop(name)) for name in ("predictor", "inputs")]
        return cls(*arrays, **fields)
