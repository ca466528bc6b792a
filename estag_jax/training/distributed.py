"""Several processes that train as one: how they find each other, wait for each other, and stop together.

Each process reads all data, computes on its own devices and takes part in every step. Process 0 alone writes
logs, tables and figures; checkpoints are written by all. With one process every function here does nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import hashlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

import jax
import numpy as np

from estag_jax.io import one_line
from estag_jax.ops.sharding import over_processes
from estag_jax.training import interrupts
from estag_jax.training.callbacks import Callback

RESUME = 75
"""Exit code (EX_TEMPFAIL of sysexits.h) of a training that stopped before its end: start it again with
``--resume``."""

_DAY = 24 * 3600
_LEAVE = 5.0
"""s that a process waits for the others when it ends early."""
_names = itertools.count()
_state = {"timeout": 300.0}


class Lost(RuntimeError):
    """Another process of the training is gone or late; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """How the processes of a training find each other; without launcher and coordinator there is one."""

    launcher: Literal["slurm", "ompi", "kubernetes", "auto"] | None = None
    """Where what is not given below comes from: the environment of srun or Open MPI's mpirun, the index of
    an indexed Job (kubernetes), or whatever jax recognises (auto: also TPU pods)."""
    coordinator: str | None = None
    """HOST:PORT of process 0."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """The number of this one, from 0."""
    devices: int | None = None
    """Devices of all processes together; None: as many for each process as for this one."""
    timeout: int = 300
    """Seconds that processes wait for each other at the start, after restoring and before saving."""
    grace: float = 15.0
    """Seconds from a signal to the end of the process where the epoch under way does not end by then."""
    watchdog: float = 30.0
    """Minutes without the end of an epoch after which stacks are written and the process ends with 75."""

    @property
    def asked(self) -> bool:
        """Whether there are several processes."""
        return self.launcher is not None or self.coordinator is not None


def start(config: DistributedConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Connects this process to the others, before anything touches a device.

    Raises:
      ValueError: options are missing, or processes or devices are not as many as expected.
      Lost: the others did not come within the timeout.
    """
    if not config.asked:
        return
    options = _options(config, environ)
    # Its handler of SIGTERM would take the place of ours, which reaches the other processes too.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            **options,
            initialization_timeout=config.timeout,
            # At the end processes wait for process 0, which tests the forecaster and draws.
            shutdown_timeout_seconds=_DAY,
        )
    except KeyError as error:
        raise ValueError(f"launcher {config.launcher}: {error} is not set; start by it") from None
    except jax.errors.JaxRuntimeError as error:
        raise Lost(f"the processes did not find each other ({_line(error)})") from None
    _check_devices(config)
    _state["timeout"] = config.timeout
    interrupts.agree, interrupts.exit_code = _agree, lambda number: RESUME


def active() -> bool:
    """Whether this process was started as one of several."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes: process 0, or the only one."""
    return not active() or jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes are here, which needs no device.

    Args:
      name: for the message.

    Raises:
      Lost: one has not come within the timeout of ``start``, or is gone.
    """
    if not active():
        return
    seconds = _state["timeout"]
    try:
        _client().wait_at_barrier(f"estag {next(_names)} {name}", int(1000 * seconds))
    except jax.errors.JaxRuntimeError as error:
        raise Lost(
            f"not all processes came to {name!r} within {seconds:g} s ({_line(error)})"
        ) from None


def by_first(name: str, function: Callable[[], None]) -> None:
    """Process 0 calls a function while the others wait; what it refuses, all refuse.

    Args:
      name: for messages.
      function: what is done once.

    Raises:
      ValueError: of the function, on all processes. Lost: process 0 is gone or late.
    """
    if not active():
        function()
        return
    key = f"estag {next(_names)} {name}"
    if is_first():
        try:
            function()
        except ValueError as error:
            _client().key_value_set(key, str(error))
            raise
        _client().key_value_set(key, "")
        return
    try:
        refused = _client().blocking_key_value_get(key, int(1000 * _state["timeout"]))
    except jax.errors.JaxRuntimeError as error:
        raise Lost(f"process 0 did not finish {name!r} ({_line(error)})") from None
    if refused:
        raise ValueError(refused)


def require_same(what: str, arrays: Callable[[], Any]) -> None:
    """Raises where arrays differ between processes, which would train on without a word.

    Args:
      what: for the message.
      arrays: gives them, as a tree; is not called where there is one process.

    Raises:
      ValueError: names what differs and the processes.
    """
    if not active():
        return
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(arrays()):
        digest.update(np.ascontiguousarray(leaf))
    rows = over_processes(np.frombuffer(digest.digest(), np.uint8))
    others = [str(i) for i, row in enumerate(rows) if (row != rows[0]).any()]
    if others:
        raise ValueError(
            f"{what} of process(es) {', '.join(others)} differ from those of process 0; give all the same "
            f"files, options and software"
        )


def leave(code: int) -> NoReturn:
    """Ends this process, and waits a moment for the others to do so too.

    All disconnect together if they can: when process 0 is gone first, jax ends the others by SIGABRT.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    stop = threading.Timer(_LEAVE, os._exit, (code,))
    stop.daemon = True
    stop.start()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax.distributed.shutdown()
    os._exit(code)


