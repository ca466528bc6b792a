"""Fits the forecasters that ship with the package, by the commands of data/pretrained/index.json.

    .venv/bin/python experiments/pretrained.py            all of them
    .venv/bin/python experiments/pretrained.py NAME …     some

Writes estag_jax/data/pretrained/NAME.npz, and the fingerprint of the data and the test error into index.json;
for walking, whose data do not ship, also the frames of the test windows into tests/runs/NAME.npz. They are
read from the folder that the command names (CMU's subject 35; without --read.folder they are downloaded).
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from estag_jax import cli
from estag_jax.data.task import Task
from estag_jax.data.windows import frames_of
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.io import write_json
from estag_jax.npz import read_npz, write_npz
from estag_jax.runs import folder, readers
from estag_jax.sources.catalog import load

KEPT = Path(__file__).resolve().parents[1] / "estag_jax" / "data" / "pretrained"
MOST = 6 * 10**6
"""Bytes of all files together."""

WINDOWS = Path(__file__).resolve().parents[1] / "tests" / "runs"
"""Where test windows are kept of data that do not ship."""


def make(name: str, command: str, unseen: Iterable[str] = ()) -> dict:
    """Runs one command, keeps the forecaster, and returns what is to be said of it.

    Args:
      name: of the forecaster.
      command: that fits it.
      unseen: sources of other data that it is tested on.
    """
    with tempfile.TemporaryDirectory() as out:
        cli.main([*shlex.split(command)[1:], "--out", f"{out}/run"])
        run = Path(out) / "run"
        arrays, (_, saved) = read_npz(run / folder.FORECASTER), folder.read_run(run)
        result = folder.read_result(run)
        predictor = readers.load(run).predictor
        if "cmu:" in command:
            _, task = readers.load_task(run, ())
            keep_windows(WINDOWS / f"{name}.npz", task)
        others = {source: evaluate(predictor, Task(load(source))).rows[0].mse for source in unseen}
    write_npz(KEPT / f"{name}.npz", arrays, compressed=True)
    return {
        "fingerprints": saved["fingerprints"],
        "mse": result.rows[-1].mse,
        "unit": result.data["length_unit"],
        "windows": result.data["windows"]["test"],
        **({"unseen": others} if others else {}),
    }


def keep_windows(path: Path, task: Task) -> None:
    """Writes frames [F, N, C, 3] of the test windows, and which of them each window has [W, T + P]."""
    frames = frames_of(task.splits[0].test, task.window)
    read, windows = np.unique(frames, return_inverse=True)
    arrays = {
        "frames": task.trajectories[0].positions[read].astype(np.float32),
        "windows": windows.reshape(frames.shape).astype(np.int16),
    }
    write_npz(path, arrays, compressed=True)


def main(names: list[str]) -> None:
    """Fits the forecasters of these names, or all."""
    index = json.loads((KEPT / "index.json").read_text(encoding="utf-8"))
    for name in names or index:
        index[name] |= make(name, index[name]["command"], index[name].get("unseen", ()))
        write_json(KEPT / "index.json", index)
    sizes = {path.stem: path.stat().st_size for path in sorted(KEPT.glob("*.npz"))}
    for name, size in sizes.items():
        print(f"{name}: {size / 1e6:.2f} MB, {index[name]['mse']:.4g} {index[name]['unit']}²")
    if sum(sizes.values()) > MOST:
        sys.exit(f"{sum(sizes.values()) / 1e6:.1f} MB together, more than {MOST / 1e6:g} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
