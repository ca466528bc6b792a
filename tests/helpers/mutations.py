"""Damages small files at random and reads them: ``python -m helpers.mutations FORMATS COUNT SEED FOLDER``.

A process of its own, because a fault in a library's C code ends it. Prints one JSON line for each mutant
that is not answered as documented.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np

from estag_jax.cli.info import info
from estag_jax.models.forecaster import Forecaster
from estag_jax.report.tables import csv_text
from estag_jax.runs import grid
from estag_jax.sources.catalog import load
from helpers.paths import ROOT
from helpers.small_files import FORMATS

EXTREME = (
    b"0",
    b"-1",
    b"nan",
    b"inf",
    b"1e308",
    b"999999999999",
    b"99999999999999999999",
    b"x",
    b"",
)
CORPUS = ROOT / "tests" / "sources" / "corpus"
"""By format, damaged files that helpers.fuzz found to take a way of their own through the reader."""

NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def _told(path):
    with contextlib.redirect_stdout(io.StringIO()):
        info(path.parent)


READERS = {
    "run.json": _told,
    "metrics.jsonl": _told,
    "result.json": _told,
    "forecaster.npz": Forecaster.load,
    "AR-LS.json": lambda path: csv_text(grid.stored(path.parents[2])),
}
"""By the name of a file of a run; other files are data."""


def read(spec: str) -> object:
    """Reads data or a file of a run."""
    reader = READERS.get(Path(spec).name)
    return load(spec) if reader is None else reader(Path(spec))


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """One to three random changes: bits, bytes, slices that are lost or doubled, a cut, another number."""
    for _ in range(rng.integers(1, 4)):
        size = len(data)
        if size < 2:
            return data
        begin = int(rng.integers(size))
        end = min(size, begin + int(rng.geometric(0.1)))
        kind = rng.integers(6)
        if kind == 0:
            data = (
                data[:begin]
                + bytes([data[begin] ^ (1 << int(rng.integers(8)))])
                + data[begin + 1 :]
            )
        elif kind == 1:
            data = data[:begin] + rng.bytes(end - begin) + data[end:]
        elif kind == 2:
            data = data[:begin] + data[end:]
        elif kind == 3:
            data = data[:end] + data[begin:end] + data[end:]
        elif kind == 4:
            data = data[:begin]
        elif found := list(NUMBER.finditer(data)):
            match = found[int(rng.integers(len(found)))]
            data = data[: match.start()] + EXTREME[rng.integers(len(EXTREME))] + data[match.end() :]
    return data


def fault(spec: str) -> str | None:
    """What is wrong with how a file is answered: None where it is read, or refused in one line."""
    try:
        read(spec)
    except ValueError as error:
        message = str(error)
        if type(error).__name__ not in ("DataError", "FileError", "RunError"):
            return "".join(traceback.format_exception(error)[-2:])
        names = [part for part in spec.split(",") if part in message]
        if "\n" in message or not names:
            return f"not one line with the file's name: {message!r}"
    except Exception as error:
        return "".join(traceback.format_exception(error)[-2:])
    return None


def main(names: str, count: str, seed: str, folder: str) -> None:
    """Reads the mutants; the one at work is kept in a file, should the process end there."""
    warnings.simplefilter("ignore")
    logging.disable()  # MDAnalysis says something of each file
    for name in names.split(","):
        place = Path(folder, name)
        place.mkdir()
        os.chdir(place)
        spec, target = FORMATS[name](Path())
        assert (found := fault(spec)) is None, found  # the whole file is read
        data, rng = Path(target).read_bytes(), np.random.default_rng(int(seed))
        for kept in sorted((CORPUS / name).glob("*")):
            Path(target).write_bytes(kept.read_bytes())
            Path(folder, "at").write_text(f"{name} {kept.name}")
            if found := fault(spec):
                print(json.dumps({"format": name, "kept": kept.name, "fault": found}), flush=True)
        # Compressed coordinates are decoded in a process for each file.
        for number in range(max(1, int(count) // 10) if name == "compressed xtc" else int(count)):
            mutant = mutated(rng, data)
            Path(target).write_bytes(mutant)
            Path(folder, "at").write_text(f"{name} {number}")
            if found := fault(spec):
                print(json.dumps({"format": name, "number": number, "fault": found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
