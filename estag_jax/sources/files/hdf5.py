"""Trajectories in HDF5: mdtraj's, with their topology, and H5MD, behind one. Needs h5py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers as number_of
from ase.geometry import cell_to_cellpar, cellpar_to_cell

from estag_jax import memory
from estag_jax.data.settings import TIME_UNITS
from estag_jax.data.system import DataError, needed
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import LENGTHS
from estag_jax.io import cause
from estag_jax.sources.files import boxes
from estag_jax.sources.files.keys import length_unit, time_unit
from estag_jax.sources.files.stacks import Stack
from estag_jax.sources.files.timing import chosen_step, clock, names_of_stretches, unknown
from estag_jax.sources.options import FileOptions

SUFFIXES = (".h5", ".hdf5")

NM = 10.0
"""Å; mdtraj's unit of length. Its unit of time is ps."""


def read_hdf5(path: Path, options: FileOptions) -> Trajectory:
    """Reads a file that ``mdtraj.Trajectory.save_hdf5`` wrote.

    Args:
      path: the file.
      options: the time between frames, and whether to unwrap.

    Returns:
      The trajectory, without a graph; positions [frames, N, 1, 3] float32 in Å.

    Raises:
      DataError: h5py is missing, or the file is damaged or of another kind.
    """
    h5py = needed("h5py", f"{path}: reading this file", "'estag_jax[h5]'")
    try:
        with h5py.File(path, "r") as file:
            found = [key for key in _KEYS if key in file]
            for key in found:
                memory.afford(file[key].nbytes, f"{path}: {key} {list(file[key].shape)}")
            arrays = {key: file[key][()] for key in found}
            there = sorted(file)
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no whole HDF5 file ({cause(error)}); copy it again") from error
    if "particles" in there:
        raise DataError(f"{path}: is H5MD, which holds no names of atoms; write TOPOLOGY,{path}")
    if not {"coordinates", "topology"} <= set(arrays):
        raise DataError(
            f"{path}: holds {', '.join(there) or 'nothing'}, expected mdtraj's coordinates and topology; "
            f"save positions [frames, N, 3] as .npz"
        )
    names, numbers, bonds = _topology(path, arrays["topology"])
    positions, given = arrays["coordinates"], options.frame_step is not None
    frames = len(positions)
    for key in ("time", "cell_lengths", "cell_angles"):
        if key in arrays and len(arrays[key]) != frames:
            raise DataError(
                f"{path}: has {frames} frames of coordinates and {len(arrays[key])} of {key}; write it again"
            )
    if positions.shape[1:] != (len(names), 3):
        raise DataError(
            f"{path}: coordinates are {list(positions.shape)}, its topology has {len(names)} atoms"
        )
    dates = clock(path, arrays["time"], "ps", given) if "time" in arrays else unknown(frames)
    step, chosen = chosen_step(
        path.name, dates.step and (dates.step, "ps"), options.frame_step, "ps"
    )
    notes, box = [*chosen, *dates.notes], "cell_lengths" in arrays
    if box:
        notes.append(boxes.box_note(bool(len(bonds)), options.unwrap))
    if box and options.unwrap:
        positions = np.empty(positions.shape, np.float32)
        for k, frame in enumerate(boxes.unwrapped(_frames(arrays), bonds if len(bonds) else None)):
            positions[k] = frame
    else:
        positions = (positions * NM).astype(np.float32, copy=False)
    trajectory = Trajectory.from_arrays(
        positions if dates.keep.all() else positions[dates.keep],
        atomic_numbers=numbers,
        names=names,
        bonds=bonds if len(bonds) else None,
        frame_step=step[0],
        time_unit=step[1],
        length_unit=options.length_unit or "Å",
        lengths=dates.lengths,
        run_names=names_of_stretches(path.name, dates.lengths),
        source=str(path),
        provenance=f"read from {path.name}, a file that does not say how it came to be",
        notes=tuple(notes),
    )
    return trajectory if box else boxes.with_jumps_noted(trajectory)


