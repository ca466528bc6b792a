"""Fits the forecasters that ship with the package, by the commands of data/pretrained/index.json.

    .venv/bin/python experiments/pretrained.py            all of them
    .venv/bin/python experiments/pretrained.py NAME …     some

Writes estag_jax/data/pretrained/NAME.npz, and the fingerprint of the data and the test error into index.json.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path

from estag_jax import cli
from estag_jax.io import read_npz, write_json, write_npz
from estag_jax.runs import folder

KEPT = Path(__file__).resolve().parents[1] / "estag_jax" / "data" / "pretrained"
MOST = 6 * 10**6
"""Bytes of all files together."""


def make(name: str, command: str) -> dict:
    """Runs one command, keeps the forecaster, and returns what is to be said of it."""
    with tempfile.TemporaryDirectory() as out:
        cli.main([*shlex.split(command)[1:], "--out", f"{out}/run"])
        run = Path(out) / "run"
        arrays, (_, saved) = read_npz(run / folder.FORECASTER), folder.read_run(run)
        result = folder.read_result(run)
    write_npz(KEPT / f"{name}.npz", arrays, compressed=True)
    return {
        "fingerprints": saved["fingerprints"],
        "mse": result.rows[-1].mse,
        "unit": result.data["length_unit"],
        "windows": result.data["windows"]["test"],
    }


def main(names: list[str]) -> None:
    """Fits the forecasters of these names, or all."""
    index = json.loads((KEPT / "index.json").read_text(encoding="utf-8"))
    for name in names or index:
        index[name] |= make(name, index[name]["command"])
        write_json(KEPT / "index.json", index)
    sizes = {path.stem: path.stat().st_size for path in sorted(KEPT.glob("*.npz"))}
    for name, size in sizes.items():
        print(f"{name}: {size / 1e6:.2f} MB, {index[name]['mse']:.4g} {index[name]['unit']}²")
    if sum(sizes.values()) > MOST:
        sys.exit(f"{sum(sizes.values()) / 1e6:.1f} MB together, more than {MOST / 1e6:g} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
