"""How many windows are computed at once, as many as the cache, or the device, holds well; fits too large.

A network keeps arrays of E * T * H numbers for every window. On a CPU the step is fastest when all of
them stay below about 30 MB: larger temporaries are mapped and unmapped by the C library in every step,
which costs more than the arithmetic (benchmarks/train_step.py).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import jax

TRAINING, FORWARD = 35, 12
"""Arrays of E * T * H numbers that are alive at once for a window, with and without a gradient."""

CACHE = 30 * 10**6
"""Bytes of temporaries that keep a CPU fast."""

DEVICE = 2 * 2**30
"""Bytes of temporaries allowed on an accelerator."""

MOST = 500
"""Windows at once where memory sets no bound."""


def edge_numbers(method: Any) -> int:
    """Numbers of an edge and frame in each of the arrays that are counted: the settings' own, else H.

    Args:
      method: settings of a network.
    """
    return getattr(method, "edge_numbers", None) or getattr(method, "hidden", 16)


def windows_at_once(
    nodes: int, edges: int, past: int, numbers: int, itemsize: int = 4, training: bool = False
) -> int:
    """The number of windows to compute at once, at least 1.

    Args:
      nodes: N.
      edges: E.
      past: T.
      numbers: :func:`edge_numbers` of the network.
      itemsize: bytes of a number.
      training: whether a gradient is taken.
    """
    arrays = TRAINING if training else FORWARD
    window = arrays * itemsize * max(edges, nodes) * past * numbers
    budget = CACHE if jax.default_backend() == "cpu" else DEVICE
    return int(min(MOST, max(1, budget // window)))


def chunks_of(share: int, chunk: int | None, collections: Collection[str], *sizes: int) -> int:
    """Into how many parts a device's share of a batch is cut, whose gradients are summed.

    Args:
      share: windows of it.
      chunk: windows of a part at most; None for :func:`windows_at_once`.
      collections: of the network's variables; where there are others than params, batch statistics, which
        are those of the whole batch.
      *sizes: as for :func:`windows_at_once`.
    """
    if set(collections) != {"params"}:
        return 1
    return math.ceil(share / (chunk or windows_at_once(*sizes, training=True)))


def memory_refused(needed: float, allowed: float, of: str, remedies: str) -> str | None:
    """Why a fit is refused that takes more bytes than it may, in one line, or None.

    Args:
      needed: bytes.
      allowed: bytes.
      of: what is fitted.
      remedies: settings to change.
    """
    if needed <= allowed:
        return None
    return (
        f"would take {needed / 2**30:.1f} GiB for {of}, more than the {allowed / 2**30:.1f} GiB allowed "
        f"({remedies})"
    )
