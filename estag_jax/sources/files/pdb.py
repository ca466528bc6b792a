"""PDB files of several models, block by block: readers take the first for all of them."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.sources.files.singles import Serials
from estag_jax.sources.files.stacks import check_names
from estag_jax.sources.files.text import damaged, opened

SUFFIXES = (".pdb", ".ent", ".xpdb", ".pdbqt")


def examine(path: Path, suffix: str = "") -> tuple[np.ndarray, tuple[str, ...]]:
    """Refuses models of different atoms, and atoms that belong to no model.

    Returns:
      Lengths and angles of the box of each frame [frames, 6], zero without one: what CRYST1 before a model
      says holds up to the next. MDAnalysis looks for it behind MODEL. And a note where nothing closes the
      atoms of a single frame, or its atoms' numbers skip some.

    Raises:
      DataError: names the frame and what it has.
    """
    first, names, frames, models, notes = [], [], 0, 0, ()
    box, boxes, serials, torsions = _NO_BOX, [], Serials(), Counter()
    with opened(path) as file:
        for number, line in enumerate(chain(file, (_FILE_ENDS,)), 1):
            record = line[:6].strip()
            if record in ("ATOM", "HETATM"):
                names.append(line[12:16].strip())
                if not frames:
                    serials.add(line[6:11], number)
            elif record == "TER":
                serials.end_chain()
            elif record == "CRYST1":
                box = _box(line)
            elif record in ("MODEL", "ENDMDL", "END"):
                models += record == "MODEL"
                if names:
                    first = first or names
                    check_names(path, frames, names, first)
                    if line is _FILE_ENDS and not frames and not torsions["TORSDOF"]:
                        notes = (f"{path.name} has no END; read were {len(names)} atoms",)
                    names, frames = [], frames + 1
                    boxes.append(box)
            elif suffix == ".pdbqt" and record:
                torsions[line.split()[0]] += 1
    if not frames:
        raise DataError(
            f"{path}: holds no ATOM or HETATM; copy it again, or name its format (--read.format)"
        )
    if frames > max(models, 1):
        raise DataError(
            f"{path}: has {frames} blocks of atoms that END closes and {models} MODEL records, the first "
            f"block alone would be read; write MODEL and ENDMDL around each frame"
        )
    if 0 < frames < models:
        raise damaged(path, frames, f"{models} MODEL records are there, the last has no atoms")
    if frames > 1 and suffix == ".pdbqt":
        raise DataError(f"{path}: its {frames} models would be read as one; write them as .pdb")
    for word in ("ROOT", "BRANCH"):
        if torsions[word] != torsions[f"END{word}"]:
            opens = f"{torsions[word]} {word} and {torsions[f'END{word}']} END{word} are there"
            raise damaged(path, 0, opens)
    return np.array(boxes), (*notes, *serials.note(path))


_FILE_ENDS = "END"


def give_boxes(reader: Any, boxes: np.ndarray) -> None:
    """Gives each frame of MDAnalysis' reader its box."""

    def boxed(frame: Any) -> Any:
        frame.dimensions = boxes[frame.frame]
        return frame

    reader.add_transformations(boxed)


_NO_BOX = np.zeros(6, np.float32)


def _box(line: str) -> np.ndarray:
    """What CRYST1 says; nothing where it is the placeholder 1 1 1, or no numbers."""
    ends = (6, 15, 24, 33, 40, 47, 54)
    try:
        box = np.array([line[i:k] for i, k in pairwise(ends)], np.float32)
    except ValueError:
        return _NO_BOX
    return _NO_BOX if (box[:3] == 1).all() else box