class Watchdog(Callback):
    """Ends a process in which no epoch ends: writes the stacks of its threads and exits with RESUME.

    A process that waits in a collective for another one that hangs cannot be told so otherwise.

    Args:
      minutes: how long an epoch, with compilation and evaluation, may take.
      exit: for tests.
    """

    def __init__(self, minutes: float, exit: Callable[[int], Any] = os._exit):
        self.seconds, self.exit, self.ended = 60 * minutes, exit, threading.Event()

    def begin(self, loop) -> None:
        threading.Thread(target=self._watch, args=(loop,), daemon=True).start()

    def end(self, loop) -> None:
        self.ended.set()

    def _watch(self, loop) -> None:
        epoch, since = loop.epoch, time.monotonic()
        while time.monotonic() - since < self.seconds:
            if self.ended.wait(min(1.0, self.seconds / 4)):
                return
            if loop.epoch != epoch:
                epoch, since = loop.epoch, time.monotonic()
        print(
            f"estag: no epoch ended for {self.seconds:g} s after epoch {epoch}; stacks follow; go on with "
            f"--resume, or raise distributed.watchdog",
            file=sys.stderr,
        )
        faulthandler.dump_traceback(sys.stderr)
        self.exit(RESUME)


def _options(config: DistributedConfig, environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of jax.distributed.initialize."""
    number = config.process_id
    if config.launcher == "kubernetes" and number is None:
        if "JOB_COMPLETION_INDEX" not in environ:
            raise ValueError(
                "launcher kubernetes: JOB_COMPLETION_INDEX is not set; use an indexed Job, or give "
                "distributed.process-id"
            )
        number = int(environ["JOB_COMPLETION_INDEX"])
    options = {
        "coordinator_address": config.coordinator,
        "num_processes": config.num_processes,
        "process_id": number,
    }
    if config.launcher == "auto":
        return options
    if config.launcher in ("slurm", "ompi"):
        return options | {"cluster_detection_method": config.launcher}
    missing = [name for name, value in options.items() if value is None]
    if missing:
        names = ", ".join(
            "distributed." + name.removesuffix("_address").replace("_", "-") for name in missing
        )
        raise ValueError(
            f"processes cannot find each other without {names}; give it, or a launcher"
        )
    return options | {"cluster_detection_method": "deactivate"}


def _check_devices(config: DistributedConfig) -> None:
    """Raises where a process sees other devices than it should, as one GPU by all processes of a host."""
    here, there = jax.local_device_count(), jax.device_count()
    expected = config.devices or here * jax.process_count()
    asked = config.num_processes or jax.process_count()
    if there != expected or jax.process_count() != asked:
        raise ValueError(
            f"process {jax.process_index()} sees {here} of {there} device(s) and {jax.process_count()} "
            f"process(es), expected {expected} and {asked}; under Slurm ask for --gres=gpu:N, not "
            f"--gpus-per-task"
        )


def _agree(number: int) -> int:
    """The signal that any process has got, for all: they stop after the same epoch."""
    return int(over_processes(np.array([number])).max())


def _client() -> Any:
    # jax has no public way to its coordination service; multihost_utils' barriers have no timeouts.
    from jax._src.distributed import global_state

    return global_state.client


def _line(error: Exception) -> str:
    return one_line(error)[:200]
