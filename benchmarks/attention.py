"""Time and memory of attention over the frames with its gradient: plain, and in blocks.

    .venv/bin/python benchmarks/attention.py [--past 64 128 256 512]

The figures that ops.attention.BLOCKS_FROM rests on; the number of nodes is such that N * T stays the same.
"""

from __future__ import annotations

import dataclasses
import importlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro

module = importlib.import_module("estag_jax.ops.attention")  # whose constant is set below


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes."""

    past: tuple[int, ...] = (64, 128, 256, 512)
    """T."""
    frames: int = 20_000
    """N * T."""
    hidden: int = 16
    """H."""


def main(config: Config) -> None:
    """Prints a line a case: the least of three CPU times, and the compiler's temporaries."""
    for past in config.past:
        shape = 1, config.frames // past, past
        sizes = [(*shape, config.hidden)] * 3 + [(*shape, 1), (*shape, 1, 3)]
        rng = np.random.default_rng(0)
        given = [jnp.asarray(rng.normal(size=size), jnp.float32) for size in sizes]
        for name, blocks_from in (("plain", 10**9), ("blocks", 1)):
            module.BLOCKS_FROM = blocks_from

            def loss(*given):
                return sum(jnp.sum(jnp.sin(each)) for each in module.attend(*given))

            compiled = jax.jit(jax.grad(loss, argnums=range(5))).lower(*given).compile()
            seconds = []
            for _ in range(4):
                began = time.process_time()
                jax.block_until_ready(compiled(*given))
                seconds.append(time.process_time() - began)
            memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
            print(f"T={past:<4} {name:<6} {1e3 * min(seconds[1:]):6.0f} ms {memory:6.0f} MiB")


if __name__ == "__main__":
    main(tyro.cli(Config))
