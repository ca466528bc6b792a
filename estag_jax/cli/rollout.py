"""``estag rollout``: forecasts many frames and writes them as extended XYZ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from estag_jax.cli.main import Failure, UsageError, check_out

if TYPE_CHECKING:
    import numpy as np

PICTURES = (".html", ".gif", ".mp4")
"""Suffixes of what shows the frames."""

KINDS = (".npz", ".xyz", ".extxyz", ".pdb", ".dcd", *PICTURES)
"""Suffixes of what is written."""


def rollout(
    run: tyro.conf.Positional[Path],
    data: tuple[str, ...] = (),
    start: int | None = None,
    steps: int = 100,
    samples: int | None = None,
    seed: int = 0,
    constrain_bonds: tyro.conf.FlagCreatePairsOff[bool] = False,
    limit_motion: tyro.conf.FlagCreatePairsOff[bool] = False,
    structure: int | None = None,
    energy: tyro.conf.FlagCreatePairsOff[bool] = False,
    rebuild: tyro.conf.FlagCreatePairsOff[bool] = False,
    skin: float | None = None,
    capacity: float = 1.25,
    out: Path = Path("rollout.xyz"),
) -> None:
    """Forecast many frames from one window and write them.

    Args:
      run: Folder of the run.
      data: Other data in place of the run's own; of the same system, unless the model is meant for
        others (path-ridge).
      start: First frame of the history in the trajectory; default: that of the first test window.
      steps: Frames to predict.
      samples: Paths to draw, each forecast with an error by its error bars; default: one without errors.
      seed: Of the errors.
      constrain_bonds: Give every forecast the bond lengths of the frame before it, as suits rigid skeletons.
      limit_motion: Keep steps and bond lengths of every forecast within those of the training windows.
      structure: Also compare rollouts from so many test windows with the frames of all test windows:
        bonds, angles, dihedrals, radius of gyration, spectrum.
      energy: Also say how far the potential energy by GFN2-xTB drifts, beside that of the trajectory (all
        atoms of a neutral molecule; needs the extra xtb).
      rebuild: Join the nodes that are within the cutoff at each step, in place of those of frame 0 (graph
        kind radius).
      skin: With --rebuild, distance beyond the cutoff up to which pairs are kept, so that they are looked for
        more rarely; default: a fifth of the cutoff.
      capacity: With --rebuild, room for pairs, as a multiple of those at the start.
      out: File to write: .npz (arrays), .pdb, .dcd (VMD, MDAnalysis), .html (to turn and play), .gif, .mp4
        (extra video), .xyz or .extxyz (extended XYZ: ASE, OVITO).
    """
    import numpy as np

    from estag_jax.evaluation.long_rollouts import long_rollouts
    from estag_jax.evaluation.metrics import per_window_mse
    from estag_jax.evaluation.rollout import roll, roll_samples
    from estag_jax.npz import write_npz
    from estag_jax.runs import folder
    from estag_jax.runs import readers as runs
    from estag_jax.simulate.energies import refuse
    from estag_jax.sources.files.export import time_key, write_frames

    if steps < 1:
        raise UsageError(f"--steps is {steps}, it must be at least 1")
    if samples is not None and samples < 1:
        raise UsageError(f"--samples is {samples}, it must be at least 1")
    if structure is not None and (structure < 1 or steps < 2):
        raise UsageError("--structure needs at least 1 start and --steps of at least 2")
    if start is not None and start < 0:
        raise UsageError(f"--start is {start}, it must be at least 0")
    if rebuild and (samples is not None or constrain_bonds or limit_motion):
        raise UsageError(
            "--rebuild goes with neither --samples, --constrain-bonds nor --limit-motion"
        )
    forecaster = runs.load(run)
    config, _ = folder.read_run(run)
    check_out(out, run / folder.FORECASTER, *(data or config.data))
    kind = out.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"--out is {out}, but forecasts are written as {', '.join(KINDS)}")
    if forecaster.horizon != 1:
        raise UsageError(
            f"{run}: looks {forecaster.horizon} steps ahead and cannot be fed with its own "
            f"forecasts; train with --window.horizons 1"
        )
    _, task = runs.load_task(run, data)
    runs.check_same_system(forecaster, task, run)
    trajectory = task.trajectories[0]
    if data:
        forecaster = forecaster.of_system(trajectory)
    bars = forecaster.error_bars
    if samples and bars is None:
        remedy = "fit it to three systems or more" if data else "fit it again"
        raise UsageError(
            f"{run}: has no error bars to draw from for {trajectory.source}; {remedy}, or leave out "
            f"--samples"
        )
    if energy:
        refuse(forecaster.system)
    if constrain_bonds:
        forecaster = forecaster.constrained()
    if limit_motion:
        forecaster = forecaster.limited(task)
    for note in forecaster.predictor.notes(trajectory.system):
        print(f"note: {trajectory.source}: {note}")
    if start is None:
        start = int(task.splits[0].test[0])
    history = np.asarray(forecaster.history(trajectory.positions, start))
    vectors = trajectory.vectors_at(np.array([start + forecaster.window.last]))
    inputs = history[None], forecaster.inputs_with(vectors), steps
    paths = None
    if samples and bars is not None:
        drawn = roll_samples(forecaster.predictor, bars, *inputs, samples, seed)[:, :, 0]
        frames, paths = drawn[0], drawn[1:]
    elif rebuild:
        frames = _rebuilt(forecaster, inputs, config.graph, trajectory, skin, capacity)
    else:
        frames = roll(forecaster.predictor, *inputs)[:, 0]
    written = frames if paths is None else paths
    finite = np.isfinite(written).all(axis=(-3, -2, -1)).reshape(-1, steps).all(axis=0)
    if not finite.all():
        step = int(np.argmin(finite)) + 1
        raise Failure(f"{run}: the forecast is not finite from step {step}; lower --steps")
    delta = forecaster.window.delta
    first = start + forecaster.past * delta
    truth = trajectory.positions[first::delta][:steps]
    if kind == ".npz":
        times = forecaster.time_step * np.arange(1, steps + 1)
        system = forecaster.system
        arrays = {"forecast": frames, time_key(forecaster.time_unit): times, "axes": "frames"}
        arrays |= {"length_unit": system.length_unit, "names": system.names}
        if system.atomic_numbers is not None:
            arrays["z"] = system.atomic_numbers
        write_npz(out, arrays if paths is None else arrays | {"samples": paths})
    elif kind in PICTURES:
        _picture(out, frames, np.asarray(truth), forecaster, f"{run} on {trajectory.source}")
    else:
        write_frames(out, written, forecaster.system, forecaster.time_step, forecaster.time_unit)

    unit = trajectory.system.length_unit
    several = "" if paths is None else f"{samples} samples of "
    print(
        f"{out}: {several}{steps} frames, {forecaster.time_step:g} {forecaster.time_unit} apart, "
        f"after frame {first - delta} of {trajectory.source}"
    )
    if paths is not None:
        expected = ((paths - frames) ** 2).mean(axis=(0, 2, 3, 4))
        print(f"mean squared distance of samples from the forecast [{unit}²]: {_marked(expected)}")
    if len(truth):
        errors = per_window_mse(frames[: len(truth)], np.asarray(truth))
        print(f"mean squared error against the trajectory [{unit}²]: {_marked(errors)}")
    if energy:
        _energies(frames, np.asarray(truth), forecaster.system)
    if structure:
        _compare(*long_rollouts(forecaster.predictor, task, [steps], structure), unit)


def _rebuilt(forecaster: Any, inputs: Any, graph: Any, trajectory: Any, *room: Any) -> np.ndarray:
    """The frames with edges between nodes that are close at each step."""
    from estag_jax.data.graphs import resolve
    from estag_jax.evaluation.rebuilt import roll_rebuilt

    graph = resolve(graph, trajectory)
    if graph.kind != "radius":
        raise UsageError(
            f"--rebuild needs a run with --graph.kind radius, this one has {graph.kind}"
        )
    skin, capacity = room
    options = {"skin": skin, "capacity": capacity, "channel": graph.channel}
    try:
        frames, builds = roll_rebuilt(forecaster.predictor, *inputs, graph.cutoff, **options)
    except ValueError as error:
        raise Failure(str(error)) from None
    print(
        f"pairs within {graph.cutoff:g} {trajectory.system.length_unit} were looked for {builds} times"
    )
    return frames[:, 0]


def _picture(out: Path, frames: np.ndarray, truth: np.ndarray, forecaster: Any, title: str) -> None:
    """The frames, with as much of the truth as there is, as a page, a GIF or a film."""
    from estag_jax.report.animation import animation
    from estag_jax.report.viewer import Clip, View

    system, step, unit = forecaster.system, forecaster.time_step, forecaster.time_unit
    if out.suffix.lower() != ".html":
        animation(frames, system, out, truth=truth, step=step, time_unit=unit)
        return
    clips = [Clip(frames, None, "forecast", step, step)]
    if len(truth) > 1:
        both = Clip(truth, frames[: len(truth)], "truth and forecast", step, step)
        clips.insert(0, both)
    View(clips, system, unit).save(out, title)


def _energies(frames: np.ndarray, truth: np.ndarray, system: Any) -> None:
    """Prints how far the energies of the forecast and of the trajectory drift."""
    import numpy as np

    from estag_jax.simulate.energies import drift, potential_energies

    own = potential_energies(frames, system)
    lost = int(np.isnan(own).sum())
    if np.isfinite(change := drift(own)):
        print(
            f"potential energy by GFN2-xTB: drifts by {change:+.3f} eV over {len(own)} frames (mean of the "
            f"last tenth less that of the first)"
        )
    if lost:
        print(
            f"potential energy by GFN2-xTB: {lost} of {len(own)} frames have none, so far off they are"
        )
    if len(truth):
        true = potential_energies(truth, system)
        print(
            f"  that of the trajectory by {drift(true):+.3f} eV, with a deviation of {true.std():.3f}"
        )


def _compare(found: dict[str, Any], unit: str) -> None:
    """Prints what evaluation.long_rollouts says of one length."""
    sizes, spectrum = found["gyration"], found["spectrum"]
    print(
        f"{found['starts']} rollouts of {found['steps']} frames: {found['diverged']:.0%} diverged"
    )
    for name, each in found["structure"].items():
        print(
            f"  {name}: Jensen-Shannon distance {each['distance']:.3f}, at most {each['worst']:.3f}; "
            f"between halves of the truth {each['halves']:.3f}"
        )
    own = "–" if sizes["mean"] is None else f"{sizes['mean']:.3f} ± {sizes['deviation']:.3f}"
    true = f"{sizes['truth']:.3f} ± {sizes['deviation of the truth']:.3f}"
    print(f"  radius of gyration: {own} {unit}, of the truth {true}")
    if spectrum:
        print(f"  spectrum: Jensen-Shannon distance {spectrum['distance']:.3f}")


def _marked(values: np.ndarray) -> str:
    """The figures of some steps."""
    marks = sorted({1, 10, 100, len(values)} & set(range(1, len(values) + 1)))
    return ", ".join(f"{values[i - 1]:.3e} at step {i}" for i in marks)
