"""Typed arguments by tyro, and its messages as one line."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import tyro

from estag_jax.cli import kept_help
from estag_jax.cli.main import UsageError

RENAMED = {
    "--window.horizon": "--window.horizons",
}
"""Options of earlier versions, and what to write now."""


def bound(
    command: str, module: ModuleType, argv: list[str], helped: Path | None = None
) -> Callable[[], None]:
    """A command's function with its arguments, as tyro reads them from its signature.

    Args:
      command: its name; the function is named so too.
      module: where the function is. A function ``given`` beside it says what depends on other arguments:
        from these to the values that options start from, and the ``epilogue`` of the help.
      argv: the arguments.
      helped: where the help that they ask for is kept (cli.kept_help), or None.

    Raises:
      UsageError: one line for the user; tyro's message is framed.
    """
    function = getattr(module, command.replace(" ", "_"))
    given: dict[str, Any] = module.given(argv) if hasattr(module, "given") else {}
    epilogue = given.pop("epilogue", "")

    @functools.wraps(function)
    def bind(*positional: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(function, *positional, **options)

    errors, shown = io.StringIO(), _Shown(sys.stdout)
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(shown):
            return tyro.cli(
                functools.partial(bind, **given),
                args=argv,
                prog=f"estag {command}",
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if not stop.code:
            width = shutil.get_terminal_size().columns
            # tyro leaves a usage of up to 80 letters behind the name on one line.
            usage, blank, options = shown.getvalue().partition("\n\n")
            usage = re.sub(r"\x1b\[[\d;]*m", "", usage)  # colours, which count as letters
            usage = textwrap.fill(usage, width, subsequent_indent="  ", break_on_hyphens=False)
            below = (textwrap.fill(p, width, subsequent_indent="  ") for p in epilogue.splitlines())
            text = "".join((usage, blank, options, *(f"{paragraph}\n" for paragraph in below)))
            print(text, end="")
            kept_help.keep(helped, text)
            raise
        for option, now in RENAMED.items():
            if any(argument.partition("=")[0] == option for argument in argv):
                raise UsageError(f"{option} is now {now}") from None
        raise UsageError(f"{_one_line(errors.getvalue())}; see estag {command} --help") from None


class _Shown(io.StringIO):
    """What tyro prints, in the colours and letters of the terminal."""

    encoding = property(lambda self: self.terminal.encoding)

    def __init__(self, terminal: TextIO):
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal.isatty()


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