def read_h5md(path: Path) -> Stack:
    """Reads the positions of an H5MD file (P. de Buyl et al., Comput. Phys. Commun. 185 (2014) 1546).

    particles/GROUP/position has value [frames, N, 3], step and perhaps time; box/edges are of the file or of
    each frame. Without a unit lengths are in Å and times in ps.

    Raises:
      DataError: h5py is missing, the file is cut, or it holds no positions.
    """
    h5py = needed("h5py", f"{path}: reading this file", "'estag_jax[h5]'")
    try:
        with h5py.File(path, "r") as file:
            groups = [group for group in file.get("particles", {}).values() if "position" in group]
            if len(groups) != 1:
                raise DataError(
                    f"{path}: has {len(groups)} groups of particles with positions, expected one; save "
                    f"positions [frames, N, 3] as .npz"
                )
            position, edges = groups[0]["position"], groups[0].get("box/edges")
            value = position["value"]
            length = LENGTHS.get(length_unit(_unit(value, "Å")), 1.0)
            frames, times = np.asarray(value, np.float32) * np.float32(length), None
            clock_unit = "ps"
            if "time" in position:
                seconds = TIME_UNITS.get(time_unit(_unit(position["time"], "ps"))) or 1e-12
                times = _of_frames(position["time"], len(frames)) * (seconds / 1e-12)
            elif "step" in position:
                times, clock_unit = _of_frames(position["step"], len(frames)), "steps"
            cells = np.zeros((len(frames), 3, 3))
            if edges is not None:
                each = isinstance(edges, h5py.Group)  # of each frame
                size = np.asarray(edges["value"] if each else edges[()][None], np.float64) * length
                size = size if size.ndim == 3 else size[..., None] * np.eye(3)
                cells = np.broadcast_to(size, cells.shape)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is no whole H5MD file ({cause(error)}); copy it again") from error
    boxes = np.array([cell_to_cellpar(cell) if cell.any() else np.zeros(6) for cell in cells])
    return Stack(frames, boxes, times, clock_unit)


def _of_frames(data: Any, frames: int) -> np.ndarray:
    """Times or steps of the frames; one number is the distance between two, from the attribute offset on."""
    if data.shape:
        return data[()]
    return data.attrs.get("offset", 0) + data[()] * np.arange(frames)


def _unit(data: Any, usual: str) -> str:
    """The unit of a data set, as its attribute says."""
    unit = data.attrs.get("unit", usual)
    return unit.decode() if isinstance(unit, bytes) else str(unit)


_KEYS = ("coordinates", "topology", "time", "cell_lengths", "cell_angles")


def _frames(arrays: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions and cell vectors of each frame in Å."""
    rows = zip(arrays["coordinates"], arrays["cell_lengths"], arrays["cell_angles"], strict=True)
    for positions, lengths, angles in rows:
        yield positions * NM, cellpar_to_cell([*lengths * NM, *angles])


def _topology(path: Path, text: Any) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, atomic numbers [N] and bonds [bonds, 2] of mdtraj's JSON."""
    try:
        topology = json.loads(np.ravel(text)[0])
        residues = [r for chain in topology["chains"] for r in chain["residues"]]
        atoms = [(a, f"{r['name']}{r['resSeq']}") for r in residues for a in r["atoms"]]
        atoms.sort(key=lambda pair: pair[0]["index"])
        names = tuple(a["name"] if len(residues) == 1 else f"{r}-{a['name']}" for a, r in atoms)
        numbers = np.array([number_of.get(a["element"], 0) for a, _ in atoms])
        bonds = np.array([bond[:2] for bond in topology["bonds"]], np.int64).reshape(-1, 2)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: its topology is not mdtraj's ({cause(error)})") from error
    if not numbers.all():
        i = int(np.flatnonzero(numbers == 0)[0])
        raise DataError(
            f"{path}: the element of atom {i} ({names[i]}) is none; leave virtual sites out"
        )
    return names, numbers, bonds
