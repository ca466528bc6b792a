"""Prints the peak memory of ``estag`` on a large file, and what the file adds to that of a small one.

    .venv/bin/python benchmarks/memory.py [--megabytes 240]

Each command is a process of its own. What importing and compiling take does not grow with the file: it is
what the small file shows.
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

NODES, SMALL = 20, 20_000
"""Carbon atoms, and frames of the small file, 5 MB."""

MB = 1e6


@dataclasses.dataclass(frozen=True)
class Config:
    """Peak memory by command."""

    megabytes: int = 240
    """Size of the large file."""

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
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text())
    return usage.ru_maxrss * 1024 / MB


def main(config: Config) -> None:
    """Prints one row a command."""
    estag = [sys.executable, "-m", "estag_jax"]
    commands = {
        "data info": ["data", "info", "FILE", "--figure", "f.png"],
        "train var-ridge": ["train", "--data", "FILE", "--model", "var-ridge", "--out", "a"],
        f"train {config.model}": [
            *["train", "--data", "FILE", "--model", config.model, "--out", "b"],
            *["--train.epochs", "1"],
        ],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, frames in (
            ("small", SMALL),
            ("large", int(config.megabytes * MB) // (NODES * 12)),
        ):
            # In a process of its own: a command's peak counts that of the process that started it.
            writer = multiprocessing.Process(target=write, args=(folder / f"{file}.npz", frames))
            writer.start()
            writer.join()
        size, least = ((folder / f"{n}.npz").stat().st_size / MB for n in ("large", "small"))
        alone = peak([sys.executable, "-c", "import jax; jax.numpy.zeros(1)"], folder)
        print(f"jax alone: {alone:.0f} MB; file: {size:.0f} MB")
        for title, command in commands.items():
            found = []
            for file in ("small.npz", "large.npz"):
                words = [file if word == "FILE" else word for word in command]
                found.append(
                    peak([*estag, *words, *["--overwrite"] * (words[0] == "train")], folder)
                )
            small, large = found
            print(
                f"{title:<16} {large:5.0f} MB, {large / size:.2f} times the file; {small:5.0f} MB with "
                f"{least:.0f} MB, so the file adds {(large - small) / (size - least):.2f} times itself",
                flush=True,
            )


if __name__ == "__main__":
    main(tyro.cli(Config))
