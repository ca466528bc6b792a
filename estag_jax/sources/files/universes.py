"""Files of molecular dynamics, read by MDAnalysis: a topology and its trajectories."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax.data.edges import inside
from estag_jax.data.system import DataError, needed
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, cause
from estag_jax.sources.files import boxes
from estag_jax.sources.files.dcd import examine
from estag_jax.sources.files.residues import atom_nodes, residue_nodes
from estag_jax.sources.files.timing import common_step, time_step
from estag_jax.sources.options import FileOptions

PARTIAL_BONDS = (".pdb", ".ent", ".xpdb", ".pdbqt", ".cif", ".mmcif", ".mmtf")
"""Formats that list bonds of hetero atoms alone (CONECT), if any."""


def read_universe(
    topology: Path, runs: list[Path], options: FileOptions, report: Report
) -> Trajectory:
    """Reads one system's topology and its trajectories, each of which is a run of its own.

    Args:
      topology: any topology that MDAnalysis reads.
      runs: trajectories; none takes the coordinates in the topology's own file.
      options: what to keep, what a node is, and the time between frames.
      report: receives the number of frames read.

    Returns:
      The trajectory, without a graph; positions [frames, N, C, 3] float32 in Å.

    Raises:
      DataError: files are damaged or do not belong together, or nothing is selected.
    """
    # Before warnings are silenced: the import itself changes which are shown.
    needed("MDAnalysis", f"{topology}: reading this file", "'estag_jax[md]'")
    source = ",".join(map(str, (topology, *runs)))
    files, believed, notes = runs or [topology], {}, []
    for path in files:
        believed[path], said = examine(path) if path.suffix.lower() == ".dcd" else (True, ())
        notes += said
    with warnings.catch_warnings():
        # MDAnalysis warns of every field that a format lacks; what matters here becomes a note.
        warnings.simplefilter("ignore")
        universe = _open(topology)
        group = _selected(source, universe, options.select)
        bonds, orders, said = _bonds(topology, universe)
        notes += said
        if options.nodes == "residues":
            atoms, fields, said = residue_nodes(source, group)
        else:
            atoms, fields, said = atom_nodes(source, group, bonds, orders)
        notes += said
        parts, steps, found = [], [], set()
        for path in files:
            if runs:
                _load(universe, topology, path)
            positions, times, box = _frames(path, universe, atoms, bonds, options.unwrap, report)
            parts.append(positions)
            found.add(box)
            step, said = time_step(path, universe.trajectory, times, options.frame_step is not None)
            steps.append(step if believed[path] else None)
            notes += said
            universe.trajectory.close()
    (step, unit), said = common_step(files, steps, options.frame_step)
    notes += [*said, *sorted(found - {"", "box"})]
    if "box" in found:
        notes.append(boxes.box_note(bonds is not None, options.unwrap))
    trajectory = Trajectory.from_arrays(
        np.concatenate(parts) if len(parts) > 1 else parts[0],
        **fields,
        frame_step=step,
        time_unit=unit,
        lengths=tuple(map(len, parts)),
        run_names=tuple(path.name for path in files),
        source=source,
        provenance=f"read from {', '.join(path.name for path in (topology, *runs))}, files that do "
        f"not say how they came to be",
        notes=tuple(notes),
    )
    return trajectory if "box" in found else boxes.with_jumps_noted(trajectory)


def format_suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case, without one of compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] in ([".gz"], [".bz2"]):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open(topology: Path) -> Any:
    """MDAnalysis' universe of one file."""
    import MDAnalysis

    try:
        return MDAnalysis.Universe(str(topology), to_guess=())
    except Exception as error:  # parsers raise errors of any kind
        if "isn't a valid topology format" in str(error):
            raise DataError(
                f"{topology}: {topology.suffix or 'no suffix'!r} is no format that is known here; tried "
                f"are by suffix .npz and .npy, ASE for .xyz, .extxyz, .traj and .db, and MDAnalysis "
                f"for all others (.pdb, .gro, .psf, .prmtop, .tpr, …)"
            ) from error
        raise _unreadable(topology, "it", error) from error


def _load(universe: Any, topology: Path, path: Path) -> None:
    try:
        universe.load_new(str(path))
    except Exception as error:
        if "same number of atoms" in str(error):
            counts = [int(word) for word in str(error).split() if word.isdecimal()]
            raise DataError(
                f"{path}: has {counts[-1]} atoms, {topology} has {counts[0]}; give the topology that "
                f"this trajectory was written with"
            ) from error
        raise _unreadable(path, "it as a trajectory", error) from error


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: MDAnalysis cannot read {what} ({cause(error)}); is it whole, and is its suffix "
        f"that of its format?"
    )


