"""PDB files of several models, block by block: readers take the first for all of them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from estag_jax.data.system import DataError
from estag_jax.sources.files.stacks import opened


def examine(path: Path) -> None:
    """Refuses models of different atoms, and atoms that belong to no model.

    Raises:
      DataError: names the frame and what it has.
    """
    first, names, frames, models = [], [], 0, 0
    with opened(path) as file:
        for line in chain(file, ("END",)):
            if line.startswith(("ATOM", "HETATM")):
                names.append(line[12:16].strip())
            elif line.startswith(("MODEL", "END")):
                models += line.startswith("MODEL")
                if names:
                    first = first or names
                    _check_same(path, frames, names, first)
                    names, frames = [], frames + 1
    if frames > max(models, 1):
        raise DataError(
            f"{path}: has {frames} blocks of atoms that END closes and {models} MODEL records, the first "
            f"block alone would be read; write MODEL and ENDMDL around each frame"
        )


def _check_same(path: Path, frame: int, names: list[str], first: list[str]) -> None:
    if len(names) != len(first):
        raise DataError(
            f"{path}: frame {frame} has {len(names)} atoms, frame 0 has {len(first)}; all frames must be "
            f"of one system"
        )
    if names != first:
        i = next(i for i, pair in enumerate(zip(names, first, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"{path}: atom {i} is {names[i]} in frame {frame} and {first[i]} in frame 0; the atoms of all "
            f"frames must be in the same order"
        )
