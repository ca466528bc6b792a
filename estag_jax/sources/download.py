"""One file over HTTP: resumed where it broke off, tried again, and never taken for whole before it is.

While ``NAME`` is on its way its bytes lie in ``NAME.partial``, and ``NAME.partial.json`` says which
state of which remote file they are of, so that a later process can go on from there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_CHUNK = 2**13  # bytes; less than that is lost when a connection breaks off
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # answers that may be other ones later

Report = Callable[[int, int | None], None]
"""Is told the bytes that are there, and their total."""


class Failure(Exception):
    """Why a file did not come, whether another try may help, and whether there is none."""

    def __init__(self, cause: str, again: bool, absent: bool = False):
        super().__init__(cause)
        self.again = again
        self.absent = absent


def download(
    url: str, partial: Path, tries: int, timeout: float, backoff: float, report: Report
) -> None:
    """Brings all of the file to ``partial``, in as many tries as that takes."""
    best, fruitless = _resumable(url, partial)[0], 0
    while True:
        try:
            return _attempt(url, partial, timeout, report)
        except Failure as failure:
            # A try that came further than any before was worth it: a long way may take many.
            size = partial.stat().st_size if partial.exists() else 0
            best, fruitless = (size, 0) if size > best else (best, fruitless + 1)
            if not failure.again:
                raise
            if fruitless >= tries:
                raise Failure(f"{failure}, in {tries} tries in a row", False) from failure
            time.sleep(backoff * 2 ** max(fruitless - 1, 0))


def _attempt(url: str, partial: Path, timeout: float, report: Report) -> None:
    """One request, for the whole file or for what is missing of it."""
    import requests

    offset, before = _resumable(url, partial)
    if before and offset == before["total"]:  # all there, but the process died before it was used
        return
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are those of the file itself
    if before:
        headers["Range"] = f"bytes={offset}-"
        if _validator(before):
            headers["If-Range"] = _validator(before)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            remote = _remote(url, response)
            resumed = response.status_code == 206
            if response.status_code == 416 or (resumed and not _continues(remote, before, offset)):
                partial.unlink(missing_ok=True)
                raise Failure("the file on the server changed", True)
            _check(response, remote["total"], partial)
            with partial.open("ab" if resumed else "wb") as file:
                if not resumed:  # written now that the old bytes, which it is not about, are gone
                    with replacing(about_file(partial)) as about:
                        about.write(json.dumps(remote).encode())
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    report(file.tell(), remote["total"])
    except requests.RequestException as error:
        # Addresses that are none are ValueErrors too.
        again = not isinstance(error, (ValueError, requests.TooManyRedirects))
        broke = isinstance(error, requests.exceptions.ChunkedEncodingError)
        cause = "the connection broke off" if broke else _root(error, timeout)
        raise Failure(cause, again) from error
    size = partial.stat().st_size
    if remote["total"] not in (None, size):
        raise Failure(f"{size} of {remote['total']} bytes came", True)


def _remote(url: str, response) -> dict[str, Any]:
    """What a server says about the state of a file; start is where its answer begins."""
    headers = response.headers
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    start, total = found.groups() if found else ("0", headers.get("Content-Length", ""))
    state = {"url": url, "etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
    return state | {"start": int(start), "total": int(total) if total.isdigit() else None}


def _continues(remote: dict[str, Any], before: dict[str, Any] | None, offset: int) -> bool:
    """Whether a partial answer is the rest of what is there, of the same state of the file."""
    if before is None or remote["start"] != offset:
        return False
    return all(remote[key] in (None, before[key]) for key in ("etag", "modified", "total"))


def _check(response, total: int | None, partial: Path) -> None:
    """Raises Failure unless the body of this answer can be the file, or the rest of it."""
    status = response.status_code
    if status not in (200, 206):
        # 202 is what some sites send in place of a file to what they take for a robot.
        cause = f"the server answers {status} {response.reason}"
        raise Failure(cause, status in _TEMPORARY, absent=status in (404, 410))
    if total == 0:
        raise Failure("the server sends an empty file", False)
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if page and not partial.stem.endswith((".html", ".htm")):
        raise Failure("the server sends a web page and not the file", False)
    if total is None and response.headers.get("Transfer-Encoding") != "chunked":
        raise Failure("the server does not say how long the file is, to tell if all came", False)


def about_file(partial: Path) -> Path:
    """Where it is kept what a partial file is a part of."""
    return partial.with_name(f"{partial.name}.json")


def _validator(remote: dict[str, Any]) -> str | None:
    """What If-Range may be given: a weak ETag does not promise the same bytes."""
    strong = remote["etag"] and not remote["etag"].startswith("W/")
    return remote["etag"] if strong else remote["modified"]


def _resumable(url: str, partial: Path) -> tuple[int, dict[str, Any] | None]:
    """How many bytes are there to go on from, and of which state of the file; or 0 and None."""
    try:
        size = partial.stat().st_size
        before = json.loads(about_file(partial).read_text())
    except (FileNotFoundError, ValueError):
        return 0, None
    known = _validator(before) or before["total"]
    if before["url"] != url or not known or not 0 < size <= (before["total"] or size):
        return 0, None
    return size, before


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """A binary file with a name of its own that becomes ``path`` at the end, unless that fails."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o644)  # a cache may be shared, temporary files are private
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _root(error: BaseException, timeout: float) -> str:
    """The first cause behind an error of requests, which wraps it many times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    if isinstance(error, TimeoutError):
        return f"nothing came for {timeout:g} s"
    return f"{type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """An error's message for the middle of a line."""
    return " ".join(str(error).split())
