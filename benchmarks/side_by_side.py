"""Training step, forward and rollout beside plain PyTorch, alternated; JSON files and a Markdown table.

    make bench            [make bench BENCH_ARGS="--rounds 15 --shapes walk"]

The same model with the same weights runs in three programs, each in a process of its own: this package,
its counterpart in eager PyTorch (torch_counterpart.py) and that under torch.compile. Before anything is
timed, predictions are compared. The processes take turns, a call each, so that a machine whose speed
drifts slows all alike: the median over rounds of a ratio is what to quote. Process time beside wall time:
on a busy machine it is the steadier of the two on one core; on several cores threads that wait also
count, so that the wall time of a quiet machine is what matters there.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tyro
from programs import FRAMES, PROGRAMS, Ours
from shapes import SHAPES, STEPS, random_task
from tables import markdown

from estag_jax.io import read_json, write_json, write_text
from estag_jax.models import catalog
from estag_jax.ops.sharding import device_name
from estag_jax.training.cost import measure_rates

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
TABLE = "side_by_side.md"
METHODS = {"released": "ESTAG as released", "paper": "ESTAG"}


def _cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


@dataclasses.dataclass(frozen=True)
class Config:
    """Times of this package and of PyTorch."""

    rounds: int = 9
    """Times that each program is run."""
    shapes: tuple[str, ...] = tuple(SHAPES)
    """Of shapes.SHAPES."""
    settings: tuple[str, ...] = tuple(METHODS)
    """Of METHODS."""
    programs: tuple[str, ...] = tuple(PROGRAMS)
    """Of programs.PROGRAMS; without the others torch need not be installed."""
    cores: tuple[int, ...] = dataclasses.field(default_factory=_cores)
    """Those of the runs on all cores; runs on one core have the last."""
    chunk: int | None = None
    """Windows that this package computes at once, as --train.chunk; None for its rule."""
    out: Path = Path(__file__).parent / "results"
    """Folder of the measurements, a file for each shape and settings, and of the table of all of them."""


def calls(program: str) -> dict[str, int]:
    """The methods that are timed, and into how many parts their times are divided."""
    parts = {"train": STEPS, "validate": STEPS}
    if program != "torch.compile":  # which compiles another program for a window alone
        parts["rollout"] = FRAMES
    return parts | ({"rollout_loop": FRAMES} if program == "estag_jax" else {})


class Worker:
    """A program in a process of its own, on some cores."""

    def __init__(
        self,
        program: str,
        shape: str,
        settings: str,
        cores: tuple[int, ...],
        cache: str,
        chunk: int | None,
    ):
        threads = {"OMP_NUM_THREADS": str(len(cores)), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        flags = {"XLA_FLAGS": ONE_THREAD} if len(cores) == 1 else {}
        argv = ["worker", program, shape, settings]
        if chunk is not None and program == "estag_jax":
            argv.append(str(chunk))
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), sys.executable, __file__, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | flags | {"TORCHINDUCTOR_CACHE_DIR": cache},
        )
        self.about = self.read()

    def read(self) -> Any:
        """The next line of the process."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended with code {self.process.wait()}")
        return json.loads(line)

    def call(self, name: str) -> list[float]:
        """Runs a method of the program and returns its wall and process time."""
        print(name, file=self.process.stdin, flush=True)
        return self.read()

    def close(self) -> float:
        """Ends the process and returns its peak memory in MB, over what it held before the program."""
        peak = self.call("peak")
        self.process.communicate()
        return peak[0]


def work(program: str, shape: str, settings: str, *chunk: str) -> None:
    """Runs the method that each line read names, and writes its wall and process time."""
    task = random_task(SHAPES[shape])
    method = catalog.settings(METHODS[settings], task)
    held = _memory("VmRSS")
    runs = PROGRAMS[program](task, method, SHAPES[shape].windows, *map(int, chunk))
    for name in calls(program):  # what is not yet compiled is so at the first call
        getattr(runs, name)()
    about = {"compile": runs.compile_seconds, "device": device_name()}
    if isinstance(runs, Ours):
        about |= {"rates": measure_rates()._asdict(), "chunk": runs.chunk_cost()._asdict()}
        about |= {"chunks": runs.chunks}
    print(json.dumps(about), flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here, behind the compilation
    for line in sys.stdin:
        if line.strip() == "peak":
            print(json.dumps([_memory("VmHWM") - held]), flush=True)
            continue
        began = time.perf_counter(), time.process_time()
        getattr(runs, line.strip())()
        ended = time.perf_counter(), time.process_time()
        print(json.dumps([b - a for a, b in zip(began, ended, strict=True)]), flush=True)


def _memory(name: str) -> float:
    """MB that the process holds (VmRSS) or has held (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1e3


def measure(config: Config, shape: str, settings: str) -> list[dict[str, Any]]:
    """One entry for each program and number of cores."""
    cores = [config.cores[-1:], config.cores][: 1 + (len(config.cores) > 1)]
    with tempfile.TemporaryDirectory() as cache:
        workers = {
            (program, len(some)): Worker(
                program, shape, settings, some, f"{cache}/{i}-{len(some)}", config.chunk
            )
            for i, some in enumerate(cores)
            for program in config.programs
        }
        found = {key: {name: [] for name in calls(key[0])} for key in workers}
        for _, (program, count) in itertools.product(range(config.rounds), workers):
            for name, parts in calls(program).items():
                seconds = workers[program, count].call(name)
                found[program, count][name].append([second / parts for second in seconds])
        return [
            {"shape": shape, "settings": settings, "program": program, "cores": count}
            | worker.about
            | {"peak": worker.close(), "seconds": found[program, count]}
            for (program, count), worker in workers.items()
        ]


def main(config: Config) -> None:
    """Measures shapes and settings, and writes the table of all measurements in the folder."""
    config.out.mkdir(parents=True, exist_ok=True)
    versions = {name: version(name) for name in ("jax", "torch", "numpy") if find_spec(name)}
    for shape, settings in itertools.product(config.shapes, config.settings):
        print(f"{shape}, {settings} settings", file=sys.stderr, flush=True)
        entries = measure(config, shape, settings)
        write_json(config.out / f"{shape}-{settings}.json", versions | {"entries": entries})
    files = (config.out / f"{shape}-{settings}.json" for shape in SHAPES for settings in METHODS)
    found = [entry for path in files if path.exists() for entry in read_json(path)["entries"]]
    table = markdown(found)
    write_text(config.out / TABLE, table)
    print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(*sys.argv[2:])
    else:
        main(tyro.cli(Config))
