"""Arrays by name in one .npz file; no object is unpickled, and no more allocated than the file holds."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax import memory
from estag_jax.io import FileError, cause, write_atomic

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
    data, filled = memory.aligned((size,), np.uint8), 0
    while filled < size:
        count = file.readinto(data[filled : filled + 2**20])
        if not count:
            raise EOFError(f"{filled} of {size} bytes are there")
        filled += count
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")
