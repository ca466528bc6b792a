"""Faults of a file system on purpose, and commands forked from a process with ``faults.c`` preloaded.

A process that calls :func:`forked` must not have started jax: what it loads is shared by its children, and
the threads of a started backend would be missing in them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from helpers.paths import ROOT

KINDS = ("write", "fsync", "rename", "mkdir", "create")
LIBRARY = "ESTAG_FAULTS"
"""Environment variable: the compiled library, in a process that it is preloaded into."""

COMPILER = shutil.which("cc")


def environment(folder: Path) -> dict[str, str]:
    """Of a process whose operations can be made to fail; compiles the library into a folder.

    The programs of jax are compiled once for all its children.
    """
    library, source = folder / "faults.so", Path(__file__).with_suffix(".c")
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-U_FORTIFY_SOURCE"]
    subprocess.run([*command, "-o", library, source, "-ldl"], check=True)
    return os.environ | {
        LIBRARY: str(library),
        "LD_PRELOAD": str(library),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",  # the usual one takes as long to lower as all else together
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def arm(below: Path, kind: str = "write", nth: int = 0, error: int = 0, last: bool = False) -> None:
    """Makes the n-th operation below a folder fail.

    Args:
      below: the folder.
      kind: of KINDS.
      nth: n from 1; with 0 operations are only counted.
      error: errno; 0 ends the process; -k sends it signal k, and the operation succeeds.
      last: all operations behind it fail too.
    """
    library = ctypes.CDLL(os.environ[LIBRARY])
    library.faults_arm(os.fsencode(below), KINDS.index(kind), ctypes.c_long(nth), error, int(last))


def counts() -> dict[str, int]:
    """Operations of each kind below the folder since ``arm``."""
    library = ctypes.CDLL(os.environ[LIBRARY])
    return {kind: library.faults_count(number) for number, kind in enumerate(KINDS)}


def forked(
    work, log: Path, before=lambda: None, kill_after: float | None = None, number: int = 9
) -> tuple[int, str]:
    """Runs a function in a child, its output in a file.

    Args:
      work: what the child does; an exit code by SystemExit.
      log: file of its output.
      before: called in the child first.
      kill_after: seconds until it gets a signal.
      number: of the signal.

    Returns:
      Exit code, minus the signal that ended it, and its output.
    """
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(output, 1), os.dup2(output, 2)
            try:
                before()
                work()
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException:
                import traceback

                traceback.print_exc()
            others = [one for one in threading.enumerate() if not one.daemon][1:]
            for one in others:
                one.join(5)
                if one.is_alive():  # Python would wait for it
                    print(f"Traceback of a thread that does not end: {one}")
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    if not _ends_within(child, 600 if kill_after is None else kill_after):
        os.kill(child, number)
        if not _ends_within(child, 600):
            os.kill(child, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, log.read_text(errors="replace")


def _ends_within(child: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True
