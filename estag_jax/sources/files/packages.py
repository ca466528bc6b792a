"""Formats that need a package of their own, and two of them that are read here: .gsd and mmCIF.

MDAnalysis takes the tilts of a .gsd's box for cosines of its angles, and of an mmCIF the first model for all.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase.geometry import cell_to_cellpar

from estag_jax.data.system import DataError, needed
from estag_jax.io import cause
from estag_jax.sources.files.stacks import Stack, check_names, other_size
from estag_jax.sources.files.text import opened

PACKAGES = {
    ".gsd": ("gsd.hoomd", "gsd"),
    ".tng": ("pytng", "pytng"),
    ".mmcif": ("gemmi", "gemmi"),
    ".cif": ("gemmi", "gemmi"),
    ".mmtf": ("mmtf", "mmtf-python"),
}
"""By suffix, the module that reads a format, and what pip installs; MDAnalysis' extras do not."""


def require(path: Path, suffix: str) -> Any:
    """The module that a format needs; nothing of formats that need none.

    Raises:
      DataError: it is not installed; says what pip installs.
    """
    if suffix not in PACKAGES:
        return None
    module, package = PACKAGES[suffix]
    return needed(module, f"{path}: reading this file", package)


def signal_of(code: str, path: Path) -> str:
    """The signal that ends a process of its own which runs Python on a file, or "".

    Libraries in C believe what files say. An error that they survive is left to the reader, which names the
    frame.
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    return signal.Signals(-done.returncode).name if done.returncode < 0 else ""


def is_mmcif(path: Path) -> bool:
    """Whether a .cif is of the Protein Data Bank: coordinates in Å, by names with points."""
    with opened(path) as file:
        return any(line.lstrip().lower().startswith("_atom_site.cartn_x") for line in file)


def read_gsd(path: Path) -> Stack:
    """Reads every frame of HOOMD's .gsd; numbers of steps are no time, and lengths are in any unit.

    Raises:
      DataError: it is damaged, or its frames are not of one system.
    """
    hoomd = require(path, ".gsd")
    positions, boxes, steps = [], [], []
    try:
        with hoomd.open(str(path), "r") as file:
            for frame in file:
                positions.append(np.array(frame.particles.position, np.float32))
                boxes.append(_gsd_box(*np.array(frame.configuration.box, np.float64)))
                steps.append(frame.configuration.step)
    except Exception as error:  # its own errors are RuntimeErrors, OSErrors and others
        raise DataError(f"{path}: gsd cannot read it ({cause(error)}); copy it again") from error
    for k, frame in enumerate(positions):
        if len(frame) != len(positions[0]):
            raise other_size(path, k, len(frame), len(positions[0]))
    if not positions:
        raise DataError(f"{path}: holds zero frames; copy or save it again")
    return Stack(np.array(positions), np.array(boxes), np.array(steps, np.float64), "steps")


def read_mmcif(path: Path) -> Stack:
    """Reads every model of an mmCIF, in the one box that it has.

    Raises:
      DataError: it is damaged, or its models are not of one system.
    """
    gemmi = require(path, ".mmcif")
    try:
        with opened(path) as file:
            blocks = gemmi.cif.read_string(file.read())
        structure = gemmi.make_structure_from_block(blocks[0])
    except Exception as error:
        raise DataError(f"{path}: gemmi cannot read it ({cause(error)}); copy it again") from error
    more = [block.name for block in blocks if len(block.find_loop("_atom_site.Cartn_x"))][1:]
    if more:
        raise DataError(
            f"{path}: holds atoms in its block {more[0]} too, which would not be read; write a file for each"
        )
    positions, first = [], []
    for k, model in enumerate(structure):
        atoms = [atom for chain in model for residue in chain for atom in residue]
        names = [atom.name for atom in atoms]
        first = first or names
        check_names(path, k, names, first)
        positions.append([atom.pos.tolist() for atom in atoms])
    box = np.array(structure.cell.parameters)
    placeholder = (box[:3] == 1).all()
    boxes = np.tile(0 * box if placeholder else box, (len(positions), 1))
    return Stack(np.array(positions, np.float32), boxes, None, "ps")


def _gsd_box(*box: float) -> np.ndarray:
    """Lengths and angles [6] of edges and tilts; nothing of a box in two dimensions."""
    x, y, z, xy, xz, yz = box
    if not x * y * z:
        return np.zeros(6)
    return cell_to_cellpar(np.array([(x, 0, 0), (xy * y, y, 0), (xz * z, yz * z, z)]))
