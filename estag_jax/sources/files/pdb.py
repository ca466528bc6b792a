"""PDB files of several models, block by block: readers take the first for all of them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from estag_jax.data.system import DataError
from estag_jax.sources.files.stacks import check_names
from estag_jax.sources.files.text import opened


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
                    check_names(path, frames, names, first)
                    names, frames = [], frames + 1
    if frames > max(models, 1):
        raise DataError(
            f"{path}: has {frames} blocks of atoms that END closes and {models} MODEL records, the first "
            f"block alone would be read; write MODEL and ENDMDL around each frame"
        )
