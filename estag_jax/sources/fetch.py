"""The cache of downloads: every file whole and checked, fetched once.

``NAME`` appears in one step, when all of it is there and its checksum is right; what there is until
then, see ``download``. ``NAME.lock`` is empty.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from estag_jax.data.trajectory import DataError
from estag_jax.sources.download import (
    Failure,
    Report,
    about_file,
    download,
    one_line,
    replacing,
)


class NotThere(DataError):
    """The server says that it has no such file."""


def cache_folder() -> Path:
    """The folder for downloads: that of the environment variable ESTAG_DATA, or the user's cache."""
    given = os.environ.get("ESTAG_DATA")
    return Path(given).expanduser() if given else Path(_pooch().os_cache("estag_jax"))


def fetch(
    url: str | Sequence[str],
    path: str | os.PathLike,
    *,
    sha256: str | None = None,
    progress: bool = True,
    tries: int = 5,
    timeout: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """A file from the network, downloaded unless it is there already.

    A file with a published checksum is downloaded again if the one that is there is another. Where
    none is published, the hash of the first download is kept beside the file as ``NAME.sha256`` (a
    line as of sha256sum), and a file that differs from it later is an error.

    Args:
      url: where it is, or several places to try in this order.
      path: where it goes; its folder is made if need be.
      sha256: its published checksum; "md5:…" and the like name other algorithms, as in pooch.
      progress: show a progress bar on stderr, if that is a terminal.
      tries: tries in a row without a new byte before giving up on a place.
      timeout: seconds without a byte that count as a stall.
      backoff: seconds before the second try; twice as long before each further one.

    Returns:
      The path, with the whole file there.

    Raises:
      NotThere: it is in none of the places.
      DataError: it cannot be had from any of the places, its checksum is wrong, it was altered on
        disk, or it cannot be written; the line says what to do.
    """
    path = Path(path)
    if _is_good(path, sha256):
        return path
    pooch = _pooch()
    causes, absent = [], True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if _is_good(path, sha256):  # another process was quicker
                return path

            partial = path.with_name(f"{path.name}.partial")

            def move(_url, output: str, _pooch):
                os.replace(partial, output)
                about_file(partial).unlink()

            for place in (url,) if isinstance(url, str) else url:
                known = sha256 or _recorded(path)
                try:
                    with _bar(path.name, progress) as report:
                        download(place, partial, tries, timeout, backoff, report)
                    # pooch compares the hash, deletes what is wrong and puts what is right there.
                    pooch.retrieve(place, known, path.name, path.parent, downloader=move)
                except (Failure, ValueError) as cause:  # pooch's for a wrong hash
                    causes.append(f"{place}: {one_line(cause)}")
                    absent &= getattr(cause, "absent", False)
                else:
                    return path if sha256 else verified(path)
            if not sha256 and _recorded(path):
                causes.append(f"if it was changed there on purpose, delete {_record(path)}")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({one_line(error)}); make room or permit it, or set the "
            f"environment variable ESTAG_DATA to another folder"
        ) from error
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
    found = _pooch().file_hash(path)
    expected = _recorded(path)
    if expected is None:
        # A cache that can only be read is used as it is.
        with contextlib.suppress(PermissionError), replacing(_record(path)) as file:
            file.write(f"{found}  {path.name}\n".encode())
    elif found != expected:
        raise DataError(
            f"{path}: was altered, its SHA-256 is {found} and was {expected} when it was first "
            f"read; delete it to download it again, or {_record(path)} to keep it as it is"
        )
    return path


def _is_good(path: Path, sha256: str | None) -> bool:
    """Whether the file is there and right; one altered without a published checksum is an error."""
    if not path.is_file():
        return False
    if sha256 is None:
        return bool(verified(path))
    algorithm, _, expected = sha256.rpartition(":")
    return _pooch().file_hash(path, alg=algorithm or "sha256") == expected.lower()


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


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process or thread at a time download this file; a lock dies with its holder."""
    try:
        import fcntl
    except ImportError:  # Windows, where only the final step is safe from others
        yield
        return
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _bar(name: str, show: bool) -> Iterator[Report]:
    """Shows on a terminal what it is told."""
    from rich import console, progress

    columns = (*progress.Progress.get_default_columns(), progress.DownloadColumn())
    shown = show and sys.stderr.isatty()
    with progress.Progress(
        *columns, console=console.Console(stderr=True), disable=not shown
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _pooch():
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
    return pooch
