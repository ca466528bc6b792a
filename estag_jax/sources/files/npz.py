"""Trajectories in numpy files: MD17's own format, one bare array, or all that a Trajectory holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from estag_jax import io
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources.files.timing import Step, chosen_step

EXPECTED = (
    "an .npz with R [frames, atoms, 3] and z [atoms] (MD17's format), or an .npy or .npz with "
    "positions [frames, N, 3] or [frames, N, C, 3]"
)
"""What a file may hold, for messages."""

MD17_STEP = 0.5
"""fs; the time between frames of an R, z file that does not give it."""

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


def read_npz(path: str | Path, frame_step: float | str | None = None) -> Trajectory:
    """Reads a trajectory from an .npz or .npy file, with all its atoms and without a graph.

    Keys: R [frames, atoms, 3] in Å with z [atoms], or positions [frames, N, 3] or [frames, N, C, 3]
    with or without z; optional are lengths (frames of each independent run), dt_fs (time between
    frames, fs) and every further field of a Trajectory under its own name, as ``write_npz`` saves
    them. Other keys are ignored. An .npy file is the positions. Node features are the atomic
    numbers, or 1 where there are none. Objects are never unpickled.

    Args:
      path: the file.
      frame_step: time between frames; None takes the file's, else 0.5 fs for R, z files (MD17's) and
        1 frame for others. A bare number is in the file's unit, and in fs where it has none.

    Returns:
      The trajectory, in float64 if the file is and in float32 otherwise.

    Raises:
      DataError: the file is missing, damaged, pickled or holds something else; the line says what.
    """
    path = Path(path)
    arrays = _read(path)
    positions = _positions(path, arrays)
    numbers = _atomic_numbers(path, arrays, positions.shape[1])
    fields = {"provenance": "read from a file, which does not say how it came to be"}
    if "R" not in arrays and numbers is None:
        fields["length_unit"] = "unit"  # of anything
    fields |= {key: _plain(path, key, arrays[key]) for key in _PLAIN if key in arrays}
    (step, unit), notes = _time(path, arrays, frame_step)
    fields |= {"frame_step": step, "time_unit": unit, "notes": (*fields.get("notes", ()), *notes)}
    return Trajectory.from_arrays(
        positions,
        atomic_numbers=numbers,
        lengths=_lengths(path, arrays, len(positions)),
        source=str(path),
        **fields,
    )


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
    io.write_npz(path, arrays, compressed=True)


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file that are of use, by key."""
    wanted = ("positions", "R", "z", "lengths", "dt_fs", *_PLAIN)
    try:
        arrays = io.read_npz(path, wanted=wanted, bare="positions", error=DataError)
    except DataError as error:
        raise DataError(f"{error}; expected is {EXPECTED}") from error
    if "positions" in arrays or {"R", "z"} <= set(arrays):
        return arrays
    missing = "z" if "R" in arrays else "R" if "z" in arrays else "R and z"
    keys = ", ".join(sorted(io.read_npz(path, error=DataError))) or "no keys"
    raise DataError(
        f"{path}: key {missing} is missing, the file has {keys}; expected is {EXPECTED}"
    )


def _positions(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Positions [frames, N, (C,) 3] in float32 or float64, at least one of each axis."""
    key, ranks = ("positions", (3, 4)) if "positions" in arrays else ("R", (3,))
    positions = arrays[key]
    if positions.dtype.kind not in "fiu":
        raise DataError(f"{path}: {key} holds {positions.dtype}, expected real numbers")
    if positions.ndim not in ranks or positions.shape[-1] != 3:
        shapes = "[frames, atoms, 3]" if key == "R" else "[frames, N, 3] or [frames, N, C, 3]"
        raise DataError(f"{path}: {key} has shape {list(positions.shape)}, expected {shapes}")
    if positions.size == 0:
        what = "nodes" if len(positions) else "frames"
        raise DataError(f"{path}: {key} has shape {list(positions.shape)}, that is zero {what}")
    # Named types also bring the bytes into this machine's order.
    return positions.astype(np.float64 if positions.dtype.itemsize > 4 else np.float32, copy=False)


def _atomic_numbers(path: Path, arrays: dict[str, np.ndarray], num_nodes: int) -> np.ndarray | None:
    """Atomic numbers int64 [N], or None if the file has none."""
    if "z" not in arrays:
        return None
    numbers = arrays["z"]
    if numbers.dtype.kind not in "iu":
        raise DataError(f"{path}: z holds {numbers.dtype}, expected integers (atomic numbers)")
    if numbers.shape != (num_nodes,):
        raise DataError(
            f"{path}: z has shape {list(numbers.shape)}, but the positions are of {num_nodes} "
            f"atoms; expected [{num_nodes}]"
        )
    wrong = np.flatnonzero((numbers < 1) | (numbers > 118))
    if wrong.size:
        raise DataError(
            f"{path}: z of atom {wrong[0]} is {numbers[wrong[0]]}, expected an atomic number "
            f"from 1 to 118"
        )
    return numbers.astype(np.int64)


def _lengths(path: Path, arrays: dict[str, np.ndarray], num_frames: int) -> tuple[int, ...]:
    """Frames of each run; one run if the file does not say."""
    if "lengths" not in arrays:
        return (num_frames,)
    lengths = arrays["lengths"]
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or np.any(lengths < 1):
        raise DataError(
            f"{path}: lengths are {_show(lengths)}, expected one positive integer for each run"
        )
    return tuple(int(length) for length in lengths)


def _time(
    path: Path, arrays: dict[str, np.ndarray], given: float | str | None
) -> tuple[Step, tuple[str, ...]]:
    """Time between frames, and a note where it is not the file's."""
    stated = None
    if "dt_fs" in arrays:
        step = arrays["dt_fs"]
        if step.dtype.kind not in "fiu" or step.size != 1 or not 0 < step.item() < np.inf:
            raise DataError(
                f"{path}: dt_fs is {_show(step)}, expected one positive number of femtoseconds"
            )
        stated = float(step.item()), "fs"
    elif "frame_step" in arrays:
        unit = _plain(path, "time_unit", arrays["time_unit"]) if "time_unit" in arrays else "frame"
        stated = _plain(path, "frame_step", arrays["frame_step"]), unit
    elif given is None and "R" in arrays:
        note = f"the file does not give its time step; {MD17_STEP} fs is assumed, as in MD17"
        return (MD17_STEP, "fs"), (note,)
    elif given is None and "z" not in arrays:
        return (1.0, "frame"), ()  # plain frames of anything
    return chosen_step(path.name, stated, given, "fs")


def _plain(path: Path, key: str, value: np.ndarray) -> np.ndarray | tuple | float | int | str:
    """An optional field: scalars and tuples of strings as Python's own, the rest as arrays."""
    kinds, rank = _PLAIN[key]
    if value.dtype.kind not in kinds or value.ndim != rank:
        raise DataError(
            f"{path}: {key} is {_show(value)}, not what estag writes; leave the key out"
        )
    if rank == 0:
        return value.item()
    return tuple(map(str, value)) if kinds == "U" else value


def _show(array: np.ndarray) -> str:
    """Type, shape and the first values on one line."""
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:4].tolist()}"
