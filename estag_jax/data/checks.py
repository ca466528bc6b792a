"""Whether a trajectory is plausible: its lengths, its step, frames that are there twice, what moves.

Every source passes here. What cannot be true is refused; what is odd becomes a note; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from ase import units
from ase.data import atomic_masses, covalent_radii
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import LENGTHS

CLOSE, FAR, APART, ALONE = 0.5, 1.6, 5.0, 20.0
"""Of the median distance to the nearest atom in sums of covalent radii (bonds have 0.8 to 1.3): what is
nearer than the first or farther than the last cannot be, nor what is farther than the third and bonded in
another unit; what is farther than the second is worth a question."""

HOT, COLD = 1e5, 1.0
"""K; temperatures that no simulation of molecules has, by the displacement in a step."""

BALLISTIC = 2.0
"""fs; steps up to here are short enough for displacements to tell a temperature from below."""

STILL = "nothing moves: all frames are identical, so that there is nothing to forecast"
SAMPLES = 200
"""Frames that are looked at."""


def plausible(trajectory: Trajectory, wanted: str | None = None) -> Trajectory:
    """Checks lengths, step and frames of a trajectory; the same with notes on what is odd.

    Args:
      trajectory: as a source returned it, with finite positions where frames are known.
      wanted: the unit that lengths will be converted to. Where atoms are not bonded in the trajectory's
        unit but are in this one, its lengths are taken to be in it.

    Raises:
      DataError: atoms are far nearer to each other than bonded ones, and says which unit would fit; or a
        frame holds all nodes in one place.
    """
    _refuse_empty(trajectory)
    trajectory, odd = _lengths(trajectory, wanted)
    squares = _squares(trajectory)
    notes = (
        *odd,
        *_same_frames(trajectory),
        *_step(trajectory, squares),
        *_digits(trajectory, squares),
    )
    return trajectory.changed(notes=(*trajectory.notes, *notes)) if notes else trajectory


def refuse_still(trajectories: Sequence[Trajectory]) -> None:
    """Refuses data in which nothing moves, for there is nothing to forecast.

    Raises:
      DataError: in no trajectory does a node move.
    """
    pairs = (pair for t in trajectories for run in t.runs for pair in pairwise(t.positions[run]))
    if all(np.array_equal(before, after, equal_nan=True) for before, after in pairs):
        raise DataError(f"{', '.join(t.source for t in trajectories)}: {STILL}")


def connected(trajectory: Trajectory) -> Trajectory:
    """The same, with a note where the graph has several parts, which exchange no messages."""
    graph, nodes = trajectory.system.graph, trajectory.system.num_nodes
    ends = np.ravel(graph.senders), np.ravel(graph.receivers)
    matrix = csr_array((np.ones(len(ends[0])), ends), (nodes, nodes))
    parts, part = connected_components(matrix, directed=False)
    if parts == 1:
        return trajectory
    sizes = np.sort(np.bincount(part))[::-1]
    shown = ", ".join(map(str, sizes[:4])) + (", …" if parts > 4 else "")
    first = trajectory.positions[np.flatnonzero(trajectory.known)[0]].mean(axis=1)
    apart = _gap(first[part == 0], first[part != 0])
    return trajectory.noted(
        f"the graph has {parts} parts of {shown} nodes, which exchange no messages; the first is "
        f"{apart:.3g} {trajectory.system.length_unit} from the nearest other: several molecules, or one that "
        f"is torn (--graph.kind nearest or full joins them)"
    )


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """The shortest distance between two sets of points."""
    return float(KDTree(one).query(other)[0].min())


def _lengths(trajectory: Trajectory, wanted: str | None) -> tuple[Trajectory, list[str]]:
    """Refuses atoms far too near or all alone for the unit; a note where another (bohr) would bond them."""
    ratio, found = _bond_ratio(trajectory)
    if CLOSE <= ratio <= FAR:
        return trajectory, []
    fitting = _fitting(trajectory, ratio)
    if wanted in fitting:
        note = f"{found}: lengths are taken to be in {wanted} already (--read.unit {wanted})"
        return trajectory.changed(length_unit=wanted), [note]
    if CLOSE <= ratio <= (APART if fitting else ALONE):
        if not fitting or _along_bonds(trajectory) <= FAR:
            return trajectory, []
        return trajectory, [f"{found}: is this {fitting[0]}? (--read.length-unit {fitting[0]})"]
    raise DataError(
        f"{trajectory.source}: {found}: is this {' or '.join(fitting) or 'another unit'}? Write "
        f"--read.length-unit {fitting[0] if fitting else 'UNIT'}, or a key length_unit"
    )


def _refuse_empty(trajectory: Trajectory) -> None:
    """Refuses frames that hold all nodes in one place: what is left of a writer that failed."""
    nodes = trajectory.system.num_nodes * trajectory.system.channels
    if nodes < 2:
        return
    points = trajectory.positions.reshape(trajectory.num_frames, nodes, 3)
    suspects = np.flatnonzero((points[:, 0] == points[:, -1]).all(axis=1) & trajectory.known)
    for k in suspects:
        if (points[k] == points[k, 0]).all():
            raise DataError(
                f"{trajectory.source}: frame {k} (counted from 0) holds all nodes in one place, as a frame "
                f"that was never written; leave it out and end a run there"
            )


def _bond_ratio(trajectory: Trajectory) -> tuple[float, str]:
    """The median distance to the nearest atom in sums of covalent radii, and words; 1 where none tells."""
    system = trajectory.system
    unit = LENGTHS.get(system.length_unit)
    if system.atomic_numbers is None or not unit or system.channels != 1 or system.num_nodes < 2:
        return 1.0, ""
    frames = np.flatnonzero(trajectory.known)
    radii = covalent_radii[system.atomic_numbers] / unit
    ratios, distances = [], []
    for k in frames[np.linspace(0, len(frames) - 1, min(5, len(frames))).astype(int)]:
        points = trajectory.positions[k, :, 0].astype(np.float64)
        distance, other = KDTree(points).query(points, k=2)
        ratios.append(np.median(distance[:, 1] / (radii + radii[other[:, 1]])))
        distances.append(np.median(distance[:, 1]))
    ratio, distance = float(np.median(ratios)), float(np.median(distances))
    found = f"nearest atoms are {distance:.3g} {system.length_unit} apart, {ratio:.2g} times a bond's length"
    return ratio, found


def _along_bonds(trajectory: Trajectory) -> float:
    """The median length of the source's bonds in sums of covalent radii; far where it has none to tell by."""
    system = trajectory.system
    if system.bonds is None:
        return np.inf
    points = trajectory.positions[np.flatnonzero(trajectory.known)[0], :, 0]
    i, j = np.reshape(system.bonds, (-1, 2)).T
    radii = covalent_radii[system.atomic_numbers] / LENGTHS[system.length_unit]
    lengths = np.linalg.norm(points[i] - points[j], axis=1) / (radii[i] + radii[j])
    return float(np.median(lengths)) if len(lengths) else 0.0


