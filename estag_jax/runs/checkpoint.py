"""Checkpoints on disk: the only file that imports orbax.

A run's folder keeps two, the latest and the best by validation error, written asynchronously and
renamed into place when whole. Each holds the model's variables, the optimiser's state and the
evaluation's figures; the folder carries the run's config and the fingerprint of its data.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from estag_jax.train.step import TrainState

logging.getLogger("absl").setLevel(logging.ERROR)

METRIC = "validation_mse"


class CheckpointError(ValueError):
    """A folder holds no usable checkpoint; the message is one line for the user."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: where they are kept; created when the first is saved.
      about: JSON-ready facts stored once with the folder (config, data fingerprint).
    """

    def __init__(self, folder: str | os.PathLike, about: dict[str, Any] | None = None):
        policies = ocp.training.preservation_policies
        self.folder = Path(folder).absolute()
        self._checkpointer = ocp.training.Checkpointer(
            self.folder,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(1),
                    policies.BestN(get_metric_fn=lambda m: m[METRIC], reverse=True, n=1),
                ]
            ),
            custom_metadata=about,
            cleanup_tmp_directories=True,
        )

    @property
    def about(self) -> dict[str, Any]:
        """Facts stored with the folder when it was made; empty where there are none."""
        return self._checkpointer.root_metadata().custom_metadata or {}

    def save(self, epoch: int, state: TrainState, evaluation: dict[str, float]) -> None:
        """Starts to write a checkpoint; waits first for the one before it.

        Args:
          epoch: epochs trained so far, the checkpoint's number.
          state: what to keep.
          evaluation: figures of this epoch, with the validation error under METRIC.
        """
        # Without waiting, orbax would skip a save that comes while another is under way.
        self._checkpointer.wait()
        self._checkpointer.save_checkpointables_async(
            epoch, state._asdict(), metrics=evaluation, force=True
        )

    def best(self) -> dict[str, Any] | None:
        """Figures of the best evaluation among those kept, None where there is none."""
        kept = [c.metrics for c in self._checkpointer.checkpoints if c.metrics]
        return min(kept, key=lambda m: (m[METRIC], m["epoch"]), default=None)

    def latest(self) -> dict[str, Any] | None:
        """Figures of the latest evaluation, None where there is none."""
        return None if self._checkpointer.latest is None else self._checkpointer.latest.metrics

    def restore(self, epoch: int, like: TrainState) -> TrainState:
        """The whole state of a kept epoch, placed and sharded as ``like``."""
        return TrainState(**self._load(epoch, like._asdict()))

    def restore_variables(self, epoch: int, like: Any) -> Any:
        """The model's variables of a kept epoch, placed and sharded as ``like``."""
        return self._load(epoch, {"variables": like})["variables"]

    def _load(self, epoch: int, like: dict[str, Any]) -> dict[str, Any]:
        self._checkpointer.wait()
        try:
            return self._checkpointer.load_checkpointables(epoch, like)
        except (ValueError, KeyError, OSError) as error:
            # Orbax explains over many lines; the first says what is wrong.
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(f"{self.folder}/{epoch}: cannot be restored: {reason}") from error

    def close(self) -> None:
        """Waits for writes under way; call it before the program ends."""
        self._checkpointer.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def abstract(tree: Any, sharding: jax.sharding.Sharding | None = None) -> Any:
    """Shapes and dtypes of a tree of arrays, to restore into; placed as given or as the arrays are."""
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding or a.sharding), tree
    )
