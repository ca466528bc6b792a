"""Trajectories in numpy files: MD17's own format, one bare array, or all that a Trajectory holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from estag_jax import npz
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources.files import cells, external, keys, run_keys
from estag_jax.sources.files.run_keys import show
from estag_jax.sources.files.timing import Clock, Step, chosen_step, clock, unknown
from estag_jax.sources.options import FileOptions

EXPECTED = (
    "an .npz with R [frames, atoms, 3] and z [atoms] (MD17's format), or an .npy or .npz with "
    "positions [frames, N, 3] or [frames, N, C, 3]"
)
"""What a file may hold, for messages."""

MD17_STEP = 0.5
"""fs; the time between frames of an R, z file that does not give it."""

DEFAULT = FileOptions()

_PLAIN = {
    "node_features": ("fiu", 2),
    "names": ("U", 1),
    "run_names": ("U", 1),
    "bonds": ("iu", 2),
    "bond_orders": ("fiu", 1),
    "missing": ("b", 1),
    "frame_step": ("fiu", 0),
    "contact_distance": ("fiu", 0),
    "anchor": ("iu", 0),
    "time_unit": ("U", 0),
    "length_unit": ("U", 0),
    "provenance": ("U", 0),
    "licence": ("U", 0),
    "notes": ("U", 1),
}
"""Optional keys that go into the Trajectory as they are: kinds of dtype, and rank."""


def read_npz(path: str | Path, options: FileOptions = DEFAULT) -> Trajectory:
    """Reads a trajectory from an .npz or .npy file, with all its atoms and without a graph.

    Keys: R [frames, atoms, 3] in Å with z [atoms], or positions [frames, N, 3] or [frames, N, C, 3]
    with or without z, or either with runs as a first axis; optional are lengths (frames of each
    independent run), axes ("runs" or "frames", as the option), the time (dt_fs, time_ps, …), length_unit,
    cell (a periodic box), external vectors (up, gravity, field, heading, or vectors/NAME) and every
    further field of a Trajectory under its own name, as ``write_npz`` saves them. What other collections
    call these is in ``keys``; keys that are not read are noted. An .npy file is the positions. Node
    features are the atomic numbers, or 1 where there are none. Objects are never unpickled.

    Args:
      path: the file.
      options: frame_step, axes and length_unit. Without a step 0.5 fs is taken for R, z files (MD17's)
        and 1 frame for others.

    Returns:
      The trajectory, in float64 if the file is and in float32 otherwise.

    Raises:
      DataError: the file is missing, damaged, pickled or holds something else; the line says what.
    """
    path = Path(path)
    arrays, notes = _read(path)
    numbers = keys.atomic_numbers(path, arrays)
    positions, lengths, said = _positions(path, arrays, numbers, options.axes)
    notes += said
    if numbers is not None and numbers.shape != positions.shape[1:2]:
        raise DataError(
            f"{path}: z has shape {list(numbers.shape)}, but the positions are of {positions.shape[1]} "
            f"atoms; expected [{positions.shape[1]}]"
        )
    fields = {"provenance": "read from a file, which does not say how it came to be"}
    if "R" not in arrays and numbers is None:
        fields["length_unit"] = "unit"  # of anything
    fields |= {key: _plain(path, key, arrays[key]) for key in _PLAIN if key in arrays}
    if options.length_unit or "length_unit" in fields:
        fields["length_unit"] = options.length_unit or keys.length_unit(fields["length_unit"])
    (step, unit), dates, said = _time(path, arrays, options.frame_step, len(positions))
    notes += [*said, *dates.notes]
    vectors = external.of_arrays(path, arrays, len(positions))
    if len(dates.lengths) > 1 or not dates.keep.all():
        if len(lengths) > 1:
            raise DataError(
                f"{path}: has both lengths of runs and times with gaps; leave one key out"
            )
        positions, lengths = positions[dates.keep], dates.lengths
        vectors = {n: v[dates.keep] if v.ndim > 1 else v for n, v in vectors.items()}
    fields |= {"frame_step": step, "time_unit": unit, "notes": (*fields.get("notes", ()), *notes)}
    trajectory = Trajectory.from_arrays(
        positions,
        atomic_numbers=numbers,
        lengths=lengths,
        source=str(path),
        vectors=vectors,
        **fields,
    )
    if "cell" not in arrays:
        if not options.unwrap:
            raise DataError(f"read unwrap has no effect on {path}, which has no cell; leave it out")
        return trajectory
    return cells.without_jumps(trajectory, arrays["cell"], dates.keep, options.unwrap)


def write_npz(path: str | os.PathLike, trajectory: Trajectory) -> None:
    """Writes all that a source said into one file, which ``read_npz`` reads; whole or not at all.

    The graph is not kept: it is built when the file is read. A published split by trial is not
    kept either, since it belongs to the source.

    Args:
      path: the .npz file; its folder is made if need be.
      trajectory: what to write.
    """
    arrays = {"positions": trajectory.positions, "lengths": np.asarray(trajectory.lengths)}
    if trajectory.system.atomic_numbers is not None:
        arrays["z"] = trajectory.system.atomic_numbers
    for key in _PLAIN:
        value = getattr(trajectory if hasattr(trajectory, key) else trajectory.system, key)
        if value is not None and not (isinstance(value, tuple) and not value):
            arrays[key] = np.asarray(value)
    arrays |= {f"{external.PREFIX}{name}": v for name, v in trajectory.external.items()}
    npz.write_npz(path, arrays, compressed=True)


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the file that are of use, by key, and notes on what was renamed."""
    try:
        there = npz.keys_of(path)
        known = ("positions", "R", "z", "lengths", "axes", "cell", *_PLAIN, *external.keys(there))
        names = keys.renamed(path, there, known)
        found = npz.read_npz(path, wanted=list(names), bare="positions", error=DataError)
    except DataError as error:
        if str(error).startswith(f"{path}: key "):
            raise
        raise DataError(f"{error}; expected is {EXPECTED}") from error
    names = {key: name for key, name in names.items() if keys.tells(key, found[key])}
    arrays = {
        names.get(key, key): value for key, value in found.items() if key in names or not there
    }
    if "positions" in arrays or {"R", "z"} <= set(arrays):
        return arrays, keys.noted(path, names, there)
    near = keys.nearest(there)
    missing = "key z is" if "R" in arrays else "key R is" if "z" in arrays else "keys R and z are"
    listed = ", ".join(sorted(there)[:20]) + " …" * (len(there) > 20) or "no keys"
    raise DataError(
        f"{path}: {missing} missing, the file has {listed}{near}; expected is {EXPECTED}"
    )


def _positions(
    path: Path, arrays: dict[str, np.ndarray], numbers: np.ndarray | None, axes: str
) -> tuple[np.ndarray, tuple[int, ...], list[str]]:
    """Positions [frames, N, (C,) 3] in float32 or float64, the frames of each run, and notes."""
    key = "positions" if "positions" in arrays else "R"
    positions = arrays[key]
    shape = list(positions.shape)
    if positions.dtype.kind not in "fiu":
        raise DataError(f"{path}: {key} holds {positions.dtype}, expected real numbers")
    if positions.ndim not in (3, 4, 5) or positions.shape[-1] != 3:
        remedy = ""
        if positions.ndim > 2 and shape[-2] == 3:
            remedy = "; if coordinates stand before nodes, swap the last two axes"
        elif positions.ndim > 2 and shape[-1] == 2:
            remedy = "; give points of a plane a third coordinate, zero"
        elif positions.ndim == 2 and shape[-1] % 3 == 0:
            remedy = f"; if a row has the coordinates of {shape[-1] // 3} nodes, reshape it"
        expected = "[frames, atoms, 3]" if key == "R" else "[frames, N, 3] or [frames, N, C, 3]"
        raise DataError(f"{path}: {key} has shape {shape}, expected {expected}{remedy}")
    if positions.size == 0:
        what = "nodes" if len(positions) else "frames"
        raise DataError(f"{path}: {key} has shape {shape}, that is zero {what}")
    # Named types also bring the bytes into this machine's order.
    positions = positions.astype(
        np.float64 if positions.dtype.itemsize > 4 else np.float32, copy=False
    )
    if not _has_runs(path, arrays, shape, numbers, axes):
        return positions, run_keys.lengths(path, arrays, len(positions)), []
    if "lengths" in arrays:
        raise DataError(f"{path}: has runs as its first axis and lengths besides; leave one out")
    runs, frames = shape[:2]
    note = f"{key} {shape} is read as {runs} runs of {frames} frames of {shape[2]} nodes"
    return positions.reshape(-1, *positions.shape[2:]), (frames,) * runs, [note]


def _has_runs(
    path: Path,
    arrays: dict[str, np.ndarray],
    shape: list[int],
    numbers: np.ndarray | None,
    axes: str,
) -> bool:
    """Whether the first axis is that of runs; where nothing tells, a 4-axis array is refused."""
    if "axes" in arrays and axes == "auto":
        axes = str(arrays["axes"].item()) if arrays["axes"].size == 1 else "?"
        if axes not in ("runs", "frames"):
            raise DataError(f"{path}: axes is {show(arrays['axes'])}, expected 'runs' or 'frames'")
    if len(shape) == 3 and axes == "runs":
        raise DataError(f"{path}: positions {shape} have no axis of runs; leave axes out")
    if len(shape) == 3:
        return False
    if axes != "auto" or len(shape) == 5:
        return axes == "runs" or len(shape) == 5
    if "lengths" in arrays or "anchor" in arrays:  # as estag writes them
        return False
    if numbers is not None and (len(numbers) == shape[1]) != (len(numbers) == shape[2]):
        return len(numbers) == shape[2]
    first, second, third = shape[:3]
    raise DataError(
        f"{path}: {shape} may be {first} runs of {second} frames of {third} nodes, or {first} frames of "
        f"{second} nodes of {third} channels; say which by --read.axes runs or --read.axes frames, or by a "
        f"key axes"
    )


def _time(
    path: Path, arrays: dict[str, np.ndarray], given: float | str | None, frames: int
) -> tuple[Step, Clock, tuple[str, ...]]:
    """Time between frames, what the times say, and a note where the step is not the file's."""
    stated, dates = None, unknown(frames)
    stem, unit = keys.time_key(path, arrays, given is not None)
    rate = keys.rate_key(arrays)
    if stem.partition("_")[0].lower() in keys.DATES and arrays[stem].size > 1:
        times = arrays[stem]
        if times.dtype.kind not in "fiu" or times.shape != (frames,):
            raise DataError(
                f"{path}: {stem} is {show(times)}, expected the time of each of {frames} frames"
            )
        dates = clock(path, times, unit, given is not None)
        stated = dates.step and (dates.step, unit)
    elif stem:
        stated = _positive(path, stem, arrays[stem], unit), unit
    elif rate:
        stated = 1 / _positive(path, rate, arrays[rate], "frames per second"), "s"
    elif "frame_step" in arrays:
        unit = _plain(path, "time_unit", arrays["time_unit"]) if "time_unit" in arrays else "frame"
        unit = keys.time_unit(unit)
        stated = _plain(path, "frame_step", arrays["frame_step"]), unit
    elif given is None and "R" in arrays:
        note = f"the file does not give its time step; {MD17_STEP} fs is assumed, as in MD17"
        return (MD17_STEP, "fs"), dates, (note,)
    elif given is None and "z" not in arrays:
        return (1.0, "frame"), dates, ()  # plain frames of anything
    step, notes = chosen_step(path.name, stated, given, "fs")
    return step, dates, notes


def _positive(path: Path, key: str, value: np.ndarray, what: str) -> float:
    """The one positive number that a key holds."""
    if value.dtype.kind not in "fiu" or value.size != 1 or not 0 < value.item() < np.inf:
        raise DataError(f"{path}: {key} is {show(value)}, expected one positive number of {what}")
    return float(value.item())


def _plain(path: Path, key: str, value: np.ndarray) -> np.ndarray | tuple | float | int | str:
    """An optional field: scalars and tuples of strings as Python's own, the rest as arrays."""
    kinds, rank = _PLAIN[key]
    if value.dtype.kind not in kinds or value.ndim != rank:
        raise DataError(f"{path}: {key} is {show(value)}, not what estag writes; leave the key out")
    if rank == 0:
        return value.item()
    return tuple(map(str, value)) if kinds == "U" else value
