"""Small files of molecular dynamics, written for the tests that read them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from estag_jax.sources.files import reader
from estag_jax.sources.options import FileOptions

mda = pytest.importorskip("MDAnalysis")
datafiles = pytest.importorskip("MDAnalysisTests.datafiles")


def read(spec, **options):
    return reader.read(str(spec), FileOptions(**options))


BACKBONE = ("N", "CA", "C", "O")


def write_pdb(path, rows, more=""):
    """Rows of (atom name, residue name, residue number, element), atoms in a line 1.5 Å apart."""
    lines = [
        f"ATOM  {i + 1:5d} {name:<4s} {residue:3s} A{number:4d}    "
        f"{1.5 * i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00          {element:>2s}"
        for i, (name, residue, number, element) in enumerate(rows)
    ]
    path.write_text("\n".join([*lines, more, "END", ""]))
    return path


CARBONS = [(f"C{i}", "LIG", 1, "C") for i in range(3)]


def write_frames(path, positions, box=None, step=2.5):
    """A trajectory [frames, n, 3] in the format of the suffix; the box is [6] or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe.empty(positions.shape[1])
        boxes = None if box is None else np.tile(np.float32(box), (len(positions), 1))
        universe.load_new(np.float32(positions), order="fac", dt=step, dimensions=boxes)
        with mda.Writer(str(path), positions.shape[1], dt=step) as writer:
            for _ in universe.trajectory:
                writer.write(universe.atoms)
    return path


def random_walk(frames=12, atoms=3, seed=0):
    rng = np.random.default_rng(seed)
    start = np.arange(atoms)[:, None] * [1.5, 0.0, 0.0]
    return (start + rng.normal(0, 0.1, (frames, atoms, 3)).cumsum(0)).astype(np.float32)


def line(frames=40, atoms=3, speed=(1.7, -0.9, 0.4)):
    """A rigid molecule that moves straight on, through several boxes of 20 Å."""
    start = 5.0 + np.arange(atoms)[:, None] * [1.5, 0.0, 0.0]
    return start + np.arange(frames)[:, None, None] * np.array(speed)


def has_note(trajectory, words):
    return any(words in note for note in trajectory.notes)


def mol2(atoms, bonds):
    rows = "".join(f"{i + 1} C{i} {1.5 * i} 0.0 0.0 C.3 1 LIG 0.0\n" for i in range(atoms))
    count = bonds.count("\n")
    return (
        f"@<TRIPOS>MOLECULE\nx\n{atoms} {count} 1 0 0\nSMALL\nUSER_CHARGES\n\n"
        f"@<TRIPOS>ATOM\n{rows}@<TRIPOS>BOND\n{bonds}"
    )


def residue(name, number, atoms=BACKBONE):
    return [(atom, name, number, atom[0]) for atom in atoms]
