"""Prints the peak memory of ``estag`` on files of several sizes, and the line through them.

    .venv/bin/python benchmarks/memory.py [--megabytes 24 240 480]

Each command is a process of its own. What importing and compiling take does not grow with the file: it is
what the line has at a file of zero size. Programs are kept in a new folder: training compiles its own first.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tyro

NODES = 20
"""Carbon atoms."""

SPLIT = [word for part in ("train", "validation", "test") for word in (f"--split.{part}", "100")]
"""Few windows: they take time, and memory of their own alone."""

MB = 1e6


@dataclasses.dataclass(frozen=True)
class Config:
    """Peak memory by command."""

    megabytes: tuple[int, ...] = (24, 240, 480)
    """Sizes of the files."""

    model: str = "ESTAG"
    """The network that is trained for one epoch."""


def write(path: Path, frames: int) -> None:
    """Atoms on a grid of 1.5 Å that oscillate."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:NODES] * 1.5
    omega, phase = rng.uniform(0.1, 0.3, (NODES, 3)), rng.uniform(0, 2 * np.pi, (NODES, 3))
    positions = np.empty((frames, NODES, 3), np.float32)
    for k in range(frames):
        positions[k] = grid + 0.05 * np.sin(omega * k + phase)
    np.savez(path, R=positions, z=np.full(NODES, 6), dt_fs=0.5)


def peak(argv: list[str], folder: Path) -> float:
    """The largest resident memory of a command, MB."""
    with open(folder / "log", "w") as log:
        own = os.environ | {"ESTAG_DATA": str(folder / "cache")}
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, env=own)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text())
    return usage.ru_maxrss * 1024 / MB


def main(config: Config) -> None:
    """Prints one row a command."""
    estag = [sys.executable, "-m", "estag_jax"]
    fitted = ["train", "--data", "FILE", "--overwrite", "--out", "run", *SPLIT, "--model"]
    trained = [*fitted, config.model, "--train.epochs", "1"]
    commands = {
        "data info": ["data", "info", "FILE", "--figure", "f.png"],
        "train var-ridge": [*fitted, "var-ridge"],
        f"train {config.model}": trained,
        f"train {config.model} again": trained,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = []
        for megabytes in config.megabytes:
            # In a process of its own: a command's peak counts that of the process that started it.
            file, frames = folder / f"{megabytes}.npz", int(megabytes * MB) // (NODES * 12)
            writer = multiprocessing.Process(target=write, args=(file, frames))
            writer.start()
            writer.join()
            sizes.append(file.stat().st_size / MB)
        alone = peak([sys.executable, "-c", "import jax; jax.numpy.zeros(1)"], folder)
        print(f"jax alone: {alone:.0f} MB", flush=True)
        for title, command in commands.items():
            peaks = [
                peak([*estag, *(f"{m}.npz" if w == "FILE" else w for w in command)], folder)
                for m in config.megabytes
            ]
            slope, intercept = np.polyfit(sizes, peaks, 1)
            shown = ", ".join(
                f"{p:.0f} MB ({p / s:.1f} times {s:.0f} MB)"
                for p, s in zip(peaks, sizes, strict=True)
            )
            print(f"{title}: {shown}; {intercept:.0f} MB + {slope:.2f} times the file", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