def _fitting(trajectory: Trajectory, ratio: float) -> list[str]:
    """The units of length in which nearest atoms would be bonded, the likeliest first."""
    own = LENGTHS[trajectory.system.length_unit]
    sizes = {size: name for name, size in reversed(LENGTHS.items()) if size != own}
    units = {name: ratio * size / own for size, name in reversed(sizes.items())}
    return [name for name, scaled in units.items() if 0.7 < scaled < 1.4]


def _same_frames(trajectory: Trajectory) -> list[str]:
    """Notes on frames that are there twice in a row, or on a trajectory in which nothing moves."""
    twice = []
    for run in trajectory.runs:
        frames = trajectory.positions[run]
        twice += [
            run.start + k
            for k in range(len(frames) - 1)
            if np.array_equal(frames[k], frames[k + 1])
        ]
    pairs = trajectory.num_frames - len(trajectory.lengths)
    if not twice:
        return []
    if len(twice) == pairs:
        return [STILL]
    return [
        f"frames {twice[0]} and {twice[0] + 1} are identical, {len(twice)} pair(s) in all: written twice at "
        f"a restart? Leave one of them out"
    ]


def _squares(trajectory: Trajectory) -> np.ndarray:
    """Squared displacements of the nodes in one step, of at most ``SAMPLES`` steps [steps, N]."""
    known = trajectory.known
    first = np.concatenate([np.arange(r.start, r.stop - 1) for r in trajectory.runs])
    first = first[known[first] & known[first + 1]] if first.size else first
    if not first.size:
        return np.zeros((0, trajectory.system.num_nodes))
    first = first[np.linspace(0, len(first) - 1, min(SAMPLES, len(first))).astype(int)]
    steps = trajectory.positions[first + 1].astype(np.float64) - trajectory.positions[first]
    return (steps**2).sum(axis=-1).mean(axis=-1)


def _step(trajectory: Trajectory, squares: np.ndarray) -> list[str]:
    """A note where atoms move at a speed that the step does not allow: 3/2 k T = m v² / 2."""
    system, seconds = trajectory.system, TIME_UNITS.get(trajectory.time_unit)
    unit = LENGTHS.get(system.length_unit)
    if system.atomic_numbers is None or not seconds or not unit or not squares.any():
        return []
    step = trajectory.frame_step * seconds
    masses = atomic_masses[system.atomic_numbers] * units._amu
    energy = np.median((squares * masses).mean(axis=1)) * (unit * 1e-10 / step) ** 2
    kelvin = energy / (3 * units._k)
    if kelvin <= HOT and (kelvin >= COLD or step > BALLISTIC * 1e-15):
        return []
    moved = np.sqrt(np.median(squares.mean(axis=1)))
    return [
        f"atoms move by {moved:.2g} {system.length_unit} in {trajectory.frame_step:g} "
        f"{trajectory.time_unit}, as at {kelvin:.1g} K: is the step right (--read.frame-step), is the unit?"
    ]


def _digits(trajectory: Trajectory, squares: np.ndarray) -> list[str]:
    """A note where single precision far from the origin loses the digits of the motion."""
    if trajectory.positions.dtype != np.float32:
        return []
    moved = np.sqrt(squares.mean(axis=1))
    size = float(np.abs(trajectory.positions[np.flatnonzero(trajectory.known)[:1]]).max(initial=0))
    usual = float(np.median(moved)) if moved.size else 0.0
    if not usual or size * np.finfo(np.float32).eps < 0.01 * usual:
        return []
    return [
        f"coordinates of {size:.2g} {trajectory.system.length_unit} in single precision round off "
        f"{size * 1.2e-7 / usual:.1%} of a step: save differences from the origin, or float64"
    ]
