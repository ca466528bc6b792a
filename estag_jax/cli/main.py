"""The ``estag`` command: dispatch, options, and errors as one line.

What each command does stands in estag_jax.cli, which is imported only when one is run, so that
a usage error answers at once.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

A = TypeVar("A")

COMMANDS = {
    "train": "train a forecaster and test it beside the closed-form predictors",
    "evaluate": "test a run's best checkpoint and print the table",
    "rollout": "forecast many frames and write them as extended XYZ",
    "table": "train and test every method on every data set, and tabulate",
    "info": "say what a run's folder holds",
    "data": "list, describe, download or simulate trajectories",
}
"""What each command does, for the usage."""


class UsageError(ValueError):
    """A wrong option or value; the message is one line for the user."""


class Failure(RuntimeError):
    """A command could not do its work; the message is one line for the user."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command; exits with 2 after one line about bad input, with 1 about a failure.

    Args:
      argv: the arguments; by default those of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_usage())
        elif argv[0] == "--version":
            print(f"estag {importlib.metadata.version('estag_jax')}")
        elif argv[0] not in COMMANDS:
            near = nearest(argv[0], COMMANDS)
            raise UsageError(f"no command {argv[0]!r}{near}; see estag --help")
        else:
            room = argv[0] if argv[0] in ("data", "table") else "runs"
            commands = importlib.import_module(f"estag_jax.cli.{room}")
            getattr(commands, argv[0])(argv[1:])
    except KeyboardInterrupt:
        _fail("interrupted; checkpoints written so far are kept", 130)
    except Failure as error:
        _fail(str(error), 1)
    except (ValueError, OSError) as error:
        _fail(str(error), 2)


def parse(
    command: str,
    kind: Callable[..., A],
    argv: list[str],
    default: A | None = None,
    description: str | None = None,
) -> A:
    """Typed arguments; tyro's framed messages become one line."""
    import tyro

    errors = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                kind, args=argv, prog=f"estag {command}", description=description, **options
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_one_line(errors.getvalue())}; see estag {command} --help") from None


def _one_line(framed: str) -> str:
    """The message of a framed error and, where tyro suggests one, the nearest option."""
    lines = [line.strip("│╭╮╰╯ ") for line in framed.splitlines()]
    rules = [i for i, line in enumerate(lines) if line and set(line) == {"─"}]
    body = [line for line in lines[1 : rules[0] if rules else None] if line and "─" not in line]
    message = " ".join(body) or "unusable arguments"
    for i, line in enumerate(lines):
        if line.startswith("Perhaps you meant"):
            nearest = next((x.split()[0] for x in lines[i + 1 :] if x.startswith("--")), None)
            message += f"; did you mean {nearest}?" if nearest else ""
    return message


def nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    """ ", did you mean …?" for the closest known word, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _fail(message: str, code: int) -> None:
    print(f"estag: {message}", file=sys.stderr)
    sys.exit(code)


def _usage() -> str:
    lines = [f"  {name:<10} {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "usage: estag COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "estag COMMAND --help lists the options.",
        ]
    )
