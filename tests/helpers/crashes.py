"""Short commands that are made to fail or are killed, and go on: ``python -m helpers.crashes sweep|kills …``.

A process of its own (helpers.faults). Prints one JSON line for each that does not go on as documented, and at
last what was done.

  sweep COMMAND FOLDER COUNT SEED  the n-th operation of a kind fails, for all n, kinds and errors, or, where
                                   COUNT is not 0, for so many of them
  kills COMMAND FOLDER COUNT SEED  kills at random moments, each start going on from the last
  signals COMMAND FOLDER COUNT SEED  SIGINT, SIGTERM or SIGHUP by turns at an operation, so within saves and
                                   the last writes, and at a random moment, so in compilation and evaluation
"""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from estag_jax.cli import main as estag
from estag_jax.io import read_json
from estag_jax.npz import read_npz
from estag_jax.report import run_figures
from estag_jax.runs import folder, readers
from estag_jax.runs import run as runs
from helpers import faults
from helpers.springs import frames

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ERRORS = {"ENOSPC": (errno.ENOSPC, True), "EIO": (errno.EIO, False), "kill": (0, False)}
"""By name: errno, and whether all later operations of the kind fail too, as on a disk that is full."""

_WINDOWS = "--window.past 4 --window.delta 2 --split.train 23 --split.validation 20 --split.test 20"
_TRAIN = "--train.epochs 3 --train.evaluate-every 1 --train.batch 7"
COMMANDS = {
    "train": f"train --data a.npy --model ESTAG-without-layers --model.hidden 4 {_WINDOWS} {_TRAIN} "
    "--out o/r --resume",
    "closed form": f"train --data a.npy --model frame-ridge {_WINDOWS} --out o/r --resume",
    "table": "table --data a.npy --models ESTAG-without-layers Last-frame --seeds 2 --protocol blocked "
    f"--past 4 --delta 2 {_TRAIN} --out o/t",
    "data prepare": "data prepare synthetic:springs --out o/p.npz",
}
OUT = "o"


def load() -> None:
    """Loads what the commands need, before anything is forked, and leaves out what they only compute."""
    import estag_jax.cli.arguments
    import estag_jax.cli.data_prepare
    import estag_jax.cli.table
    import estag_jax.runs.grid
    import estag_jax.simulate.synthetic
    import estag_jax.sources.files.reader  # noqa: F401

    usual = readers.closed_forms
    readers.ROLLOUT_STEPS = 0
    runs.closed_forms = lambda *given: (usual(*given)[0][:1], [])
    run_figures.draw = lambda out, finished: []
    gc.collect()
    gc.freeze()  # a child that collects would copy all that it shares


def command(name: str):
    """The command as a process of its own would run it."""

    def run():
        sys.argv = ["estag", *COMMANDS[name].split()]
        estag()

    return run


def outcome(work: Path) -> dict:
    """What a command left: all that does not depend on the clock."""
    found, out = {}, work / OUT
    for path in sorted(out.rglob("*.npz")):
        found[str(path.relative_to(out))] = read_npz(path)
    for path in out.rglob("cells/*/*.json"):
        (row,) = read_json(path)["rows"]
        found[str(path.relative_to(out))] = row | {"seconds": None, "device": None}
    if (out / "r").exists():
        found["log"] = [line | {"seconds": 0} for line in folder.read_metrics(out / "r")]
        result = folder.read_result(out / "r")
        found["result"] = result and [row.metrics for row in result.rows]
    return found


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    return one == other


def leftovers(work: Path) -> list[str]:
    return [str(p.relative_to(work)) for p in (work / OUT).rglob("*") if ".partial" in p.name]


def went_on(name: str, work: Path, expected: dict, log: Path) -> str | None:
    """What is wrong after a command was run again; None where it gave what an undisturbed one gives."""
    try:
        outcome(work)  # what is there can be read
    except Exception as error:
        return f"unreadable: {error!r}"
    code, said = faults.forked(command(name), log, partial(within, work))
    if code:
        return f"did not go on: exit code {code}: {said[-500:]}"
    if not same(outcome(work), expected):
        return "gave something else"
    return f"left {left}" if (left := leftovers(work)) else None


def own_lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("estag: ")]


def answered(code: int, said: str) -> str | None:
    """What is wrong with how a command ended by a fault: one line with a file, no traceback."""
    lines = own_lines(said)
    if code == 0:
        return None
    if code not in (1, 2) or len(lines) != 1 or "Traceback" in said:
        return f"exit code {code}: {said[-700:]}"
    return None if f"{OUT}/" in lines[0] else f"names no file: {lines[0]}"


