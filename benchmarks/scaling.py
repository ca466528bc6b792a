"""Time and peak memory of ESTAG's forward pass and training step against N or T, and their exponents.

    taskset -c 0 env XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        .venv/bin/python benchmarks/scaling.py [--nodes 1000 10000 100000] [--past 10]

Each case runs in a process of its own, whose largest resident memory is the figure; times are medians of
process CPU time of a few calls after the first. One window, every node receives from 16 random ones. All
edges at once: --edges-at-once 1000000000.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

from estag_jax.data.settings import WindowConfig
from estag_jax.graph import Graph
from estag_jax.io import write_json
from estag_jax.models.estag import EstagConfig
from estag_jax.ops.sharding import device_name
from estag_jax.training.buckets import Bucket
from estag_jax.training.losses import LOSSES
from estag_jax.training.settings import TrainConfig, make_optimizer
from estag_jax.training.step import Rows, init_state, make_steps

NEIGHBOURS = 16
FIGURES = ("seconds", "temporaries")
What = Literal["forward", "step"]


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    nodes: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000, 100_000)
    """N."""
    past: tuple[int, ...] = (10,)
    """T."""
    what: tuple[What, ...] = ("forward", "step")
    """Of one window."""
    hidden: int = 16
    """H."""
    edges_at_once: int | None = None
    """Edges computed at once; None: by the rule of estag_jax.ops.chunks."""
    repeats: int = 3
    """Calls that are timed; below 0, the program is compiled and not run."""
    out: Path | None = None
    """JSON file for the figures."""
    case: str | None = None
    """What the command calls itself with: one case to measure in this process."""


def measure(
    nodes: int, past: int, what: What, hidden: int, edges_at_once: int | None, repeats: int
) -> dict[str, Any]:
    """The figures of one case."""
    rng = np.random.default_rng(0)
    senders = rng.integers(0, nodes, nodes * NEIGHBOURS).astype(np.int32)
    graph = Graph(senders, np.repeat(np.arange(nodes, dtype=np.int32), NEIGHBOURS), nodes)
    frames = rng.normal(size=(past + 1, nodes, 1, 3)).astype(np.float32)
    features = np.ones((1, nodes, 1), np.float32)
    bucket = Bucket(frames, features, graph, np.zeros(1, np.int32), np.zeros(1, np.int32))
    bucket = jax.tree.map(jax.numpy.asarray, bucket)
    model = EstagConfig(hidden=hidden, edges_at_once=edges_at_once).build()
    window = WindowConfig(past=past, delta=1)
    shape = past, 1, (1,)

    small = Graph([0], [1], 2)
    init = partial(model.init, jax.random.key(0))
    variables = init(np.zeros((1, 2, past, 1, 3), np.float32), features[:, :2], small)
    if what == "forward":

        def function(variables, bucket):
            history, _, features, graph = bucket.windows(np.zeros(1, int), *shape)
            return model.apply(variables, history, features, graph)

        arguments = variables, bucket
    else:
        optimizer = make_optimizer(TrainConfig())
        function = make_steps(model, LOSSES["mse"], optimizer, window)
        row = np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32)
        arguments = init_state(variables, optimizer), Rows(*row, jax.random.key(0)[None]), bucket
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.process_time() - began)
    return {
        "N": nodes,
        "T": past,
        "what": what,
        "seconds": statistics.median(seconds[1:] or seconds or [np.nan]),
        "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "temporaries": compiled.memory_analysis().temp_size_in_bytes / 2**30,
    }


def alone(nodes: int, past: int, what: What, config: Config) -> dict[str, Any] | None:
    """The figures of one case from a process of its own; None, and why is printed, where it fails."""
    given = json.dumps([nodes, past, what, config.hidden, config.edges_at_once, config.repeats])
    done = subprocess.run(
        [sys.executable, __file__, "--case", given], capture_output=True, text=True
    )
    told = f"{what:<8} N={nodes:<9,} T={past:<5}"
    if done.returncode:
        print(f"{told} failed: {done.stderr[-300:]}", flush=True)
        return None
    row = json.loads(done.stdout)
    print(
        f"{told} {row['seconds']:8.3f} s   {row['GiB']:6.2f} GiB, of them temporaries "
        f"{row['temporaries']:6.2f}",
        flush=True,
    )
    return row


def main(config: Config) -> None:
    """Prints a line a case, and the exponents."""
    if config.case is not None:
        print(json.dumps(measure(*json.loads(config.case))))
        return
    found = []
    for what in config.what:
        cases = [alone(n, t, what, config) for t in config.past for n in config.nodes]
        rows = [row for row in cases if row is not None]
        axis = "N" if len(config.nodes) > 1 else "T"
        if len(rows) > 1:
            logs = {name: np.log([row[name] for row in rows]) for name in (axis, *FIGURES)}
            slopes = {name: np.polyfit(logs[axis], logs[name], 1)[0] for name in FIGURES}
            told = ", ".join(f"{name} ~ {axis}^{slope:.2f}" for name, slope in slopes.items())
            print(f"{what}: {told}")
        found += rows
    print(device_name())
    if config.out is not None:
        write_json(config.out, {"device": device_name(), "rows": found})


if __name__ == "__main__":
    main(tyro.cli(Config))
