"""The ``estag`` command: train, evaluate, rollout, info."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

A = TypeVar("A")


class UsageError(ValueError):
    """A wrong option or value; the message is one line for the user."""


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


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command; exits with 0, with 2 after one line about bad input, with 1 on divergence."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Before numpy and JAX are imported nothing is slow, so usage errors answer at once.
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_usage())
            return
        if argv[0] == "--version":
            from importlib.metadata import version

            print(f"estag {version('estag_jax')}")
            return
        if argv[0] not in COMMANDS:
            raise UsageError(
                f"no command {argv[0]!r}{_nearest(argv[0], COMMANDS)}; see estag --help"
            )
        COMMANDS[argv[0]][0](argv[1:])
    except KeyboardInterrupt:
        _fail("interrupted; checkpoints written so far are kept", 130)
    except (ValueError, OSError) as error:
        _fail(str(error), 2)
    except RuntimeError as error:
        from estag_jax.train.loop import TrainingDiverged

        if not isinstance(error, TrainingDiverged):
            raise
        _fail(str(error), 1)


def _train(argv: list[str]) -> None:
    from estag_jax.evaluate.table import render
    from estag_jax.presets import PRESETS
    from estag_jax.train.run import train
    from estag_jax.train.settings import RunConfig
    from estag_jax.viz.run_figures import draw

    @dataclasses.dataclass(frozen=True)
    class TrainArgs:
        run: Annotated[RunConfig, tyro.conf.arg(name="")]
        out: Path = Path("runs/latest")
        """Folder of the run: checkpoints, metrics.jsonl, result.json, table, figures."""
        resume: tyro.conf.FlagCreatePairsOff[bool] = False
        """Go on with the run that is in the folder."""
        overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
        """Replace the run that is in the folder."""

    preset, argv = _take_preset(argv, list(PRESETS))
    about = "Train a forecaster and test it beside the closed-form predictors.\n\n" + "\n".join(
        f"--preset {name}: {p.header}" for name, p in PRESETS.items()
    )
    default = TrainArgs(PRESETS[preset].config)
    args = _parse("train", tyro.conf.AvoidSubcommands[TrainArgs], argv, default, about)
    with _progress(args.run.train.epochs) as (announce, report):
        finished = train(
            args.run,
            args.out,
            resume=args.resume,
            overwrite=args.overwrite,
            announce=announce,
            report=report,
        )
    figures = draw(args.out, finished)
    result = finished.result
    _console().print(render(result["rows"], result["data"]["length_unit"], _title(result["data"])))
    seconds = result["seconds"]
    print(
        f"best epoch {result['best']['epoch']}; compiled in {seconds['compile']:.1f} s, trained in "
        f"{seconds['train']:.1f} s, {seconds['total']:.1f} s in all"
    )
    print(f"run: {args.out}\nfigures: {', '.join(str(f) for f in figures)}")


def _evaluate(argv: list[str]) -> None:
    args = _parse("evaluate", EvaluateArgs, argv)
    from estag_jax.evaluate.table import render
    from estag_jax.train.run import evaluate, load_run

    experiment, variables, best = load_run(args.run, args.data)
    result = evaluate(experiment, variables)
    _console().print(render(result["rows"], result["data"]["length_unit"], _title(result["data"])))
    print(f"{args.run}: epoch {best['epoch']}, validation MSE {best['validation_mse']:.4e}")


def _rollout(argv: list[str]) -> None:
    args = _parse("rollout", RolloutArgs, argv)
    if args.steps < 1:
        raise UsageError(f"--steps is {args.steps}, it must be at least 1")
    import jax
    import numpy as np

    from estag_jax.data.export import write_extxyz
    from estag_jax.forecast import load
    from estag_jax.train.run import load_run

    experiment, _, _ = load_run(args.run, args.data)
    forecaster, trajectory = load(args.run), experiment.trajectory
    start = int(experiment.split.test[0]) if args.start is None else args.start
    history = forecaster.history(trajectory.positions, start)
    frames = np.asarray(jax.jit(forecaster.rollout, static_argnums=1)(history, args.steps))
    if not np.isfinite(frames).all():
        step = int(np.argmin(np.isfinite(frames).all(axis=(1, 2, 3)))) + 1
        raise UsageError(f"{args.run}: the forecast is not finite from step {step}; lower --steps")
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


def _info(argv: list[str]) -> None:
    args = _parse("info", InfoArgs, argv)
    if Path(args.what).is_dir():
        _info_run(Path(args.what))
        return
    from estag_jax.data.sources import load

    trajectory = load(args.what)
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
    from estag_jax.evaluate.table import render
    from estag_jax.nn.registry import model_name
    from estag_jax.train import runfiles
    from estag_jax.train.run import read_config

    config = read_config(out)
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
        result = runfiles.read_json(out / runfiles.RESULT)
        _console().print(
            render(result["rows"], result["data"]["length_unit"], _title(result["data"]))
        )


def _print_facts(facts: dict[str, Any]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        if value != "":
            print(f"{name:<{width}}  {value}")


def _title(data: dict[str, Any]) -> str:
    windows = data["windows"]
    return f"{data['source']}: {windows['test']} test windows, {windows['train']} training windows"


def _console() -> Console:
    # Off a terminal rich assumes 80 columns, which would break the table's lines.
    return Console(width=None if sys.stdout.isatty() else 120, soft_wrap=False)


@contextlib.contextmanager
def _progress(epochs: int):
    """A progress bar on the terminal, nothing elsewhere: yields (announce, report)."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

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


