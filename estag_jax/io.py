"""Files: written whole or not at all, read with one clear error; and words for messages."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Generator, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from estag_jax import disk


class Report(Protocol):
    """Called with a task's name, how much of it is done, the total (0 where it is not known), and what
    else there is to say."""

    def __call__(self, what: str, done: int, total: int, figures: str = "", /) -> None: ...


class FileError(ValueError):
    """A file cannot be read or written; the message is one line for the user."""


def cache_folder() -> Path:
    """The folder of downloads and compiled programs: environment variable ESTAG_DATA, or the user's cache."""
    given = os.environ.get("ESTAG_DATA")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("estag_jax")


def silent(what: str, done: int, total: int, figures: str = "") -> None:
    """The Report that says nothing."""


_TOLD: ContextVar[Report] = ContextVar("report", default=silent)


@contextlib.contextmanager
def reporting(report: Report) -> Generator[None]:
    """Tells ``report`` of the stages that are told (:func:`tell`) inside the block, by this thread."""
    token = _TOLD.set(report)
    try:
        yield
    finally:
        _TOLD.reset(token)


@contextlib.contextmanager
def reporting_as(what: str) -> Generator[None]:
    """Gives the stages that are told inside the block the name of a task; of several the outermost."""
    told = _TOLD.get()

    def named(stage: str, done: int, total: int, figures: str = "") -> None:
        told(what, done, total, figures or stage)

    with reporting(named):
        yield


def tell(stage: str, done: int, total: int) -> None:
    """Tells how much of a stage of a long computation is done; heard inside :func:`reporting`."""
    _TOLD.get()(stage, done, total)


def write_atomic(path: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Writes a file under a temporary name beside it and then renames it.

    What a process that was killed has left of writing the same file is removed.

    Args:
      path: the file; its folder is made if need be.
      write: is given the temporary path. What it leaves there is removed if it fails.

    Raises:
      FileError: the file or its folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in disk.leftovers(path):
            left.unlink(missing_ok=True)
        try:
            write(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(disk.unwritable(path, error)) from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes UTF-8 by :func:`write_atomic`."""
    write_atomic(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON by :func:`write_atomic`; NaN is a ValueError, for it is no JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike, error: type[ValueError] = FileError) -> Any:
    """Reads JSON; a file that is missing or holds something else raises ``error``."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as why:
        raise error(f"{path}: there is no such file") from why
    except OSError as why:
        raise error(f"{path}: cannot be read ({one_line(why)})") from why
    except (ValueError, RecursionError) as why:
        raise error(f"{path}: is not JSON ({one_line(why)})") from why


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ ", did you mean 'x'?" for the known word that is nearest in any case, or ""."""
    words = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f", did you mean {words[near[0]]!r}?" if near else ""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """What is said of a name that is none of those known: its nearest, and all there are."""
    return f"no {what} {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"


def slug(text: str) -> str:
    """A text as a part of a file name, of at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.")[-80:] or "data"


def printable(text: str) -> str:
    """A text of a file's for a terminal: what is no letter (control characters, bytes) is escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def one_line(error: BaseException) -> str:
    """What an error says, for the middle of a line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def cause(error: BaseException) -> str:
    """Kind and text of another library's error, on one line of moderate length."""
    if isinstance(error, EOFError) or "StopIteration" in repr(error):
        return "the file ends"  # which these say without words
    # A long preface may name the file once more; a letter that is none may become four.
    text = printable(one_line(error).split(" Error: ")[-1])
    kind = type(error).__name__
    return kind if text == kind else f"{kind}: {text[:200]}{' …' if len(text) > 200 else ''}"


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # bytes of a path that are no UTF-8
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()
