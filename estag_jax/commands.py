"""What the commands of ``estag`` do: train, evaluate, rollout, info."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estag_jax.cli import Failure, UsageError, nearest, parse
from estag_jax.data import sources
from estag_jax.data.export import write_extxyz
from estag_jax.data.graphs import GraphConfig
from estag_jax.evaluate.table import render
from estag_jax.forecast import load
from estag_jax.nn.registry import model_name
from estag_jax.presets import PRESETS
from estag_jax.train import run as runs
from estag_jax.train import runfiles
from estag_jax.train.loop import TrainingDiverged
from estag_jax.train.settings import RunConfig
from estag_jax.viz.run_figures import draw


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Arguments of ``estag train``."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path = Path("runs/latest")
    """Folder of the run: checkpoints, metrics.jsonl, result.json, table, figures."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run that is in the folder."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run that is in the folder."""


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Test a run's best checkpoint beside the closed-form predictors and print the table."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """Other data of the same system, in place of the run's own."""


@dataclasses.dataclass(frozen=True)
class RolloutArgs:
    """Forecast many frames from one window and write them as extended XYZ (ASE, OVITO)."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """Other data of the same system, in place of the run's own."""
    start: int | None = None
    """First frame of the history in the trajectory; default: that of the first test window."""
    steps: int = 100
    """Frames to predict."""
    out: Path = Path("rollout.xyz")
    """File to write."""


@dataclasses.dataclass(frozen=True)
class InfoArgs:
    """Say what a run's folder or a data source holds."""

    what: tyro.conf.Positional[str]
    """Folder of a run, path of a data file, or name of a data source."""
    graph: GraphConfig = GraphConfig()
    """Which nodes of the data are joined."""


def train(argv: list[str]) -> None:
    """``estag train``: trains, tests, prints the table, draws the figures."""
    preset, argv = _take_preset(argv)
    about = "Train a forecaster and test it beside the closed-form predictors.\n\n" + "\n".join(
        f"--preset {name}: {p.header}" for name, p in PRESETS.items()
    )
    default = TrainArgs(PRESETS[preset].config)
    args = parse("train", tyro.conf.AvoidSubcommands[TrainArgs], argv, default, about)
    with _progress(args.run.train.epochs) as (announce, report):
        try:
            finished = runs.train(
                args.run,
                args.out,
                resume=args.resume,
                overwrite=args.overwrite,
                announce=announce,
                report=report,
            )
        except TrainingDiverged as error:
            raise Failure(str(error)) from None
    figures = draw(args.out, finished)
    result = finished.result
    _print_table(result)
    seconds = result["seconds"]
    print(
        f"best epoch {result['best']['epoch']}; compiled in {seconds['compile']:.1f} s, trained in "
        f"{seconds['train']:.1f} s, {seconds['total']:.1f} s in all"
    )
    print(f"run: {args.out}\nfigures: {', '.join(str(f) for f in figures)}")


def evaluate(argv: list[str]) -> None:
    """``estag evaluate``: tests a run's best checkpoint and prints the table."""
    args = parse("evaluate", EvaluateArgs, argv)
    experiment, variables, best = runs.load_run(args.run, args.data)
    _print_table(runs.evaluate(experiment, variables))
    print(f"{args.run}: epoch {best['epoch']}, validation MSE {best['validation_mse']:.4e}")


def rollout(argv: list[str]) -> None:
    """``estag rollout``: forecasts many frames and writes them as extended XYZ."""
    args = parse("rollout", RolloutArgs, argv)
    if args.steps < 1:
        raise UsageError(f"--steps is {args.steps}, it must be at least 1")
    experiment, _, _ = runs.load_run(args.run, args.data)
    forecaster, trajectory = load(args.run), experiment.trajectory
    start = int(experiment.split.test[0]) if args.start is None else args.start
    history = forecaster.history(trajectory.positions, start)
    frames = np.asarray(jax.jit(forecaster.rollout, static_argnums=1)(history, args.steps))
    if not np.isfinite(frames).all():
        step = int(np.argmin(np.isfinite(frames).all(axis=(1, 2, 3)))) + 1
        raise Failure(f"{args.run}: the forecast is not finite from step {step}; lower --steps")
    write_extxyz(args.out, frames, forecaster.system, forecaster.time_step)

    delta = forecaster.config.window.delta
    first = start + forecaster.past * delta
    truth = trajectory.positions[first::delta][: args.steps]
    print(
        f"{args.out}: {args.steps} frames, {forecaster.time_step:g} {trajectory.time_unit} apart, "
        f"after frame {first - delta} of {trajectory.source}"
    )
    if len(truth):
        errors = np.mean((frames[: len(truth)] - truth.astype(float)) ** 2, axis=(1, 2, 3))
        marks = sorted({1, 10, 100, len(errors)} & set(range(1, len(errors) + 1)))
        listed = ", ".join(f"{errors[i - 1]:.3e} at step {i}" for i in marks)
        print(f"mean squared error against the trajectory [{trajectory.length_unit}²]: {listed}")


