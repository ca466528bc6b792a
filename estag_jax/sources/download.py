"""The cache of downloads: every file whole and checked, downloaded once by pooch."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

import pooch
import requests

from estag_jax.data.system import DataError
from estag_jax.io import FileError, Report, cache_folder, one_line, silent, write_text
from estag_jax.sources.options import FolderOptions

pooch.get_logger().setLevel("WARNING")  # the caller's report says enough

TRIES = 3
"""For each place; a name that cannot be resolved fails at once."""

_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # answers that may differ later


class NotThere(DataError):
    """The server says that it has no such file."""


class _GivenUp(Exception):
    """Why another try would not help; pooch tries again after other errors."""


class _Absent(_GivenUp):
    """That the server has no such file."""


def folder_of(options: FolderOptions, name: str) -> Path:
    """The folder that the user names, or ``name`` in the cache."""
    return cache_folder() / name if options.folder is None else Path(options.folder)


def fetch(
    url: str | Sequence[str],
    path: str | os.PathLike,
    *,
    sha256: str | None = None,
    report: Report = silent,
    timeout: float = 30.0,
) -> Path:
    """A file from the network, downloaded unless it is there already.

    A file with a published checksum is downloaded again if the one on disk differs. Where
    none is published, the hash of the first download is kept beside the file as ``NAME.sha256`` (a
    line as of sha256sum), and a file that differs from it later is an error.

    Args:
      url: where it is, or several places to try in this order.
      path: where it goes; its folder is made if need be.
      sha256: its published checksum; "md5:…" and the like name other algorithms, as in pooch.
      report: receives the bytes downloaded and their total.
      timeout: seconds without a byte that end a try.

    Returns:
      The path, with the whole file there.

    Raises:
      NotThere: it is in none of the places.
      DataError: it cannot be downloaded from any of the places, its checksum is wrong, it was altered on
        disk, or it cannot be written; the line says what to do.
    """
    path = Path(path)
    if sha256 is None and path.is_file():
        return verified(path)
    causes, absent = [], True
    for place in (url,) if isinstance(url, str) else url:
        cause = _download(place, path, sha256 or _recorded(path), report, timeout)
        if cause is None:
            return path if sha256 else verified(path)
        causes.append(f"{place}: {_why(cause)}")
        absent &= isinstance(cause, _Absent)
    if not sha256 and _recorded(path):
        causes.append(f"if it was changed there on purpose, delete {_record(path)}")
    raise (NotThere if absent else DataError)(
        f"{path.name} cannot be downloaded: {'; '.join(causes)}; try again later, or get it some "
        f"other way and name its folder as --read.folder or put it at {path}"
    )


def verified(path: Path) -> Path:
    """The path of a file that is as it was when it came; its hash is recorded if it is not yet.

    Args:
      path: a file, with its hash beside it as ``NAME.sha256`` or not.

    Returns:
      The path.

    Raises:
      DataError: the file was altered, or its record is not one.
    """
    found, expected = pooch.file_hash(path), _recorded(path)
    if expected is None:
        with contextlib.suppress(FileError):  # a cache that can only be read is used as it is
            write_text(_record(path), f"{found}  {path.name}\n")
    elif found != expected:
        raise DataError(
            f"{path}: was altered, its SHA-256 is {found} and was {expected} when it was first "
            f"read; delete it to download it again, or {_record(path)} to keep it as it is"
        )
    return path


def _download(
    url: str, path: Path, known: str | None, report: Report, timeout: float
) -> Exception | None:
    """Downloads a file to its path unless it is there and correct; returns the error, if any."""

    def bring(url: str, partial: str, _) -> None:
        # Lengths are those of the file itself, and not of what the server may make of it.
        options = {"timeout": timeout, "headers": {"Accept-Encoding": "identity"}}
        responses = []  # pooch leaves them open if something goes wrong
        options["hooks"] = {"response": lambda response, **_: responses.append(response)}
        progress = _Progress(path.name, report)
        try:
            pooch.HTTPDownloader(progress, chunk_size=2**16, **options)(url, partial, None)
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", None)
            unresolved = isinstance(_root(error), socket.gaierror)
            # Addresses that are none are ValueErrors too.
            if unresolved or isinstance(error, ValueError) or status not in (None, *_TEMPORARY):
                raise (_Absent if status in (404, 410) else _GivenUp)(_why(error)) from error
            raise
        finally:
            for response in responses:
                response.close()
        with open(partial, "rb") as file:
            start = file.read(512).lstrip().lower()
        if not start:
            raise _GivenUp("the server sends an empty file")
        if start.startswith((b"<!doctype html", b"<html")):
            raise _GivenUp("the server sends a web page and not the file")
        os.chmod(partial, 0o644)  # a cache may be shared, temporary files are private

    brings = pooch.create(
        path.parent,
        "",
        registry={path.name: known},
        urls={path.name: url},
        retry_if_failed=TRIES - 1,
    )
    try:
        brings.fetch(path.name, downloader=bring)
    except (requests.RequestException, _GivenUp, ValueError) as error:
        return error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({one_line(error)}); free space or permit writing, or set the "
            f"environment variable ESTAG_DATA to another folder"
        ) from error
    return None


class _Progress:
    """What pooch takes for a progress bar."""

    def __init__(self, name: str, report: Report):
        self.name, self.report, self.done, self.total = name, report, 0, 0

    def update(self, size: int) -> None:
        self.done += size
        self.report(self.name, min(self.done, self.total or self.done), self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Nothing is left open."""


def _root(error: BaseException) -> BaseException:
    """The first cause behind an error of requests, which wraps it many times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def _why(error: BaseException) -> str:
    """Why a file did not come, on one line."""
    response, root = getattr(error, "response", None), _root(error)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    if isinstance(root, socket.gaierror):
        return "the server's name cannot be resolved; is this machine online?"
    if isinstance(root, TimeoutError):
        return "the server does not answer in time"
    plain = isinstance(error, _GivenUp) or type(error) is ValueError
    return one_line(error) if plain else f"{type(root).__name__}: {one_line(root)}"


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    """The SHA-256 that was recorded beside a file, or None."""
    if not _record(path).exists():
        return None
    line = _record(path).read_text(errors="replace")
    if not (found := re.match(r"([0-9a-f]{64})\s", line)):
        raise DataError(f"{_record(path)}: {line[:80]!r} is no line of sha256sum; delete this file")
    return found[1]
