"""Files: written whole or not at all, read with one clear error; and words for messages."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextvars import ContextVar
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import platformdirs

from estag_jax import disk, memory


class Report(Protocol):
    """Called with a task's name, how much of it is done, the total (0 where it is not known), and what
    else there is to say."""

    def __call__(self, what: str, done: int, total: int, figures: str = "", /) -> None: ...


_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,  # an encrypted archive, an unknown compression
    SyntaxError,  # the header of an array, as is the next
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_DEFLATE = 1040  # at least the most that deflate can shrink anything (1032 : 1)


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


def write_npz(path: str | os.PathLike, arrays: Mapping[str, Any], compressed: bool = False) -> None:
    """Writes arrays by name into one .npz file by :func:`write_atomic`."""
    save = np.savez_compressed if compressed else np.savez

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # numpy would add a suffix to a path
            save(file, **arrays)

    write_atomic(path, write)


def read_npz(
    path: str | os.PathLike,
    required: Iterable[str] = (),
    *,
    wanted: Collection[str] | None = None,
    bare: str | None = None,
    error: type[ValueError] = FileError,
) -> dict[str, np.ndarray]:
    """Reads arrays by name. No object is ever unpickled, and nothing larger than the file allocated.

    Args:
      path: an .npz file.
      required: names that must be there.
      wanted: names to read besides, where they are there; None for all.
      bare: the name of the one array of an .npy file; None refuses such files.
      error: what to raise.

    Returns:
      The arrays.

    Raises:
      FileError: or ``error``: the file is missing, damaged, of another kind or lacks an array.
    """
    required = tuple(required)
    try:
        # Opened here, because numpy leaves a file open that it finds to be damaged.
        with Path(path).open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            if magic == b"\x93NUMPY" and bare is not None:
                return {bare: _read_array(file, os.fstat(file.fileno()).st_size)}
            if not magic.startswith(b"PK"):
                kinds = "not an npz" if bare is None else "neither an npz nor an npy"
                raise FileError(f"is {kinds} file")
            with zipfile.ZipFile(file) as archive:
                there = {
                    info.filename.removesuffix(".npy"): info
                    for info in archive.infolist()
                    if info.filename.endswith(".npy")
                }
                chosen = [n for n in there if wanted is None or n in wanted or n in required]
                whole = os.fstat(file.fileno()).st_size
                arrays = {name: _read_member(archive, there[name], whole) for name in chosen}
    except FileNotFoundError as why:
        raise error(f"{path}: there is no such file") from why
    except IsADirectoryError as why:
        raise error(f"{path}: is a folder, not a file") from why
    except (FileError, memory.TooLarge) as why:
        raise error(f"{path}: {why}") from why
    except _DAMAGE as why:
        raise error(
            f"{path}: cannot be read, it may be damaged or cut short ({cause(why)}); copy or save it "
            f"again"
        ) from why
    if missing := [name for name in required if name not in arrays]:
        raise error(
            f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(there)) or 'no arrays'}"
        )
    return arrays


def keys_of(path: str | os.PathLike) -> list[str]:
    """The names of the arrays of an .npz file, none of an .npy or of a file that is neither."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
    except _DAMAGE:
        return []  # which ``read_npz`` says
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def part_of(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with the prefix, by the rest of their names."""
    return {k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ ", did you mean 'x'?" for the known word that is nearest in any case, or ""."""
    words = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f", did you mean {words[near[0]]!r}?" if near else ""


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


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, whole: int) -> np.ndarray:
    """One array of an archive of ``whole`` bytes, whose directory may claim any size."""
    factor = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE}.get(info.compress_type)
    if factor is None:
        raise ValueError(f"{info.filename} is compressed by a method that numpy does not write")
    with archive.open(info) as member:
        array = _read_array(member, min(info.file_size, factor * min(info.compress_size, whole)))
        if member.read(1):  # the checksum is compared at the end of a member
            raise ValueError(f"{info.filename} is longer than its header claims")
    return array


def _read_array(file: BufferedIOBase, most: int) -> np.ndarray:
    """An array in npy format of at most ``most`` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a header of version {version}, which plain numbers do not need")
    read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise FileError(
            "holds pickled objects, which are refused because loading them can run any code; save plain "
            "arrays of numbers"
        )
    size, most = math.prod(shape) * dtype.itemsize, most - file.tell()
    if not 0 <= size <= most:
        raise ValueError(f"a header claims {dtype}{list(shape)}, {size} bytes out of {most}")
    memory.afford(size, f"an array {dtype}{list(shape)}")
    data, filled = np.empty(size, np.uint8), 0
    while filled < size:
        count = file.readinto(data[filled : filled + 2**20])
        if not count:
            raise EOFError(f"{filled} of {size} bytes are there")
        filled += count
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")
