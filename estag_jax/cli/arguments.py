"""Typed arguments by tyro, its messages as one line, and defaults that depend on other arguments."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

from estag_jax.cli.main import UsageError
from estag_jax.data.settings import Suggested
from estag_jax.io import did_you_mean
from estag_jax.sources.catalog import find

A = TypeVar("A")

RENAMED = {
    "--window.horizon": "--window.horizons",
}
"""Options of earlier versions, and what to write now."""


def parse(
    command: str,
    kind: Callable[..., A],
    argv: list[str],
    default: A | None = None,
    description: str | None = None,
) -> A:
    """Typed arguments; tyro's framed messages become one line.

    Raises:
      UsageError: one line for the user.
    """
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
        for option, now in RENAMED.items():
            if any(argument.partition("=")[0] == option for argument in argv):
                raise UsageError(f"{option} is now {now}") from None
        raise UsageError(f"{_one_line(errors.getvalue())}; see estag {command} --help") from None


@dataclasses.dataclass(frozen=True)
class _Early:
    data: tuple[str, ...] = ()
    preset: str = ""
    model: str = ""


def early(argv: list[str]) -> _Early:
    """The arguments on which the defaults of others depend; what is wrong with them is found later."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        found, _ = tyro.cli(_Early, args=argv, return_unknown_args=True, add_help=False)
        return found
    return _Early()


def suggested(data: tuple[str, ...]) -> Suggested:
    """Windows and splits that suit the source of the first of several data."""
    return find(data[0])[0].suggested if data else Suggested()


def known(option: str, name: str, names: Any, renamed: dict[str, str]) -> None:
    """Raises UsageError for a name that does not exist, with the nearest or the new one."""
    if name in renamed:
        raise UsageError(f"{option} {name} is now {renamed[name]}")
    if name not in names:
        hint = did_you_mean(name, names)
        raise UsageError(f"no {option.strip('-')} {name!r}{hint}; there are {', '.join(names)}")


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
