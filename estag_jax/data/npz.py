"""Trajectories from numpy files: MD17's own format, or one bare array of positions."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from estag_jax.data.graphs import DEFAULT_GRAPH, GraphConfig, build_topology
from estag_jax.data.trajectory import DataError, Trajectory

EXPECTED = (
    "an .npz with R [frames, atoms, 3] and z [atoms] (MD17's format), or an .npy or .npz with "
    "positions [frames, N, 3] or [frames, N, C, 3]"
)
"""What a file may hold, for messages."""

_MAGIC = (b"PK", b"\x93NUMPY")  # of zip archives, which npz files are, and of npy files
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,  # an encrypted archive, an unknown compression
    tokenize.TokenError,  # the header of an array
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(
    path: str | Path,
    *,
    graph: GraphConfig = DEFAULT_GRAPH,
    hydrogens: bool = False,
    frame_step: float = 0.5,
) -> Trajectory:
    """Reads a trajectory from an .npz or .npy file, and checks every number in it.

    Keys: R [frames, atoms, 3] in Å with z [atoms], or positions [frames, N, 3] or [frames, N, C, 3]
    with or without z; optional are lengths (frames of each independent run) and dt_fs (time
    between frames, fs). Other keys are ignored. An .npy file is the positions. Node features are
    the atomic numbers, or 1 where there are none. Objects are never unpickled.

    Args:
      path: the file.
      graph: which pairs of nodes are edges.
      hydrogens: whether hydrogens are kept; by default they are part of what is not observed.
      frame_step: time between frames in fs where the file has no dt_fs.

    Returns:
      The trajectory, in float64 if the file is and in float32 otherwise.

    Raises:
      DataError: the file is missing, damaged, pickled or holds something else; the line says what.
    """
    path = Path(path)
    arrays = _read(path)
    positions = _positions(path, arrays)
    numbers = _atomic_numbers(path, arrays, positions.shape[1])
    _check_finite(path, positions, numbers)
    if numbers is not None and not hydrogens:
        keep = numbers > 1
        if not keep.any():
            raise DataError(
                f"{path}: all {len(numbers)} atoms are hydrogens and none is left without them; "
                f"keep them with hydrogens=True"
            )
        positions, numbers = positions[:, keep], numbers[keep]
    if numbers is None:
        names = tuple(str(i) for i in range(positions.shape[1]))
        features = np.ones((positions.shape[1], 1), np.float32)
    else:
        names = tuple(chemical_symbols[number] for number in numbers)
        features = numbers[:, None].astype(np.float32)
    return Trajectory(
        positions=positions,
        node_features=features,
        names=names,
        topology=build_topology(graph, positions, numbers, str(path)),
        frame_step=_frame_step(path, arrays, frame_step),
        atomic_numbers=numbers,
        lengths=_lengths(path, arrays, len(positions)),
        source=str(path),
        provenance="read from a file, which does not say how it came to be",
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file that are of use, by key."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file; expected is {EXPECTED}")
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; expected is {EXPECTED}")
    try:
        # Opened here, because numpy leaves a file open that it finds to be damaged.
        with path.open("rb") as file:
            # Without this check, numpy takes any other file for a pickle and says so.
            if not file.read(6).startswith(_MAGIC):
                raise DataError(
                    f"{path}: this is neither an npz nor an npy file; expected is {EXPECTED}"
                )
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"positions": loaded}
            _check_keys(path, loaded.files)
            main = "positions" if "positions" in loaded.files else "R"
            wanted = (main, "z", "lengths", "dt_fs")
            # A member of a zip archive that is not in npy format comes as bytes.
            return {key: np.asarray(loaded[key]) for key in wanted if key in loaded.files}
    except DataError:  # which is a ValueError
        raise
    except _DAMAGE as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: holds pickled objects, which are refused because loading them can "
                f"run any code; save plain arrays of numbers"
            ) from error
        cause = " ".join(str(error).split())
        raise DataError(
            f"{path}: cannot be read, it may be damaged or cut short ({type(error).__name__}: "
            f"{cause}); copy or save it again"
        ) from error


def _check_keys(path: Path, keys: list[str]) -> None:
    if "positions" in keys or ("R" in keys and "z" in keys):
        return
    missing = "z" if "R" in keys else "R" if "z" in keys else "R and z"
    raise DataError(
        f"{path}: key {missing} is missing, the file has {', '.join(sorted(keys)) or 'no keys'}; "
        f"expected is {EXPECTED}"
    )


def _positions(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Positions [frames, N, C, 3] in float32 or float64, at least one of each axis."""
    key, ranks = ("positions", (3, 4)) if "positions" in arrays else ("R", (3,))
    positions = arrays[key]
    if positions.dtype.kind not in "fiu":
        raise DataError(f"{path}: {key} holds {positions.dtype}, expected real numbers")
    if positions.ndim not in ranks or positions.shape[-1] != 3:
        shapes = "[frames, atoms, 3]" if key == "R" else "[frames, N, 3] or [frames, N, C, 3]"
        raise DataError(f"{path}: {key} has shape {list(positions.shape)}, expected {shapes}")
    if positions.shape[0] == 0:
        raise DataError(f"{path}: {key} has shape {list(positions.shape)}, that is zero frames")
    if positions.size == 0:
        raise DataError(f"{path}: {key} has shape {list(positions.shape)}, that is zero nodes")
    # Named types also bring the bytes into this machine's order.
    positions = positions.astype(
        np.float64 if positions.dtype.itemsize > 4 else np.float32, copy=False
    )
    return positions if positions.ndim == 4 else positions[:, :, None]


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


def _check_finite(path: Path, positions: np.ndarray, numbers: np.ndarray | None) -> None:
    finite = np.isfinite(positions)
    if finite.all():
        return
    frame, node = np.argwhere(~finite)[0, :2]
    what = f"node {node}" if numbers is None else f"atom {node} ({chemical_symbols[numbers[node]]})"
    raise DataError(
        f"{path}: {np.count_nonzero(~finite)} coordinate(s) are not finite, the first in frame "
        f"{frame}, {what}, both counted from 0; cut such frames out and give the runs between them "
        f"as lengths"
    )


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


def _frame_step(path: Path, arrays: dict[str, np.ndarray], default: float) -> float:
    if "dt_fs" not in arrays:
        return default
    step = arrays["dt_fs"]
    if step.dtype.kind not in "fiu" or step.size != 1 or not 0 < step.item() < np.inf:
        raise DataError(
            f"{path}: dt_fs is {_show(step)}, expected one positive number of femtoseconds"
        )
    return float(step.item())


def _show(array: np.ndarray) -> str:
    """Type, shape and the first values on one line."""
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:4].tolist()}"
