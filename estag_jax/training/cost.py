"""What a compiled program costs, by XLA's own count, and how fast this machine works."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Cost(NamedTuple):
    """What a program does and holds.

    Args:
      flops: additions and multiplications.
      transcendentals: exponentials, logarithms, roots.
      bytes: read and written by its fused loops.
      memory: bytes of arguments, results and temporaries at the peak, on one device.
    """

    flops: float
    transcendentals: float
    bytes: float
    memory: float


class Rates(NamedTuple):
    """What one device does in a second.

    Args:
      flops: in products of matrices 16 wide.
      transcendentals: sigmoids of arrays with a long last axis.
      bytes: read and written, in arrays of 2 MB.
    """

    flops: float
    transcendentals: float
    bytes: float


def cost(compiled: Any) -> Cost:
    """Of a compiled program. The body of a loop is counted once, as XLA does."""
    counted, held = compiled.cost_analysis(), compiled.memory_analysis()
    memory = held.argument_size_in_bytes + held.output_size_in_bytes + held.temp_size_in_bytes
    return Cost(
        counted.get("flops", 0.0),
        counted.get("transcendentals", 0.0),
        counted.get("bytes accessed", 0.0),
        memory - held.alias_size_in_bytes,
    )


def measure_rates(
    repeats: int = 30, inner: int = 3, clock: Callable[[], float] = time.perf_counter
) -> Rates:
    """Rates of this process's first device: the best of ``repeats`` runs of ``inner`` calls.

    Runs are short, so that on a busy machine some are not interrupted.
    """
    wide = jax.random.normal(jax.random.key(0), (16, 2**15))
    square = jax.random.normal(jax.random.key(1), (16, 16))

    def rate(function: Callable[[jax.Array], jax.Array], amount: float) -> float:
        run = jax.jit(function).lower(wide).compile()
        seconds = []
        for _ in range(repeats):
            began = clock()
            for _ in range(inner):
                out = run(wide)
            jax.block_until_ready(out)
            seconds.append(clock() - began)
        return inner * amount / min(seconds)

    return Rates(
        rate(lambda x: jnp.matmul(square, x, precision="highest"), 2 * 16 * wide.size),
        rate(jax.nn.sigmoid, wide.size),
        rate(lambda x: x + 1, 2 * wide.nbytes),
    )
