"""What training and evaluation both start from: data, split, model, on the device."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.splits import Split, overlap, split
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import gather
from estag_jax.models.registry import ModelConfig, build, model_name, refusal
from estag_jax.sources.catalog import load
from estag_jax.train.settings import RunConfig
from estag_jax.train.sharding import data_mesh, replicate
from estag_jax.train.step import Dataset


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run's data and model, read and checked before anything is compiled.

    Args:
      config: the run's settings.
      trajectory: the data.
      split: starts of the training, validation and test windows.
      model: the network, without parameters.
      mesh: all devices.
    """

    config: RunConfig
    trajectory: Trajectory
    split: Split
    model: nn.Module
    mesh: jax.sharding.Mesh

    @classmethod
    def prepare(cls, config: RunConfig) -> Experiment:
        """Reads the data that a config names and cuts it into windows.

        Raises:
          DataError: bad data, or too few frames for the windows.
          ValueError: the model cannot take the data.
        """
        trajectory = load(config.data, config.graph, config.read)
        parts = split(trajectory, config.window, config.split)
        return cls(config, trajectory, parts, build_for(config, trajectory), data_mesh())

    def with_model(self, config: ModelConfig) -> Experiment:
        """The same data and windows for another model.

        Raises:
          ValueError: the model cannot take the data.
        """
        changed = dataclasses.replace(self.config, model=config)
        other = dataclasses.replace(self, config=changed, model=build_for(changed, self.trajectory))
        other.__dict__["dataset"] = self.dataset  # the arrays on the device are shared
        return other

    @cached_property
    def dataset(self) -> Dataset:
        """The data on the device(s)."""
        data = Dataset(
            jnp.asarray(self.trajectory.positions),
            jnp.asarray(self.trajectory.node_features),
            jax.tree.map(jnp.asarray, self.trajectory.topology),
        )
        return replicate(data, self.mesh)

    def starts(self, part: str) -> jax.Array:
        """Starts of the windows of ``train``, ``validation`` or ``test`` on the device(s) [W]."""
        return replicate(jnp.asarray(getattr(self.split, part), jnp.int32), self.mesh)

    def windows(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Histories [W, N, T, C, 3] and targets [W, N, C, 3] of a part, for host-side fits."""
        return gather(self.trajectory.positions, getattr(self.split, part), self.config.window)

    def init_variables(self, seed: int | None = None) -> Any:
        """Initial parameters from a seed, then the model's own start from data if it has one.

        Args:
          seed: in place of the config's.
        """
        seed = self.config.train.seed if seed is None else seed
        history, _ = gather(self.trajectory.positions, self.split.train[:1], self.config.window)
        data = self.dataset
        variables = jax.jit(self.model.init)(
            jax.random.key(seed), history[0], data.node_features, data.topology
        )
        if hasattr(self.model, "data_init"):
            variables = self.model.data_init(variables, *self.windows("train"))
        return replicate(variables, self.mesh)

    def describe(self) -> dict[str, Any]:
        """Facts about the data and the windows for result.json."""
        trajectory = self.trajectory
        return {
            "source": trajectory.source,
            "provenance": trajectory.provenance,
            "notes": list(trajectory.notes),
            "fingerprint": trajectory.fingerprint,
            "frames": trajectory.num_frames,
            "runs": len(trajectory.lengths),
            "nodes": trajectory.num_nodes,
            "channels": trajectory.channels,
            "edges": trajectory.topology.num_edges,
            "frame_step": trajectory.frame_step,
            "time_unit": trajectory.time_unit,
            "length_unit": trajectory.length_unit,
            "windows": {
                part: len(getattr(self.split, part)) for part in ("train", "validation", "test")
            },
            "dropped_windows": self.split.dropped,
            "overlap_with_train": overlap(self.split, self.config.window),
        }


def build_for(config: RunConfig, trajectory: Trajectory) -> nn.Module:
    """The config's model, if it can take these data; asked before anything is compiled.

    Raises:
      ValueError: it cannot; the message is one line for the user.
    """
    model = build(config.model)
    if why := refusal(model, trajectory.channels, trajectory.topology):
        raise ValueError(f"{model_name(config.model)} cannot take {trajectory.source}: {why}")
    return model
