"""What is checked of every trajectory and what may be done to it before its graph is built.

Checks repair nothing; what is done leaves a note.
"""

from __future__ import annotations

from itertools import compress
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from estag_jax.data.edges import inside
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import BLOCK, Trajectory
from estag_jax.data.windows import evenly

LENGTHS = {
    "Å": 1.0,
    "A": 1.0,
    "nm": 10.0,
    "pm": 0.01,
    "bohr": 0.529177210903,
    "m": 1e10,
    "cm": 1e8,
    "mm": 1e7,
}
"""Length units in Å (the bohr of CODATA 2018)."""


FARTHEST = 1e15
"""Coordinates that are read are smaller: squares of larger ones leave float32."""


def check(trajectory: Trajectory) -> None:
    """Refuses coordinates that are not finite, and two points in the same place.

    Args:
      trajectory: as a source returned it, with or without its graph.

    Raises:
      DataError: names the source, the frame and the node.
    """
    _check_finite(trajectory)
    # In the first frame of every run no two points may coincide: they are one atom given twice.
    known = trajectory.known
    for run in trajectory.runs:
        for k in run.start + np.flatnonzero(known[run])[:1]:
            _check_apart(trajectory, k)


def without_hydrogens(trajectory: Trajectory) -> Trajectory:
    """Heavy atoms alone, as in the published protocol, where hydrogens are not observed.

    Raises:
      DataError: all atoms are hydrogens.
    """
    numbers = trajectory.system.atomic_numbers
    if numbers is None or (numbers > 1).all():
        return trajectory
    if not (numbers > 1).any():
        raise DataError(
            f"{trajectory.source}: all {len(numbers)} atoms are hydrogens and none is left without "
            f"them; keep them with hydrogens=True (--read.hydrogens)"
        )
    note = f"{np.count_nonzero(numbers == 1)} hydrogens left out"
    carried = _hydrogens(trajectory)
    heavy = take_nodes(trajectory, np.flatnonzero(numbers > 1), note)
    return heavy.changed(hydrogens=carried)


def _hydrogens(trajectory: Trajectory) -> np.ndarray:
    """How many hydrogens each heavy atom carries: those nearest to it, the median of some frames."""
    numbers = trajectory.system.atomic_numbers
    chosen = evenly(np.flatnonzero(trajectory.known), 21)
    frames = trajectory.positions[chosen][:, :, trajectory.system.anchor]
    light, heavy = numbers == 1, numbers > 1
    carriers = [KDTree(frame[heavy]).query(frame[light])[1] for frame in frames]
    counts = [np.bincount(carrier, minlength=np.count_nonzero(heavy)) for carrier in carriers]
    return np.median(counts, axis=0).round().astype(np.int64)


def take_nodes(trajectory: Trajectory, nodes: np.ndarray, note: str) -> Trajectory:
    """Some of the nodes, in the given order, with the bonds between them.

    Args:
      trajectory: without a graph.
      nodes: integers, each at most once.
      note: what was done.
    """
    system = trajectory.system
    changes = {
        "positions": trajectory.positions[:, nodes],
        "node_features": system.node_features[nodes],
        "names": tuple(system.names[node] for node in nodes),
    }
    if system.atomic_numbers is not None:
        changes["atomic_numbers"] = system.atomic_numbers[nodes]
    if system.hydrogens is not None:
        changes["hydrogens"] = system.hydrogens[nodes]
    if system.bonds is not None:
        changes["bonds"], kept = inside(system.bonds, nodes, system.num_nodes)
        if system.bond_orders is not None:
            changes["bond_orders"] = system.bond_orders[kept]
    return trajectory.noted(note, **changes)


def take_runs(trajectory: Trajectory, min_frames: int) -> Trajectory:
    """Runs of at least ``min_frames`` frames; those left out are counted in a note.

    Raises:
      DataError: no run is that long.
    """
    lengths = np.asarray(trajectory.lengths)
    keep = lengths >= min_frames
    if keep.all():
        return trajectory
    if not keep.any():
        raise DataError(
            f"{trajectory.source}: no run has {min_frames} frames, the longest has {lengths.max()}; "
            f"lower min_frames"
        )
    frames = np.repeat(keep, lengths)
    note = f"{np.count_nonzero(~keep)} of {len(keep)} runs left out: below {min_frames} frames"
    changes = {"positions": trajectory.positions[frames], "lengths": tuple(lengths[keep].tolist())}
    changes["run_names"] = tuple(compress(trajectory.run_names, keep))
    if trajectory.missing is not None:
        changes["missing"] = trajectory.missing[frames]
    changes["vectors"] = {name: vector[frames] for name, vector in trajectory.vectors.items()}
    # The published lists number the runs that are there in full.
    return trajectory.noted(note, published=None, **changes)