def info(argv: list[str]) -> None:
    """``estag info``: says what a run's folder or a data source holds."""
    args = parse("info", InfoArgs, argv)
    if Path(args.what).is_dir():
        _info_run(Path(args.what))
        return
    trajectory = sources.load(args.what, args.graph)
    facts: dict[str, Any] = {
        "source": trajectory.source,
        "provenance": trajectory.provenance,
        "licence": trajectory.licence,
        "frames": f"{trajectory.num_frames} in {len(trajectory.lengths)} run(s)",
        "step": f"{trajectory.frame_step:g} {trajectory.time_unit}",
        "length unit": trajectory.length_unit,
        "nodes": f"{trajectory.num_nodes}: {' '.join(trajectory.names[:40])}",
        "channels": trajectory.channels,
        "edges": trajectory.topology.num_edges,
        "fingerprint": trajectory.fingerprint,
    }
    _print_facts(facts)


def _info_run(out: Path) -> None:
    config = runs.read_config(out)
    evaluations = runfiles.read_metrics(out / runfiles.METRICS)
    finished = (out / runfiles.RESULT).exists()
    _print_facts(
        {
            "run": out,
            "model": model_name(config.model),
            "data": config.data,
            "epochs": f"{evaluations[-1]['epoch'] if evaluations else 0} of {config.train.epochs}",
            "finished": "yes" if finished else "no; go on with estag train --resume",
            "config": json.dumps(runfiles.read_json(out / runfiles.CONFIG)),
        }
    )
    if finished:
        _print_table(runfiles.read_json(out / runfiles.RESULT))


def _print_facts(facts: dict[str, Any]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        if value != "":
            print(f"{name:<{width}}  {value}")


def _print_table(result: dict[str, Any]) -> None:
    data, windows = result["data"], result["data"]["windows"]
    title = f"{data['source']}: {windows['test']} test windows, {windows['train']} training windows"
    # Off a terminal rich assumes 80 columns, which would break the table's lines.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(render(result["rows"], data["length_unit"], title))
    rollout, name = result["rollout"], result["rows"][-1]["name"]
    if rollout["predictors"]:
        figures, steps = rollout["predictors"][name], rollout["steps"]
        median = figures["median"][-1]
        print(
            f"{rollout['windows']} rollouts of {steps} frames by {name}: "
            f"{figures['lost'][-1]:.1%} ran away, median error at the end "
            f"{'infinite' if median is None else f'{median:.4f}'} {data['length_unit']}²"
        )


@contextlib.contextmanager
def _progress(epochs: int) -> Iterator[tuple[Any, Any]]:
    """A progress bar on the terminal, nothing elsewhere: yields (announce, report)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=epochs, figures="")

        def announce(experiment) -> None:
            progress.update(task, description=f"training on {experiment.trajectory.source}")

        def report(epoch: int, evaluation: dict[str, Any]) -> None:
            figures = f"train {evaluation['train_mse']:.3e}  validation {evaluation['validation_mse']:.3e}"
            progress.update(task, completed=epoch, figures=figures)

        yield announce, report


def _take_preset(argv: list[str]) -> tuple[str, list[str]]:
    """The value of --preset (the first preset by default) and the other arguments."""
    rest, name = [], next(iter(PRESETS))
    arguments = iter(argv)
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option == "--preset":
            name = value or next(arguments, "")
            if name not in PRESETS:
                known = ", ".join(PRESETS)
                raise UsageError(f"no preset {name!r}{nearest(name, PRESETS)}; there are {known}")
        else:
            rest.append(argument)
    return name, rest