def stopped(code: int, said: str, number: int) -> str | None:
    """What is wrong with how a command ended by a signal: its exit code, and one line."""
    right = code == 128 + number and len(own_lines(said)) == 1 and "Traceback" not in said
    return None if right else f"exit code {code}: {said[-700:]}"


def begun(base: Path, name: str) -> Path:
    shutil.rmtree(base / name, ignore_errors=True)
    work = base / name
    (work / OUT).mkdir(parents=True)
    np.save(work / "a.npy", frames())
    return work


def reference(name: str, base: Path) -> tuple[dict, dict, float]:
    """What an undisturbed command leaves, how many operations it makes, and its seconds."""
    for _ in range(2):  # the second compiles nothing
        work, began = begun(base, "whole"), time.monotonic()

        def counted(work=work):
            command(name)()
            (base / "counts").write_text(json.dumps(faults.counts()))

        code, said = faults.forked(counted, base / "log", partial(within, work))
        assert code == 0, said
    return outcome(work), json.loads((base / "counts").read_text()), time.monotonic() - began


def within(work: Path, kind: str = "write", nth: int = 0, error: int = 0, last: bool = False):
    os.chdir(work)
    faults.arm(work / OUT, kind, nth, error, last)


def sweep(name: str, base: Path, count: int, seed: int) -> dict:
    expected, counts, seconds = reference(name, base)
    done, wrong = dict.fromkeys(ERRORS, 0), 0
    cases = [
        (kind, nth, error)
        for kind in faults.KINDS
        for nth in range(1, counts[kind] + 1)
        for error in ERRORS
    ]
    for kind, nth, error in random.Random(seed).sample(cases, count or len(cases)):
        work = begun(base, "work")
        log, (number, last) = base / "log", ERRORS[error]
        code, said = faults.forked(
            command(name), log, partial(within, work, kind, nth, number, last)
        )
        why = None if code == -9 and error == "kill" else answered(code, said)
        why = why or went_on(name, work, expected, base / "log.again")
        done[error] += 1
        (base / "done").write_text(json.dumps(done))
        if why:
            wrong += 1
            print(
                json.dumps({"case": [kind, nth, error], "said": said[-300:], "fault": why}),
                flush=True,
            )
    return {
        "operations": counts,
        "tried": done,
        "wrong": wrong,
        "seconds of a run": round(seconds, 2),
    }


def signals(name: str, base: Path, count: int, seed: int) -> dict:
    for number in SIGNALS:  # nohup, and shells in the background, ignore some of them
        signal.signal(number, signal.SIG_DFL)
    expected, counts, seconds = reference(name, base)
    draw, wrong, late = random.Random(seed), 0, 0
    operations = [(kind, nth) for kind in faults.KINDS for nth in range(1, counts[kind] + 1)]
    for number in range(count):
        work, which = begun(base, "work"), draw.choice(SIGNALS)
        if number % 2:
            kind, nth = draw.choice(operations)
            before, after = partial(within, work, kind, nth, -which), None
        else:
            kind, nth, before = "moment", round(draw.uniform(0.05, 1), 3), partial(within, work)
            after = nth * seconds
        code, said = faults.forked(command(name), base / "log", before, after, which)
        late += code == 0
        why = None if code == 0 and after else stopped(code, said, which)
        why = why or went_on(name, work, expected, base / "log.again")
        if why:
            wrong += 1
            print(json.dumps({"case": [kind, nth, which.name], "fault": why}), flush=True)
    return {"signals": count, "after the end": late, "wrong": wrong}


def kills(name: str, base: Path, count: int, seed: int) -> dict:
    expected, _, seconds = reference(name, base)
    draw, done, wrong, finished = random.Random(seed), 0, 0, 0
    while done < count:
        work = begun(base, "work")
        for _ in range(4):
            if done == count:
                break
            code, said = faults.forked(
                command(name), base / "log", partial(within, work), draw.uniform(0, 1.1 * seconds)
            )
            if code != -9:
                break
            done += 1
            try:
                outcome(work)
            except Exception as error:
                wrong += 1
                print(json.dumps({"kill": done, "fault": f"unreadable: {error!r}"}), flush=True)
        why = went_on(name, work, expected, base / "log.again")
        finished += 1
        if why:
            wrong += 1
            print(json.dumps({"kill": done, "fault": why}), flush=True)
    return {
        "kills": done,
        "finished": finished,
        "wrong": wrong,
        "seconds of a run": round(seconds, 2),
    }


def main(mode: str, name: str, base: str, one: str, other: str) -> None:
    load()
    Path(base).mkdir(parents=True, exist_ok=True)
    run = {"sweep": sweep, "kills": kills, "signals": signals}[mode]
    done = run(name, Path(base).resolve(), int(one), int(other))
    print(json.dumps({"command": name} | done), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
