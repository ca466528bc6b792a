"""What a trajectory is like before any model sees it: how far, how fast and how it jumps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

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

    For a molecule this is its vibrational density of states, the transform of the autocorrelation of
    velocities, all atoms weighted alike. Velocities are differences of consecutive frames, so motion near
    the Nyquist frequency is damped by sinc(pi f dt). Segments overlap by half; runs are not bridged.

    Args:
      trajectory: the frames.
      segment: frames of a segment, at most.

    Returns:
      frequencies [F] in 1 / time_unit and power [F] normalised to sum to one; None where no stretch
      of 16 known frames is there or nothing moves.
    """
    found = node_powers(trajectory, segment)
    if found is None:
        return None
    total = found[1].sum(axis=0)
    return (found[0], total / total.sum()) if total.sum() > 0 else None


def node_powers(
    trajectory: Trajectory, segment: int = _SEGMENT
) -> tuple[np.ndarray, np.ndarray] | None:
    """As :func:`power_spectrum`, of each node: frequencies [F] and power [N, F], not normalised."""
    powers = None
    for frames, length in _long_stretches(trajectory, segment):
        count, nodes = len(frames) - 1, frames.shape[1]
        flat = frames.reshape(count + 1, -1)
        found = []
        columns = max(1, min(_COLUMNS, _NUMBERS // count))
        for begin in range(0, flat.shape[1], columns):
            part = np.diff(flat[:, begin : begin + columns], axis=0).astype(np.float64)
            frequencies, power = welch(part, 1 / trajectory.frame_step, nperseg=length, axis=0)
            found.append(power)
        each = np.concatenate(found, axis=1).T.reshape(nodes, -1, len(frequencies)).sum(axis=1)
        powers = count * each + (0 if powers is None else powers)
    return None if powers is None else (frequencies, powers)


def coherences(
    trajectory: Trajectory, pairs: np.ndarray, segment: int = 256
) -> tuple[np.ndarray, np.ndarray] | None:
    """How alike the ends of edges move at each frequency.

        |S_ij(f)|² / (S_ii(f) S_jj(f)),   S_ij = Σ over segments of v_i(f)* · v_j(f)

    Args:
      trajectory: the frames; the anchor stands for each node.
      pairs: of nodes [P, 2].
      segment: frames of a segment, at most; many segments make chance coherence small.

    Returns:
      Frequencies [F] and coherences [P, F], 0 to 1; None as for :func:`power_spectrum`.
    """
    own = across = None
    for frames, length in _long_stretches(trajectory, segment):
        points = np.diff(frames[:, :, trajectory.system.anchor], axis=0).astype(np.float64)
        about, taper = points - points.mean(axis=0), np.hanning(length)[:, None, None]
        for begin in range(0, len(about) - length + 1, max(length // 2, 1)):
            waves = np.fft.rfft(about[begin : begin + length] * taper, axis=0)  # [F, N, 3]
            one, other = waves[:, pairs[:, 0]], waves[:, pairs[:, 1]]
            parts = (np.abs(waves) ** 2).sum(-1), (one.conj() * other).sum(-1)
            own = parts[0] + (0 if own is None else own)
            across = parts[1] + (0 if across is None else across)
        frequencies = np.fft.rfftfreq(length, trajectory.frame_step)
    if own is None:
        return None
    scale = own[:, pairs[:, 0]] * own[:, pairs[:, 1]]
    return frequencies, (np.abs(across) ** 2 / np.where(scale > 0, scale, 1)).T


def _long_stretches(trajectory: Trajectory, segment: int) -> Iterator[tuple[np.ndarray, int]]:
    """The frames of each stretch that a segment fits into [frames, N, C, 3], and the segment's length."""
    stretches = [s for s in _stretches(trajectory) if s.stop - s.start >= 16]
    length = min(segment, max((s.stop - s.start for s in stretches), default=0) - 1)
    for stretch in stretches:
        if stretch.stop - stretch.start > length:
            yield trajectory.positions[stretch], length


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
