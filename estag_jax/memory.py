"""How much memory the arrays of a file may take, known from a header before anything is allocated; and
what a compiler leaves, given back.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import numpy as np

GIGABYTE = 10**9

PARTS = {"joints": 10**6, "runs": 64_000}
"""Bytes reckoned for a joint of a skeleton (its turns in 10,000 frames) and for a run (its windows, name and
figures)."""

PAIR = 16
"""Bytes of a pair of nodes in a list of pairs."""

ALIGNMENT = 64
"""Bytes at a multiple of which an array begins that XLA on CPUs does not copy."""

_LIMIT: ContextVar[float | None] = ContextVar("limit", default=None)


class TooLarge(ValueError):
    """More than the limit; the message says how much, and how to raise the limit."""


@contextlib.contextmanager
def at_most(gigabytes: float | None) -> Generator[None]:
    """The limit inside the block, by this thread; None for half of the machine's memory."""
    token = _LIMIT.set(gigabytes)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def afford(size: int, what: str, remedy: str = "keep fewer frames") -> None:
    """Raises TooLarge, which names the remedy, where ``size`` bytes are more than the limit."""
    limit = _LIMIT.get()
    if limit is None:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 / GIGABYTE
    if size > limit * GIGABYTE:
        needed = size / GIGABYTE
        raise TooLarge(
            f"{what} takes {needed:,.1f} GB, the limit is {limit:,.1f} GB; {remedy}, or raise it with "
            f"--read.max-memory {math.ceil(needed)}"
        )


def afford_parts(count: int, kind: str, where: object) -> None:
    """Raises TooLarge where so many of a kind in PARTS are more than the limit."""
    what = f"{where}: what belongs to {count:,} {kind}"
    afford(PARTS[kind] * count, what, "keep fewer")


def afford_pairs(count: int, what: str, remedy: str) -> None:
    """Raises TooLarge where a list of so many pairs of nodes, named by ``what``, is more than the limit."""
    afford(PAIR * count, f"a list of {count:,} {what}", remedy)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array that XLA on CPUs takes as it is, where it copies others."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    return room[begin : begin + size].view(dtype).reshape(shape)


def give_back() -> None:
    """Returns freed memory to the system, where the C library is glibc.

    It keeps what a compiler has freed between what is still in use: 270 MB for ESTAG (benchmarks/memory.py).
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
