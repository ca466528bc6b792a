"""What a trajectory is like before any model sees it: how far, how fast and how it jumps."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.signal import welch

from estag_jax.data.trajectory import Trajectory

LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Trajectory steps over which displacements are reported."""

_SAMPLES = 2000  # starts per lag: enough for three digits, and seconds for the largest files
_SEGMENT = 2048  # frames of one periodogram
_COLUMNS = 96  # coordinates transformed at once, fewer of many frames, to bound memory
_NUMBERS = 2_000_000  # of them in one transform


def rms_displacement(trajectory: Trajectory, lags: tuple[int, ...] = LAGS) -> dict[int, float]:
    """sqrt(mean |x_i(t + lag) - x_i(t)|²) over nodes, channels and at most 2000 spread starts.

    Args:
      trajectory: its runs are not bridged and missing frames not used.
      lags: in trajectory steps; those that no run is long enough for are left out.

    Returns:
      By lag, in the trajectory's length unit.
    """
    found = {}
    for lag in lags:
        first = _pairs(trajectory, lag)
        if not first.size:
            continue
        first = first[np.linspace(0, len(first) - 1, min(len(first), _SAMPLES)).astype(np.int64)]
        total = 0.0
        for part in np.array_split(first, max(1, len(first) // 200)):
            step = trajectory.positions[part + lag].astype(np.float64) - trajectory.positions[part]
            total += np.sum(step**2)
        points = len(first) * trajectory.system.num_nodes * trajectory.system.channels
        found[lag] = float(np.sqrt(total / points))
    return found


@dataclasses.dataclass(frozen=True)
class Jump:
    """The largest displacement of one node in one trajectory step.

    Args:
      size: in the length unit.
      median: of every step's largest displacement, to compare.
      frame: the frame that is jumped from.
      node: which node.
    """

    size: float
    median: float
    frame: int
    node: int


def largest_jump(trajectory: Trajectory) -> Jump | None:
    """The largest step of any node; far above the median, frames or atoms are out of order.

    Args:
      trajectory: its runs are not bridged and missing frames not used.

    Returns:
      The jump, or None where no two frames follow each other.
    """
    first = _pairs(trajectory, 1)
    if not first.size:
        return None
    sizes, nodes = np.empty(len(first)), np.empty(len(first), np.int64)
    block = max(1, 2_000_000 // trajectory.positions[0].size)
    for begin in range(0, len(first), block):
        part = first[begin : begin + block]
        step = trajectory.positions[part + 1].astype(np.float64) - trajectory.positions[part]
        distance = np.sqrt((step**2).sum(axis=-1)).max(axis=-1)  # [frames, N]
        sizes[begin : begin + block] = distance.max(axis=1)
        nodes[begin : begin + block] = distance.argmax(axis=1)
    at = int(sizes.argmax())
    return Jump(float(sizes[at]), float(np.median(sizes)), int(first[at]), int(nodes[at]))


def power_spectrum(
    trajectory: Trajectory, segment: int = _SEGMENT
) -> tuple[np.ndarray, np.ndarray] | None:
    """Power of the velocities by frequency, summed over all coordinates (Welch 1967, Hann windows).

    For a molecule this is its vibrational density of states, all atoms weighted alike. Velocities
    are differences of consecutive frames, so motion near the Nyquist frequency is damped by
    sinc(pi f dt). Segments overlap by half; runs are not bridged.

    Args:
      trajectory: the frames.
      segment: frames of a segment, at most.

    Returns:
      frequencies [F] in 1 / time_unit and power [F] normalised to sum to one; None where no stretch
      of 16 known frames is there or nothing moves.
    """
    stretches = [s for s in _stretches(trajectory) if s.stop - s.start >= 16]
    if not stretches:
        return None
    length = min(segment, max(s.stop - s.start for s in stretches) - 1)
    total = np.zeros(length // 2 + 1)
    for stretch in stretches:
        if stretch.stop - stretch.start <= length:
            continue
        flat = trajectory.positions[stretch].reshape(stretch.stop - stretch.start, -1)
        columns = max(1, min(_COLUMNS, _NUMBERS // len(flat)))
        for begin in range(0, flat.shape[1], columns):
            velocity = np.diff(flat[:, begin : begin + columns].astype(np.float64), axis=0)
            frequencies, power = welch(
                velocity, fs=1 / trajectory.frame_step, nperseg=length, axis=0
            )
            total += power.sum(axis=1) * len(velocity)
    return (frequencies, total / total.sum()) if total.sum() > 0 else None


def _pairs(trajectory: Trajectory, lag: int) -> np.ndarray:
    """Frames t with a known frame t + lag in the same run."""
    known = trajectory.known
    first = np.concatenate(
        [np.arange(r.start, max(r.start, r.stop - lag), dtype=np.int64) for r in trajectory.runs]
    )
    return first[known[first] & known[first + lag]]


def _stretches(trajectory: Trajectory) -> list[slice]:
    """Runs, cut where frames are missing."""
    known, stretches = trajectory.known, []
    for run in trajectory.runs:
        frames = np.flatnonzero(known[run]) + run.start
        parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        stretches += [slice(int(p[0]), int(p[-1]) + 1) for p in parts if p.size]
    return stretches
