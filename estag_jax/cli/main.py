"""The ``estag`` command: dispatch, and errors as one line.

Each command is a file in this folder with a function of its name, whose parameters are the options. It
is imported only when it is run, so that a usage error is reported at once.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import platform
import shutil
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import estag_jax
from estag_jax.cli import kept_help, signals
from estag_jax.io import cache_folder, did_you_mean, one_line, printable

COMMANDS = {
    "train": "fit a forecaster and test it beside the closed forms",
    "evaluate": "test a run's best forecaster and print the table",
    "rollout": "forecast many frames, for other programs or to be looked at",
    "spectrum": "say at which frequencies nodes move, and whether learned filters look there",
    "report": "write a run or a table as one HTML file",
    "export": "write a run's forecaster as StableHLO and as plain arrays",
    "table": "fit and test every method on every data set, and tabulate",
    "ablation": "fit ESTAG without each of its parts, and compare",
    "plan": "say what a training step costs: operations, memory, time, and what fits",
    "info": "say what a run's folder holds",
    "data": "list, describe, download or simulate trajectories",
}
"""What each command does, for the usage."""

DATA_COMMANDS = {
    "list": "name every source",
    "info": "say what a source holds, SOURCE[:NAME] of estag data list or a path",
    "prepare": "download or simulate a source and keep it",
}
"""What each command behind ``estag data`` does."""


class UsageError(ValueError):
    """A wrong option or value; the message is one line for the user."""


class Failure(RuntimeError):
    """A command could not do its work; the message is one line for the user.

    Args:
      message: the line.
      code: exit code.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command; exits with 2 after one line about bad input, with 1 about a failure.

    Args:
      argv: the arguments; by default those of the process.
    """
    own_process = argv is None
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # Å and × where the terminal has no letters for them
            stream.reconfigure(errors="replace")
    if own_process:
        signals.install()
        sys.unraisablehook = _unraisable
    try:
        if argv[:1] == ["--version"]:
            print(f"estag {estag_jax.__version__}")
        elif argv[:1] == ["data"]:
            _run("estag data", DATA_COMMANDS, argv[1:])
        else:
            _run("estag", COMMANDS, argv)
    except KeyboardInterrupt as stop:
        _end(signals.stopped(stop), own_process)
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Failure as error:
        _fail(str(error), error.code, own_process)
    except OSError as error:
        place = error.filename or ("what is printed" if error.errno else "")
        _fail(f"{place}: {one_line(error)}" if place else str(error), 2, own_process)
    except ValueError as error:
        _fail(str(error), 2, own_process)


def check_out(out: Path, *read: str | os.PathLike, option: str = "--out") -> None:
    """Refuses a file to write that is a folder, lies behind a file, or is read from.

    Args:
      out: the file that will be written.
      read: paths, or specs of data.
      option: what names the file.

    Raises:
      UsageError: names it.
    """
    if out.is_dir():
        raise UsageError(f"{option} is {out}, a folder; name a file in it")
    if file := next((folder for folder in out.parents if folder.is_file()), None):
        raise UsageError(f"{option} is {out}, but {file} is a file and no folder")
    whole = (os.fspath(name) for name in read)
    names = {name for spec in whole for name in (spec, *spec.split(","))}
    if out.exists() and any(os.path.exists(name) and out.samefile(name) for name in names):
        raise UsageError(f"{option} is {out}, which is read from; choose another name")


def _unraisable(what: Any) -> None:
    """Reports an exception that no caller can be told, but for those of C code's own threads.

    After a save has failed, which says so itself, they come from operations that nobody waits for any more.
    """
    if what.object is not None or threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(what)


def _fail(message: str, code: int, own_process: bool) -> None:
    print(f"estag: {printable(message)}", file=sys.stderr)
    _end(code, own_process)


def _end(code: int, own_process: bool) -> None:
    _leave_others(code)
    if own_process:
        # Python's own exit would wait for the threads of a save that failed, and crash one that compiles.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _leave_others(code: int) -> None:
    """Ends a process that trains with others; at Python's own exit it would wait for them."""
    distributed = sys.modules.get("estag_jax.training.distributed")
    if distributed is not None and distributed.active():
        distributed.leave(code)


def _run(program: str, commands: dict[str, str], argv: list[str]) -> None:
    """Runs the one of some commands that is named, or says which there are."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {program} COMMAND [OPTIONS]\n")
        width = shutil.get_terminal_size().columns
        for name, about in commands.items():
            line = f"  {name:<10} {about}"
            print(textwrap.fill(line, width, subsequent_indent=" " * 13))
        print()
        print(f"{program} COMMAND --help lists the options.")
        return
    command = f"{program} {argv[0]}".removeprefix("estag ")
    if argv[0] not in commands:
        unknown = f"{command.removesuffix(argv[0])}{argv[0]!r}{did_you_mean(argv[0], commands)}"
        raise UsageError(f"no command {unknown}; see {program} --help")
    helped = kept_help.file_of(command, argv[1:])
    if (text := kept_help.read(helped)) is not None:
        print(text, end="")
        sys.exit(0)
    from estag_jax.cli.arguments import bound

    # Read by jax when it is imported. A folder for each machine: programs are for its instructions. Small
    # programs are kept too: a run of two epochs has 300 of them and saves a third of its time.
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled" / platform.node())
    )
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # XLA takes two of its own settings for features that the machine lacks, and says so of each program.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its log speaks of packages for writing while a file is read, and libraries of training show all logs.
    logging.getLogger("MDAnalysis").propagate = False
    module = importlib.import_module(f"estag_jax.cli.{command.replace(' ', '_')}")
    bound(command, module, argv[1:], helped)()
