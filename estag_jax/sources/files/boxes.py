"""Periodic boxes: molecules made whole, jumps across the boundary removed, jumps without a box found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import ase
import numpy as np
from ase.geometry import find_mic
from ase.neighborlist import natural_cutoffs
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from estag_jax.data.edges import distinct, near_pairs
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import FARTHEST
from estag_jax.data.windows import evenly

DEGENERATE = 2.0
"""Å; no system fits into a box with a shorter edge: such boxes (CRYST1 1 1 1) are placeholders."""

JUMP = 5.0
"""A step this many times as long as usual is reported."""


def unwrapped(
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    bonds: np.ndarray | None = None,
    periodic: Sequence[bool] = (True, True, True),
) -> Iterator[np.ndarray]:
    """Takes the jumps across the periodic boundary out of one run, frame by frame.

    With bonds, the molecules are first made whole in every frame, and then each is moved by lattice
    vectors so that its centre makes the shortest step from the frame before. Without, every atom is
    by itself, and what is whole in frame 0 stays so. Atoms remain at lattice points of the present
    box; where the box fluctuates, images that lie n boxes away would shake n times as much, and this
    common motion is taken out, so that the centroid moves by the mean of the shortest steps (the
    toroidal view of S. von Bülow et al., J. Chem. Phys. 153 (2020) 021101).

    Args:
      frames: positions [n, 3] and cell vectors [3, 3] as rows, for each frame.
      bonds: pairs of atoms [bonds, 2], or None where they are not known.
      periodic: along which of the cell vectors.

    Yields:
      Positions [n, 3] in float64; coordinates that are not finite stay so.
    """
    before = None
    for positions, cell in frames:
        positions, cell = np.asarray(positions, np.float64), np.asarray(cell, np.float64)
        if before is None:
            size = len(positions)
            parents, group = spanning_forest(() if bonds is None else bonds, size)
            members = np.bincount(group)[:, None]
            images, drift = np.zeros((len(members), 3)), np.zeros(3)
            before, cell_before = np.full((len(members), 3), np.nan), cell
        if bonds is not None:
            positions = _whole(positions, cell, parents, periodic)
        centres = np.stack([np.bincount(group, x) for x in positions.T], axis=1) / members
        drift = drift - (images * members).sum(axis=0) / size @ (cell - cell_before)
        images = images + _lattice_steps(centres - before, cell, periodic)
        yield positions + (images @ cell)[group] + drift
        # A step from or to what is not known is none; the next is from where it was known last.
        before, cell_before = np.where(np.isfinite(centres), centres, before), cell


def without_jumps(
    positions: np.ndarray,
    cells: np.ndarray,
    atomic_numbers: np.ndarray | None,
    periodic: Sequence[bool] = (True, True, True),
    unit: float = 1.0,
) -> tuple[Iterator[np.ndarray], np.ndarray | None, tuple[str, ...]]:
    """One run :func:`unwrapped` with the bonds of :func:`bonds_through`, where the elements are known.

    Args:
      positions: of all frames [frames, N, 3].
      cells: their cell vectors [frames, 3, 3].
      atomic_numbers: [N] or None.
      periodic: along which of the cell vectors.
      unit: of the positions and the cells, Å.

    Returns:
      Positions of one frame after another [N, 3], the bonds or None, and notes.
    """
    bonds, notes = None, ()
    if atomic_numbers is not None:
        bonds, notes = bonds_through(positions, cells, atomic_numbers, periodic, unit)
    return unwrapped(zip(positions, cells, strict=True), bonds, periodic), bonds, notes


def bonds_through(
    positions: Sequence[np.ndarray] | np.ndarray,
    cells: Sequence[np.ndarray] | np.ndarray,
    atomic_numbers: np.ndarray,
    periodic: Sequence[bool] = (True, True, True),
    unit: float = 1.0,
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Covalent bonds by the shortest images of the atoms, so that molecules torn by the box have theirs.

    A pair is bonded if its median distance over some frames is within 1.2 times the sum of the radii, as
    in ``data.edges.bonds``.

    Args:
      positions: of frames [frames, N, 3]; at most 21 of them are looked at.
      cells: their cell vectors [frames, 3, 3].
      atomic_numbers: [N].
      periodic: along which of the cell vectors.
      unit: of the positions and the cells, Å.

    Returns:
      Pairs [bonds, 2], i < j, in increasing order, and no note; or None and a note where bonds go round
      the box (a crystal, a network), so that nothing can be made whole.
    """
    size = len(atomic_numbers)
    chosen = evenly(np.arange(len(cells)), max(3, min(21, 200_000 // max(size, 1))))
    some = [(positions[k], cells[k]) for k in chosen]
    radii = np.array(natural_cutoffs(ase.Atoms(numbers=atomic_numbers), mult=1.2)) / unit
    keys = np.empty(0, np.int64)
    for x, cell in some:
        if np.isfinite(x).all():
            i, j = _near_images(x, cell, periodic, 2 * radii.max())
            ends = find_mic(x[j] - x[i], cell, periodic)[0]
            bonded = np.linalg.norm(ends, axis=1) <= radii[i] + radii[j]
            keys = distinct(np.concatenate([keys, (i * size + j)[bonded]]))
    bonds = np.stack([keys // size, keys % size], axis=1)
    apart = [
        np.linalg.norm(find_mic(x[bonds[:, 1]] - x[bonds[:, 0]], cell, periodic)[0], axis=1)
        for x, cell in some
    ]
    bonds = bonds[np.nanmedian(apart, axis=0) <= radii[bonds].sum(axis=1)] if len(bonds) else bonds
    parents, _ = spanning_forest(bonds, size)
    x, cell = some[0]
    whole = _whole(x, cell, parents, periodic)
    ends = whole[bonds[:, 1]] - whole[bonds[:, 0]]
    if not (np.abs(_lattice_steps(ends, cell, periodic)) > 0).any():
        return (bonds if len(bonds) else None), ()
    note = (
        "bonds go round the periodic box (a crystal or a network): each atom is unwrapped by itself"
    )
    return None, (note,)


def _near_images(
    positions: np.ndarray, cell: np.ndarray, periodic: Sequence[bool], cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i < j of atoms with images within the cutoff: copies are added below the box, for a k-d tree."""
    inverse = np.linalg.inv(cell)
    scaled, atom = positions @ inverse, np.arange(len(positions))
    for axis in np.flatnonzero(periodic):
        scaled[:, axis] -= np.floor(scaled[:, axis])
        margin = min(cutoff * np.linalg.norm(inverse[:, axis]), 1.0)
        high = scaled[:, axis] > 1 - margin
        scaled = np.concatenate([scaled, scaled[high] - np.eye(3)[axis]])
        atom = np.concatenate([atom, atom[high]])
    pairs = np.sort(atom[near_pairs(scaled @ cell, cutoff)], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
    return pairs[:, 0], pairs[:, 1]


def spanning_forest(bonds: np.ndarray | Sequence, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One tree of bonds in each molecule.

    Args:
      bonds: pairs of atoms [bonds, 2].
      size: number of atoms.

    Returns:
      The parent of each atom [size], roots being their own, and the molecule of each atom [size].
    """

    def matrix(pairs, count):
        return csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))

    bonds = np.asarray(bonds, np.int64).reshape(-1, 2)
    _, group = connected_components(matrix(bonds, size), directed=False)
    _, roots = np.unique(group, return_index=True)
    # One more node, bonded to all roots: a single search from there finds every tree.
    to_roots = np.stack([np.full_like(roots, size), roots], axis=1)
    joined = matrix(np.concatenate([bonds, to_roots]), size + 1)
    _, parents = breadth_first_order(joined, size, directed=False)
    parents = parents[:size].astype(np.int64)
    parents[roots] = roots
    return parents, group


def with_jumps_noted(trajectory: Trajectory) -> Trajectory:
    """Adds a note if there are steps that look like jumps across a box that the file does not give.

    A step is suspicious if its longest displacement exceeds 5 times the median, over the steps of
    the run, of that longest displacement.
    """
    found, first = 0, ""
    names = trajectory.run_names or (Path(trajectory.source).name,)
    for run, name in zip(trajectory.runs, names, strict=True):
        frames = trajectory.positions[run]
        longest = np.array([_moved(a, b).max() for a, b in pairwise(frames)])
        if len(longest) < 3:
            continue
        usual = np.median(longest)
        jumps = np.flatnonzero(longest > JUMP * usual)
        if jumps.size and not first:
            step = jumps[0]
            node = _moved(*frames[step : step + 2]).argmax()
            first = (
                f"from frame {step} to {step + 1} of {name}, where {trajectory.system.names[node]} "
                f"moves by {longest[step]:.1f}, usually the fastest moves by {usual:.1f}"
            )
        found += jumps.size
    if not found:
        return trajectory
    return trajectory.noted(
        f"{found} step(s) look like jumps, the first {first}; if they are jumps across a periodic box, "
        f"give files that hold the box, or superimpose the frames (--read.align)"
    )


def _moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far the nodes [N, C, 3] move between two frames [N], by their fastest channel."""
    return np.sqrt(((after - before) ** 2).sum(axis=-1).max(axis=-1))


def is_box(edges: np.ndarray) -> bool:
    """Whether edges, in Å, are those of a box, and not of what stands in a file without one."""
    return bool(((edges >= DEGENERATE) & (edges < FARTHEST)).all())


def spans(cells: np.ndarray) -> np.ndarray:
    """Which of the cell vectors [frames, 3, 3] span a volume [frames]."""
    with np.errstate(invalid="ignore", over="ignore"):
        volume = np.linalg.norm(cells, axis=2).prod(axis=1)
        return np.abs(np.linalg.det(cells)) > 1e-9 * volume  # not where one is not finite


def placeholder_note(edges: Iterable[float]) -> str:
    """One sentence on edges that are no box's."""
    shown = " × ".join(f"{edge:g}" for edge in edges)
    return f"the periodic box of {shown} Å is a placeholder and was not used"


def box_note(bonded: bool, unwrap: bool) -> str:
    """One sentence on what was done to a periodic system."""
    if not unwrap:
        return "the periodic box was left as it is: atoms may jump across it"
    if bonded:
        return "unwrapped: molecules made whole, jumps across the periodic box removed"
    return (
        "unwrapped: jumps across the periodic box removed; there are no bonds to make molecules whole "
        "by, they are taken to be whole in frame 0"
    )


def _whole(
    positions: np.ndarray, cell: np.ndarray, parents: np.ndarray, periodic: Sequence[bool]
) -> np.ndarray:
    """Every atom at the image that is nearest to its parent."""
    images = _lattice_steps(positions - positions[parents], cell, periodic)
    # Sums along the way to the root, in as many passes as the logarithm of the longest way.
    while (parents != parents[parents]).any():
        images = images + images[parents]
        parents = parents[parents]
    return positions + images @ cell


def _lattice_steps(
    differences: np.ndarray, cell: np.ndarray, periodic: Sequence[bool]
) -> np.ndarray:
    """Integers [n, 3]: the lattice vectors that make the differences [n, 3] shortest."""
    known = np.where(np.isfinite(differences).all(axis=1, keepdims=True), differences, 0.0)
    shortest, _ = find_mic(known, cell, periodic)
    return np.rint((shortest - known) @ np.linalg.inv(cell))