def _take_preset(argv: list[str], known: Sequence[str]) -> tuple[str, list[str]]:
    """The value of --preset (the first preset by default) and the other arguments."""
    rest, name = [], known[0]
    arguments = iter(argv)
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option == "--preset":
            name = value or next(arguments, "")
            if name not in known:
                raise UsageError(
                    f"no preset {name!r}{_nearest(name, known)}; there are {', '.join(known)}"
                )
        else:
            rest.append(argument)
    return name, rest


def _parse(
    command: str,
    kind: Callable[..., A],
    argv: list[str],
    default: A | None = None,
    description: str | None = None,
) -> A:
    """Typed arguments; tyro's framed messages become one line."""
    errors = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                kind, args=argv, prog=f"estag {command}", description=description, **options
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_one_line(errors.getvalue())}; see estag {command} --help") from None


def _one_line(framed: str) -> str:
    """The message of a framed error and, where tyro suggests one, the nearest option."""
    lines = [line.strip("│╭╮╰╯ ") for line in framed.splitlines()]
    rules = [i for i, line in enumerate(lines) if line and set(line) == {"─"}]
    body = [line for line in lines[1 : rules[0] if rules else None] if line and "─" not in line]
    message = " ".join(body) or "unusable arguments"
    for i, line in enumerate(lines):
        if line.startswith("Perhaps you meant"):
            nearest = next((x.split()[0] for x in lines[i + 1 :] if x.startswith("--")), None)
            message += f"; did you mean {nearest}?" if nearest else ""
    return message


def _nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _fail(message: str, code: int) -> None:
    print(f"estag: {message}", file=sys.stderr)
    sys.exit(code)


COMMANDS: dict[str, tuple[Callable[[list[str]], None], str]] = {
    "train": (_train, "train a forecaster and test it beside the closed-form predictors"),
    "evaluate": (_evaluate, "test a run's best checkpoint and print the table"),
    "rollout": (_rollout, "forecast many frames and write them as extended XYZ"),
    "info": (_info, "say what a run's folder or a data source holds"),
}


def _usage() -> str:
    lines = [f"  {name:<10} {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: estag COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "estag COMMAND --help lists the options.",
        ]
    )
