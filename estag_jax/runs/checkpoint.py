"""Checkpoints on disk: the only file that imports orbax.

The latest two states of training are kept, each renamed into place when whole: the variables and optimiser of
every seed, the best variables, and the evaluations so far. Beside the folder lie the SHA-256 of its files, so
that damage is found before anything is restored. Only the process that trains opens the folder; what readers
need is in forecaster.npz. Several processes (training.distributed) save together, and another number of them
can restore.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from estag_jax.disk import leftovers, unwritable
from estag_jax.io import FileError, read_json, write_json
from estag_jax.runs.folder import RunError, Unwritable, sums_of
from estag_jax.training import distributed, interrupts
from estag_jax.training.callbacks import Callback
from estag_jax.training.loop import Loop

# What goes wrong is raised as well; after Ctrl-C or a failed save orbax would log tracebacks besides.
for _name in ("absl", "asyncio", "concurrent.futures"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_LOG = logging.getLogger("estag_jax")
if logging.lastResort and not _LOG.handlers:  # plain lines on standard error
    _LOG.addHandler(logging.lastResort)
    _LOG.propagate = False


class Checkpoints(Callback):
    """Saves the loop after every evaluation and restores it where an earlier process stopped.

    Where the latest state is damaged, the one before it is restored, and a line says so.

    Args:
      folder: where they are kept; created when the first is saved.
      key: what a checkpoint must have been made with to be restored (settings, data), JSON-ready.
      up_to_date: from the key of a checkpoint of an older version to that of this one.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        key: Any = None,
        up_to_date: Callable[[Any], Any] = lambda key: key,
    ):
        self.folder, self.key, self.up_to_date = Path(folder).absolute(), key, up_to_date
        self._checkpointer: Any = None
        self._saved: float = np.inf

    def begin(self, loop: Loop) -> None:
        # Of a process that was killed at its last save: a training that has ended writes no sums any more.
        for left in leftovers(sums_of(self.folder)) if distributed.is_first() else ():
            left.unlink(missing_ok=True)
        damaged = {step: why for step in self._steps() if (why := self._damage(step))}
        for step in damaged:
            _rename(self._path(step), self._aside(step))
        while True:
            steps = self._steps()
            try:
                self._open()
                why = self._restore(loop, steps[-1]) if steps else ""
            except RunError:
                raise
            except ValueError as error:  # of a state that orbax looks into when it opens the folder
                if not steps:
                    raise
                why = _first_line(error)
            if not why:
                break
            self.end(loop)
            damaged[steps[-1]] = why
            _rename(self._path(steps[-1]), self._aside(steps[-1]))
        if damaged and not steps:
            for step in damaged:
                _rename(self._aside(step), self._path(step))
            step, why = max(damaged.items())
            raise RunError(
                f"{self._path(step)}: cannot be restored ({why}), and there is no other; add --overwrite "
                f"to start again"
            )
        for step, why in damaged.items() if distributed.is_first() else ():
            _LOG.warning(
                f"{self._path(step)}: is damaged ({why}); going on from epoch {loop.epoch}"
            )
            _delete(self._aside(step))
        self._saved = loop.epoch

    def evaluated(self, loop: Loop, evaluation: dict[str, Any]) -> None:
        self._save(loop)

    def interrupted(self, loop: Loop) -> None:
        if loop.epoch > self._saved:
            with interrupts.held():
                self._save(loop)

    def end(self, loop: Loop) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _open(self) -> None:
        try:
            self._checkpointer = ocp.training.Checkpointer(
                self.folder,
                # One behind the latest stays, in case the latest is damaged.
                preservation_policy=ocp.training.preservation_policies.LatestN(2),
                custom_metadata={"key": self.key},
                cleanup_tmp_directories=True,
            )
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        try:
            known = (self._checkpointer.root_metadata().custom_metadata or {}).get("key", self.key)
        except (ValueError, OSError):
            known = self.key  # its file is damaged; run.json has the settings too
        if known != self.key and self.up_to_date(known) != self.key:
            raise RunError(
                f"{self.folder}: was made with other settings or data; choose another --out"
            )

    def _save(self, loop: Loop) -> None:
        facts = {
            "epoch": loop.epoch,
            "best_epoch": loop.best_epoch.tolist(),
            "best_error": [None if np.isinf(e) else float(e) for e in loop.best_error],
            "frozen": loop.frozen.tolist(),
            "seconds": loop.seconds,
            "log": loop.log,
            "losses": [np.asarray(loss).tolist() for loss in jax.device_get(loop.losses)],
        }
        distributed.barrier(f"save epoch {loop.epoch}")
        try:
            os.listdir(self.folder)  # fails if someone has deleted it; orbax would create it again
            self._checkpointer.save_checkpointables(
                loop.epoch, _arrays(loop), metrics=facts, force=True
            )
            if distributed.is_first():
                sums = {str(step): _sums(self._path(step)) for step in self._steps()}
                write_json(sums_of(self.folder), sums)
        except (OSError, ValueError) as error:
            with contextlib.suppress(Exception):  # it would say the same again
                self.end(loop)
            self._checkpointer = None
            raise _unwritable(self._path(loop.epoch), error) from None
        self._saved = loop.epoch

    def _restore(self, loop: Loop, step: int) -> str:
        """Restores a state; or says why not."""
        try:
            like = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), _arrays(loop)
            )
            arrays = self._checkpointer.load_checkpointables(step, like)
            facts = next(c.metrics for c in self._checkpointer.checkpoints if c.step == step)
            loop.restore(
                state=type(loop.state)(arrays["variables"], arrays["opt_state"]),
                best=arrays["best"],
                epoch=facts["epoch"],
                best_epoch=np.array(facts["best_epoch"]),
                best_error=np.array([np.inf if e is None else e for e in facts["best_error"]]),
                frozen=np.array(facts["frozen"]),
                seconds=dict(facts["seconds"]),
                log=list(facts["log"]),
                losses=[np.float32(loss) for loss in facts.get("losses", ())],
            )
        except (ValueError, KeyError, OSError, TypeError, StopIteration) as error:
            # Orbax explains over many lines; the first says what is wrong.
            return _first_line(error)
        return ""

    def _path(self, step: int) -> Path:
        return self.folder / str(step)

    def _aside(self, step: int) -> Path:
        """Where a damaged state is, out of the way of orbax, until another is restored."""
        return self.folder.with_name(f"{self.folder.name}.{step}.partial")

    def _steps(self) -> list[int]:
        """The epochs of the states that are there."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdigit())

    def _damage(self, step: int) -> str:
        """What differs from the files as they were saved; "" where nothing does or nothing is known."""
        try:
            saved = read_json(sums_of(self.folder)).get(str(step), {})
        except (FileError, AttributeError):
            return ""  # killed before it was written: orbax says whether the state is whole
        found = _sums(self._path(step))
        changed = [name for name in saved if found.get(name) != saved[name]]
        if not changed:
            return ""
        return f"{changed[0]} {'was altered' if changed[0] in found else 'is missing'}"


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of the files below a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _rename(path: Path, to: Path) -> None:
    """Renames once for all processes, which have all looked at it before."""
    distributed.barrier(f"look at {path.name}")
    distributed.by_first(f"rename {path.name}", lambda: path.rename(to) and None)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def _unwritable(path: Path, error: Exception) -> Unwritable:
    return Unwritable(
        f"{unwritable(path, error)}, then add --resume; what was saved before is whole"
    )


def _arrays(loop: Loop) -> dict[str, Any]:
    return {
        "variables": loop.state.variables,
        "opt_state": loop.state.opt_state,
        "best": loop.best,
    }