def centred(trajectory: Trajectory, what: Literal["run", "frame"]) -> Trajectory:
    """Subtracts the mean over nodes and frames of each run, or over the nodes of each frame.

    Models that are equivariant to translation do not need it; single precision does where a system
    drifts far from the origin (MD17's benzene, by 190 Å). Frame by frame it also takes the motion of
    the centroid out of what is forecast.
    """
    positions = (
        trajectory.positions.copy()
    )  # differences are in float64, without an array of their own
    if what == "frame":
        _subtract(positions, positions.mean(axis=(1, 2), keepdims=True, dtype=np.float64))
        note = "centred: the centroid of each frame is at the origin"
    else:
        for run in trajectory.runs:
            known = trajectory.known[run, None, None, None]
            mean = positions[run].mean(axis=(0, 1, 2), dtype=np.float64, where=known)
            _subtract(positions[run], mean)
        note = "centred: the mean position of each run is at the origin"
    return trajectory.noted(note, positions=positions)


def _subtract(positions: np.ndarray, mean: np.ndarray) -> None:
    np.subtract(positions, mean, out=positions, casting="same_kind")


def superimposed(trajectory: Trajectory) -> Trajectory:
    """Rotates and shifts each frame onto the first of its run (Kabsch), all points weighted alike.

    argmin_{R,t} sum_i |R x_i(t) + t - x_i(0)|² over proper rotations; W. Kabsch, Acta Cryst. A32
    (1976) 922. The system's own tumbling is thereby taken out of what is forecast.
    External vectors turn with their frames, and so change from frame to frame.
    """
    shape, dtype = trajectory.positions.shape, trajectory.positions.dtype
    positions = np.empty(shape, dtype)
    flat = positions.reshape(len(positions), -1, 3)
    external = trajectory.external.items()
    vectors = {name: np.broadcast_to(v, (len(flat), 3)).copy() for name, v in external}
    for run in trajectory.runs:
        first = origin = None
        for begin in range(run.start, run.stop, BLOCK):
            block = slice(begin, min(begin + BLOCK, run.stop))
            points = trajectory.positions[block].astype(np.float64).reshape(-1, *flat.shape[1:])
            centroid = points.mean(axis=1, keepdims=True)
            points -= centroid
            known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
            if first is None and known.size:
                first, origin = points[known[0]], centroid[known[0]]
            if known.size:
                u, _, v = np.linalg.svd(np.einsum("fpi,pj->fij", points[known], first))
                u[..., -1] *= np.sign(np.linalg.det(u @ v))[:, None]  # no reflection
                turn, rows = u @ v, begin + known
                points[known] = points[known] @ turn
                for vector in vectors.values():
                    vector[rows] = np.einsum("fi,fij->fj", vector[rows], turn)
            flat[block] = points if origin is None else points + origin
    return trajectory.with_vectors(vectors).noted(
        "superimposed: each frame on the first of its run, over all points", positions=positions
    )


def converted(trajectory: Trajectory, unit: str) -> Trajectory:
    """The same in another length unit.

    Raises:
      DataError: one of the two units is not a known length.
    """
    if unit == trajectory.system.length_unit:
        return trajectory
    for name in (unit, trajectory.system.length_unit):
        if name not in LENGTHS:
            raise DataError(
                f"{trajectory.source}: {name!r} is no length unit that can be converted, known are "
                f"{', '.join(LENGTHS)}"
            )
    factor = LENGTHS[trajectory.system.length_unit] / LENGTHS[unit]
    contact = trajectory.system.contact_distance
    return trajectory.noted(
        f"converted from {trajectory.system.length_unit} to {unit}",
        positions=(trajectory.positions * factor).astype(trajectory.positions.dtype, copy=False),
        length_unit=unit,
        contact_distance=None if contact is None else contact * factor,
    )


def _check_finite(trajectory: Trajectory) -> None:
    positions = trajectory.positions
    # The extremes first: they need no array of their own, and NaN is the greatest and the least.
    if trajectory.missing is None and max(-positions.min(), positions.max()) < FARTHEST:
        return
    near = np.abs(positions) < FARTHEST  # NaN is not
    near[~trajectory.known] = True
    if near.all():
        return
    frame, node, *_ = place = tuple(np.argwhere(~near)[0])
    raise DataError(
        f"{trajectory.source}: {np.count_nonzero(~near)} coordinate(s) are not finite or beyond "
        f"{FARTHEST:g}, the first, {positions[place]:g}, in frame {frame}, "
        f"{trajectory.system.node_name(node)}, both counted from 0; cut such frames out and give the runs "
        f"between them as lengths"
    )


def _check_apart(trajectory: Trajectory, k: int) -> None:
    frame = trajectory.positions[k]
    points = frame.reshape(-1, 3)
    reach = 1e-6 * max(np.ptp(points), 1e-30)
    # Points of one cell are within reach; a tree of many such would list all pairs of them.
    cells = np.floor((points - points.min(axis=0)) * (3**0.5 / reach)).astype(np.int64)
    keys = cells @ np.array([1, 2**21, 2**42])
    order = np.argsort(keys, kind="stable")
    shared = np.flatnonzero(np.diff(keys[order]) == 0)
    pairs = np.stack([order[shared], order[shared + 1]], axis=1)
    if not len(pairs):
        pairs = KDTree(points).query_pairs(reach, output_type="ndarray")
    if len(pairs):
        one, other = (trajectory.system.node_name(i // frame.shape[1]) for i in pairs[0])
        raise DataError(
            f"{trajectory.source}: {one} and {other} are in the same place in frame {k}; "
            f"leave duplicate atoms out (--read.select), or correct the file"
        )
