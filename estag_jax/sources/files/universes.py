"""Files of molecular dynamics, read by MDAnalysis: a topology and its trajectories."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from estag_jax import memory
from estag_jax.data.edges import inside
from estag_jax.data.system import DataError, needed
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.transform import LENGTHS
from estag_jax.io import Report, cause
from estag_jax.sources.files import boxes, ends, pdb
from estag_jax.sources.files.loading import STACKS, clock_of, examined, load
from estag_jax.sources.files.residues import atom_nodes, elements_of, residue_nodes
from estag_jax.sources.files.text import damaged
from estag_jax.sources.files.timing import common_step, names_of_stretches
from estag_jax.sources.files.topology import (
    bonds_of,
    check_order,
    kinds_of,
    open_topology,
    selected,
    unreadable,
)
from estag_jax.sources.options import FileOptions


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
    files, seen, notes, given = runs or [topology], {}, [], options.frame_step is not None
    unit = LENGTHS.get(options.length_unit or "Å", 1.0)
    kinds = kinds_of([topology, *runs], options.format)
    check_order([topology, *runs], kinds)
    for path, kind in kinds.items():
        seen[path] = examined(path, kind)
        notes += seen[path].notes
    # Before MDAnalysis, which says nothing of the line where a first frame is cut.
    read = STACKS.get(kinds[topology])
    whole = read(topology) if read and not runs else None
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # MDAnalysis warns of every field that a format lacks; what matters here becomes a note.
        warnings.simplefilter("ignore")
        universe = open_topology(topology, kinds[topology], Path(folder))
        shown = getattr(universe, "trajectory", ()) if runs else ()
        if len(shown) > 1:
            notes.append(
                f"the {len(shown)} frames of {topology.name} are not read: it stands first, as the topology"
            )
        group = selected(source, universe, options.select)
        bonds, orders, said = bonds_of(topology, universe)
        notes += said
        if options.nodes == "residues":
            atoms, fields, said = residue_nodes(source, group)
        else:
            atoms, fields, said = atom_nodes(source, group, bonds, orders)
        notes += said
        parts, clocks, found, torn = [], [], set(), False
        for path in files:
            stack = whole
            if runs or whole:
                stack = load(universe, topology, path, kinds[path], Path(folder), whole)
            reader = getattr(universe, "trajectory", None)
            if reader is None:
                raise DataError(f"{path}: holds no coordinates; write {path},TRAJECTORY")
            if seen[path].boxes is not None:
                pdb.give_boxes(reader, seen[path].boxes)
            if seen[path].frames not in (None, len(reader)):
                raise ends.other_count(path, seen[path].frames, len(reader))
            if len(reader) == 1 and stack is None and seen[path].boxes is None:
                ends.refuse_repeated(path, len(universe.atoms))
            if not seen[path].sure and not runs:
                notes.append(ends.unsure(path, len(reader), len(universe.atoms)))
            if (
                bonds is None
                and options.unwrap
                and _cell(_frame(path, universe, 0).dimensions, unit)[1] == "box"
            ):
                bonds, said = _bonds_through(path, universe, unit)
                notes, torn = [*notes, *said], bonds is not None
            positions, times, box = _frames(
                path, universe, atoms, bonds, options.unwrap, unit, report
            )
            found.add(box)
            one = clock_of(path, reader, seen[path], stack, times, given)
            one = one if seen[path].believed else one._replace(step=None)
            parts.append(positions if one.keep.all() else positions[one.keep])
            clocks.append(one)
            notes += one.notes
            reader.close()
    if torn and options.nodes == "atoms" and len(fields.get("bonds", ())) == 0:
        pairs, _ = inside(bonds, atoms[:, 0], len(universe.atoms))
        fields |= {"bonds": pairs} if len(pairs) else {}
    (step, unit), said = common_step(files, [one.step for one in clocks], options.frame_step)
    notes += [*said, *sorted(found - {"", "box"})]
    if "box" in found:
        notes.append(boxes.box_note(bonds is not None, options.unwrap))
    plain = "atomic_numbers" not in fields and options.nodes == "atoms"
    trajectory = Trajectory.from_arrays(
        np.concatenate(parts) if len(parts) > 1 else parts[0],
        **fields,
        frame_step=step,
        time_unit=unit,
        length_unit=options.length_unit or ("unit" if plain else "Å"),
        lengths=tuple(length for one in clocks for length in one.lengths),
        run_names=tuple(
            name
            for path, one in zip(files, clocks, strict=True)
            for name in names_of_stretches(path.name, one.lengths)
        ),
        source=source,
        provenance=f"read from {', '.join(path.name for path in (topology, *runs))}, files that do "
        f"not say how they came to be",
        notes=tuple(dict.fromkeys(notes)),
    )
    return trajectory if "box" in found else boxes.with_jumps_noted(trajectory)


def _bonds_through(
    path: Path, universe: Any, unit: float
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Bonds between all atoms by the shortest images of them, where the elements are known."""
    numbers, _ = elements_of(universe.atoms)
    if numbers is None:
        return None, ()
    reader = universe.trajectory
    positions, cells = [], []
    for k in np.unique(np.linspace(0, len(reader) - 1, 5).round().astype(int)):
        try:
            ts = reader[k]
            positions.append(ts.positions.astype(np.float64))
            cells.append(_cell(ts.dimensions, unit)[0])
        except Exception as error:  # as in _frame
            raise unreadable(path, f"frame {k}", error) from error
    return boxes.bonds_through(positions, cells, numbers, unit=unit)


