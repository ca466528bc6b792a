"""Outputs of programs: whether the program came to its end, and the time step that it states."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from estag_jax.sources.files.text import damaged, opened
from estag_jax.sources.files.timing import Step

DONE = {
    "gms": "EXECUTION OF GAMESS TERMINATED NORMALLY",
    "gamess-us-out": "EXECUTION OF GAMESS TERMINATED NORMALLY",
    "gaussian-out": "Normal termination",
    "espresso-out": "JOB DONE",
    "nwchem-out": "Total times",
    "orca-output": "ORCA TERMINATED NORMALLY",
    "castep-castep": "Total time",
    "onetep-out": "Job completed",
    "aims-output": "Have a nice day",
    "vasp-out": "General timing and accounting",
}
"""What a program writes into the last lines of its output, by ASE's name of it or MDAnalysis' suffix."""

_NUMBER = r"(\d*\.?\d+(?:[eE][-+]?\d+)?)"

STATED = {
    "aims-output": (rf"\s*Molecular dynamics time step\s*=\s*{_NUMBER} ps", "ps", ""),
    "castep-castep": (rf"\s*time step\s*:\s*{_NUMBER}\s*ps", "ps", ""),
    "espresso-out": (rf"\s*Time step\s*=.*,\s*{_NUMBER} femto-seconds", "fs", ""),
    "vasp-out": (rf"\s*POTIM\s*=\s*{_NUMBER}", "fs", r"\s*IBRION\s*=\s*(\S+)"),
}
"""The line of its time step, the unit, and a line that has 0 for dynamics."""

LEADS = {"vasp-out": (" Iteration ", "FREE ENERGIE OF THE ION-ELECTRON SYSTEM")}
"""What stands in the lines that lead to a frame, and in its last one: ASE drops a frame without it."""

_TAIL = 60
"""Lines among which the last words are."""


def examine(path: Path, form: str) -> tuple[tuple[str, ...], Step | None]:
    """Reads an output once, line by line.

    Args:
      path: the file.
      form: a format of DONE.

    Returns:
      A note where the program's last words are missing, and the time step of dynamics.

    Raises:
      DataError: what leads to a frame is left behind the last.
    """
    step_line, unit, kind_line = STATED.get(form, ("", "", ""))
    lead, close = LEADS.get(form, ("", ""))
    step, kind, frames, left, tail = None, "0", 0, False, deque(maxlen=_TAIL)
    with opened(path) as file:
        for line in file:
            if line.strip():
                tail.append(line)
            # The last holds: what the user wrote is shown first.
            if step_line and (match := re.match(step_line, line)):
                step = float(match[1])
            elif kind_line and (match := re.match(kind_line, line)):
                kind = match[1]
            elif lead and close in line:
                frames, left = frames + 1, False
            elif lead and lead in line:
                left = True
    if left:
        raise damaged(path, frames, "the file ends within an iteration")
    notes = ()
    if not any(DONE[form] in line for line in tail):
        notes = (
            f"{path.name} does not end with {DONE[form]!r}: its program was stopped or is at work, or the "
            f"file is cut",
        )
    return notes, (step, unit) if step and kind == "0" else None
