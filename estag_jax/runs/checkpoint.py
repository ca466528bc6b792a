"""Checkpoints on disk: the only file that imports orbax.

The latest state of training is kept, written asynchronously and renamed into place when whole: the
variables and optimiser of every seed, the best variables, and the evaluations so far. Only the process
that trains opens the folder; what readers need is in forecaster.npz.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from estag_jax.runs.folder import RunError
from estag_jax.training.callbacks import Callback
from estag_jax.training.loop import Loop

# What goes wrong is raised as well; after Ctrl-C orbax would log a traceback besides.
logging.getLogger("absl").setLevel(logging.CRITICAL)


class Checkpoints(Callback):
    """Saves the loop after every evaluation and restores it where an earlier process stopped.

    Args:
      folder: where they are kept; created when the first is saved.
      key: what a checkpoint must have been made with to be restored (settings, data), JSON-ready.
    """

    def __init__(self, folder: str | os.PathLike, key: Any = None):
        self.folder, self.key = Path(folder).absolute(), key
        self._checkpointer: Any = None

    def begin(self, loop: Loop) -> None:
        self._checkpointer = ocp.training.Checkpointer(
            self.folder,
            # One behind the latest stays, in case the latest is damaged.
            preservation_policy=ocp.training.preservation_policies.LatestN(2),
            custom_metadata={"key": self.key},
            cleanup_tmp_directories=True,
        )
        known = (self._checkpointer.root_metadata().custom_metadata or {}).get("key", self.key)
        if known != self.key:
            raise RunError(
                f"{self.folder}: was made with other settings or data; choose another --out"
            )
        latest = self._checkpointer.latest
        if latest is not None:
            self._restore(loop, latest)

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        # Without waiting, orbax would skip a save that comes during another. Copies,
        # because the next step overwrites the donated state while orbax still writes.
        self._checkpointer.wait()
        arrays = jax.tree.map(jnp.copy, _arrays(loop))
        facts = {
            "epoch": loop.epoch,
            "best_epoch": loop.best_epoch.tolist(),
            "best_error": [None if np.isinf(e) else float(e) for e in loop.best_error],
            "frozen": loop.frozen.tolist(),
            "seconds": loop.seconds,
            "log": loop.log,
        }
        self._checkpointer.save_checkpointables_async(loop.epoch, arrays, metrics=facts, force=True)

    def end(self, loop: Loop) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _restore(self, loop: Loop, latest: Any) -> None:
        try:
            like = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), _arrays(loop)
            )
            arrays = self._checkpointer.load_checkpointables(latest.step, like)
            facts = latest.metrics
            loop.restore(
                state=type(loop.state)(arrays["variables"], arrays["opt_state"]),
                best=arrays["best"],
                epoch=facts["epoch"],
                best_epoch=np.array(facts["best_epoch"]),
                best_error=np.array([np.inf if e is None else e for e in facts["best_error"]]),
                frozen=np.array(facts["frozen"]),
                seconds=dict(facts["seconds"]),
                log=list(facts["log"]),
            )
        except (ValueError, KeyError, OSError, TypeError) as error:
            # Orbax explains over many lines; the first says what is wrong.
            reason = str(error).strip().split("\n")[0][:200]
            raise RunError(f"{self.folder}/{latest.step}: cannot be restored: {reason}") from error


def _arrays(loop: Loop) -> dict[str, Any]:
    return {
        "variables": loop.state.variables,
        "opt_state": loop.state.opt_state,
        "best": loop.best,
    }