def _frames(
    path: Path,
    universe: Any,
    atoms: np.ndarray,
    bonds: np.ndarray | None,
    unwrap: bool,
    unit: float,
    report: Report,
) -> tuple[np.ndarray, np.ndarray, str]:
    """One run: positions [frames, N, C, 3] of atoms [N, C], times [frames], and "box", "" or a note."""
    reader = universe.trajectory
    _, box = _cell(reader.ts.dimensions, unit)
    carried, inner = np.unique(atoms), None
    if box == "box" and unwrap and bonds is not None:
        _, molecule = boxes.spanning_forest(bonds, len(universe.atoms))
        carried = np.flatnonzero(np.isin(molecule, molecule[atoms]))
        inner, _ = inside(bonds, carried, len(universe.atoms))
    places = np.searchsorted(carried, atoms)
    shape = (len(reader), *atoms.shape, 3)
    memory.afford(4 * math.prod(shape), f"{path}: an array float32{list(shape)}")
    positions = memory.aligned(shape, np.float32)
    times = np.empty(len(reader))

    def frames() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k in range(len(reader)):
            ts = _frame(path, universe, k)
            cell, now = _cell(ts.dimensions, unit)
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


def _frame(path: Path, universe: Any, k: int) -> Any:
    """Frame k; frames are read in order."""
    reader, atoms = universe.trajectory, len(universe.atoms)
    if not len(reader):
        raise DataError(f"{path}: MDAnalysis finds no whole number of frames in it; copy it again")
    try:
        ts = reader[0] if k == 0 else reader.next()
    except Exception as error:  # StopIteration too: the end came before it was announced
        raise DataError(
            f"{path}: frame {k} of {len(reader)} (counted from 0) cannot be read, the file may be cut "
            f"short ({cause(error)}); copy it again, or save its {k} whole frames to a new file"
        ) from error
    if ts.positions.shape != (atoms, 3):  # of one file, whose topology is read apart
        raise damaged(
            path, k, f"its positions are {list(ts.positions.shape)}, expected {[atoms, 3]}"
        )
    return ts


def _cell(dimensions: np.ndarray | None, unit: float) -> tuple[np.ndarray, str]:
    """Cell vectors [3, 3], and "box", "" where there is none, or a note on a placeholder."""
    from MDAnalysis.lib.mdamath import triclinic_vectors

    if dimensions is None or not np.any(dimensions[:3]):
        return np.eye(3), ""
    cell = triclinic_vectors(dimensions, dtype=np.float64)
    if not boxes.is_box(dimensions[:3] * unit) or not cell.any():
        return np.eye(3), boxes.placeholder_note(dimensions[:3] * unit)
    return cell, "box"
