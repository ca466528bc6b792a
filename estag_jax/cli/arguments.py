"""Typed arguments by tyro, and its messages as one line."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import tyro

from estag_jax.cli.main import UsageError

RENAMED = {
    "--window.horizon": "--window.horizons",
}
"""Options of earlier versions, and what to write now."""


def bound(command: str, module: ModuleType, argv: list[str]) -> Callable[[], None]:
    """A command's function with its arguments, as tyro reads them from its signature.

    Args:
      command: its name; the function is named so too.
      module: where the function is. A function ``given`` beside it says what depends on other arguments:
        from these to the values that options start from, and the ``epilogue`` of the help.
      argv: the arguments.

    Raises:
      UsageError: one line for the user; tyro's message is framed.
    """
    function = getattr(module, command.replace(" ", "_"))
    given: dict[str, Any] = module.given(argv) if hasattr(module, "given") else {}
    epilogue = given.pop("epilogue", "")

    @functools.wraps(function)
    def bind(*positional: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(function, *positional, **options)

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                functools.partial(bind, **given),
                args=argv,
                prog=f"estag {command}",
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if not stop.code:
            width = shutil.get_terminal_size().columns
            for paragraph in epilogue.splitlines():
                print(textwrap.fill(paragraph, width, subsequent_indent="  "))
            raise
        for option, now in RENAMED.items():
            if any(argument.partition("=")[0] == option for argument in argv):
                raise UsageError(f"{option} is now {now}") from None
        raise UsageError(f"{_one_line(errors.getvalue())}; see estag {command} --help") from None


def _one_line(framed: str) -> str:
    """The message of a framed error and, where tyro suggests one, the nearest option."""
    lines = [line.strip("│╭╮╰╯ ") for line in framed.strip().splitlines()]
    # Terminals without the letters have a rule below the title.
    if len(lines) > 1 and set(lines[1]) == {"-"}:
        del lines[1]
    rules = [i for i, line in enumerate(lines) if line and set(line) <= set("─-")]
    body = [line for line in lines[1 : rules[0] if rules else None] if line and "─" not in line]
    message = " ".join(body).removeprefix("Error parsing read: ") or "unusable arguments"
    for i, line in enumerate(lines):
        if line.startswith("Perhaps you meant"):
            nearest = next((x.split()[0] for x in lines[i + 1 :] if x.startswith("--")), None)
            message += f"; did you mean {nearest}?" if nearest else ""
    return message
