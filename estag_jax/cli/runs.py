"""What the commands on runs do: train, evaluate, rollout, info."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.console import Console

from estag_jax.cli.main import Failure, UsageError, nearest, parse
from estag_jax.cli.output import print_facts, print_table
from estag_jax.cli.progress import progress_bars
from estag_jax.models.registry import MODELS, model_name
from estag_jax.report.run_figures import draw
from estag_jax.runs import folder as runfiles
from estag_jax.runs import run as runs
from estag_jax.runs.forecaster import load
from estag_jax.runs.presets import PRESETS
from estag_jax.sources import catalog as sources
from estag_jax.sources.files.export import write_extxyz
from estag_jax.train.loop import TrainingDiverged
from estag_jax.train.settings import RunConfig


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
    """Say what a run's folder holds."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def train(argv: list[str]) -> None:
    """``estag train``: trains, tests, prints the table, draws the figures."""
    preset, argv = _take(argv, "--preset", PRESETS)
    model, argv = _take(argv, "--model", MODELS)
    config = _for_data(PRESETS[preset or next(iter(PRESETS))].config, argv)
    if model is not None:
        config = dataclasses.replace(config, model=MODELS[model][0]())
    about = "\n".join(
        [
            "Train a forecaster and test it beside the closed-form predictors.",
            "",
            *(f"--preset {name}: {p.header}" for name, p in PRESETS.items()),
            f"--model NAME: the network in place of the preset's, one of {', '.join(MODELS)}; its own "
            "options are listed where --help follows it.",
        ]
    )
    default = TrainArgs(config)
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
    print_table(result)
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
    print_table(runs.evaluate(experiment, variables))
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
    """``estag info``: says what a run's folder holds."""
    args = parse("info", InfoArgs, argv)
    out = args.run
    if not out.is_dir():
        raise UsageError(f"{out}: is not the folder of a run; for data see estag data info {out}")
    config = runs.read_config(out)
    evaluations = runfiles.read_metrics(out / runfiles.METRICS)
    finished = (out / runfiles.RESULT).exists()
    print_facts(
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
        print_table(runfiles.read_json(out / runfiles.RESULT))


@contextlib.contextmanager
def _progress(epochs: int) -> Iterator[tuple[Any, Any]]:
    """A progress bar on the terminal, nothing elsewhere: yields (announce, report)."""
    with progress_bars(Console(stderr=True)) as progress:
        task = progress.add_task("reading", total=epochs, figures="")

        def announce(experiment) -> None:
            progress.update(task, description=f"training on {experiment.trajectory.source}")

        def report(epoch: int, evaluation: dict[str, Any]) -> None:
            figures = f"train {evaluation['train_mse']:.3e}  validation {evaluation['validation_mse']:.3e}"
            progress.update(task, completed=epoch, figures=figures)

        yield announce, report


def _for_data(config: RunConfig, argv: list[str]) -> RunConfig:
    """The preset with the windows and split of the source that --data names as defaults.

    What the preset itself sets apart from the common defaults stays.
    """
    specs = [b for a, b in zip(argv, [*argv[1:], ""], strict=True) if a == "--data"]
    specs += [a.partition("=")[2] for a in argv if a.startswith("--data=")]
    if not specs:
        return config
    source, common = sources.find(specs[-1])[0], RunConfig()
    changes = {}
    if config.window == common.window:
        changes["window"] = source.window
    if config.split == common.split:
        changes["split"] = source.split
    elif config.split.kind == "paper":
        changes["split"] = source.published
    return dataclasses.replace(config, **changes)


def _take(argv: list[str], option: str, known: Collection[str]) -> tuple[str | None, list[str]]:
    """The value of an option that chooses among names, None where it is not given, and the rest."""
    rest, name = [], None
    arguments = iter(argv)
    for argument in arguments:
        given, _, value = argument.partition("=")
        if given == option:
            name = value or next(arguments, "")
            if name not in known:
                hint, names = nearest(name, list(known)), ", ".join(known)
                raise UsageError(f"no {option.strip('-')} {name!r}{hint}; there are {names}")
        else:
            rest.append(argument)
    return name, rest