def _selected(source: str, universe: Any, select: str) -> Any:
    """The selected atoms, in the order of the file."""
    try:
        group = universe.select_atoms(select or "all")
    except Exception as error:
        raise DataError(
            f"{source}: the selection {select!r} is not understood ({cause(error)}); examples are "
            f"'protein and not name H*', 'resid 1:20', 'name CA'"
        ) from error
    if len(group):
        return group
    present = []
    for key in ("resnames", "names"):
        if hasattr(universe.atoms, key):
            found = sorted(set(getattr(universe.atoms, key)))
            present.append(f"{key} {' '.join(found[:12])}{' …' if len(found) > 12 else ''}")
    raise DataError(
        f"{source}: the selection {select!r} holds none of the {len(universe.atoms)} atoms; there are "
        f"{'; '.join(present) or 'neither names nor residues'}"
    )


def _bonds(topology: Path, universe: Any) -> tuple[np.ndarray | None, list[str], tuple[str, ...]]:
    """All bonds between atoms [bonds, 2] or None, their orders if MOL2 gives them, and notes."""
    if not hasattr(universe, "bonds") or not len(universe.bonds):
        return None, [], ()
    suffix = format_suffix(topology)
    if suffix in PARTIAL_BONDS:
        note = (
            f"the {len(universe.bonds)} bonds of {topology.name} were not used: this format lists "
            f"some of them alone"
        )
        return None, [], (note,)
    orders = [str(bond.order) for bond in universe.bonds] if suffix == ".mol2" else []
    return universe.bonds.indices.astype(np.int64), orders, ()


def _frames(
    path: Path,
    universe: Any,
    atoms: np.ndarray,
    bonds: np.ndarray | None,
    unwrap: bool,
    report: Report,
) -> tuple[np.ndarray, np.ndarray, str]:
    """One run: positions [frames, N, C, 3] of atoms [N, C], times [frames], and "box", "" or a note."""
    if not hasattr(universe, "trajectory"):
        raise DataError(f"{path}: holds no coordinates; write {path},TRAJECTORY")
    reader = universe.trajectory
    _, box = _cell(reader.ts.dimensions)
    carried, inner = np.unique(atoms), None
    if box == "box" and unwrap and bonds is not None:
        _, molecule = boxes.spanning_forest(bonds, len(universe.atoms))
        carried = np.flatnonzero(np.isin(molecule, molecule[atoms]))
        inner, _ = inside(bonds, carried, len(universe.atoms))
    places = np.searchsorted(carried, atoms)
    positions = np.empty((len(reader), *atoms.shape, 3), np.float32)
    times = np.empty(len(reader))

    def frames() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k in range(len(reader)):
            ts = _frame(path, reader, k)
            cell, now = _cell(ts.dimensions)
            if (now == "box") != (box == "box"):
                raise DataError(
                    f"{path}: frame {k} has {'a' if now == 'box' else 'no'} periodic box, unlike "
                    f"frame 0; give files of one kind"
                )
            times[k] = ts.time
            report(path.name, k + 1, len(reader))
            yield ts.positions[carried], cell

    if box == "box" and unwrap:
        stream = boxes.unwrapped(frames(), inner)
    else:
        stream = (frame for frame, _ in frames())
    for k, frame in enumerate(stream):
        positions[k] = frame[places]
    return positions, times, box


def _frame(path: Path, reader: Any, k: int) -> Any:
    """Frame k; frames are read in order."""
    try:
        return reader[0] if k == 0 else reader.next()
    except Exception as error:  # StopIteration too: the end came before it was announced
        raise DataError(
            f"{path}: frame {k} of {len(reader)} (counted from 0) cannot be read, the file may be cut "
            f"short ({cause(error)}); copy it again, or save its {k} whole frames to a new file"
        ) from error


def _cell(dimensions: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Cell vectors [3, 3], and "box", "" where there is none, or a note on a placeholder."""
    from MDAnalysis.lib.mdamath import triclinic_vectors

    if dimensions is None or not np.any(dimensions[:3]):
        return np.eye(3), ""
    cell = triclinic_vectors(dimensions, dtype=np.float64)
    if not (dimensions[:3] >= boxes.DEGENERATE).all() or not cell.any():
        return np.eye(3), boxes.placeholder_note(dimensions[:3])
    return cell, "box"
