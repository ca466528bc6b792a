"""``estag train``: fits a method, tests it, prints the table, draws the figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from estag_jax.cli.arguments import early, known, parse, suggested
from estag_jax.cli.main import Failure
from estag_jax.cli.output import print_result, print_task
from estag_jax.cli.progress import Epochs, display
from estag_jax.io import write_text
from estag_jax.models import catalog
from estag_jax.report.run_figures import draw
from estag_jax.report.tables import markdown
from estag_jax.runs import folder
from estag_jax.runs import run as runs
from estag_jax.runs.presets import PRESETS, RENAMED
from estag_jax.runs.readers import catalog_label
from estag_jax.runs.settings import RunConfig
from estag_jax.training.callbacks import TrainingDiverged


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Arguments of ``estag train``."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    preset: str = "estag"
    """Ready-made settings, see above."""
    out: Path = Path("runs/latest")
    """Folder of the run: forecaster, checkpoints, metrics.jsonl, result.json, table, figures."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run that is in the folder."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run that is in the folder."""
    take_over: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write to the folder although a process of another machine, which is gone, has locked it."""


def train(argv: list[str]) -> None:
    """``estag train``."""
    args = parse(
        "train", tyro.conf.AvoidSubcommands[TrainArgs], argv, TrainArgs(defaults(argv)), _about()
    )
    with display() as shown:

        def announce(config, task, skipped) -> None:
            print_task(task)
            for row in skipped:
                print(f"  without {row.name}: it {row.reason}")

        try:
            finished = runs.train(
                args.run,
                args.out,
                resume=args.resume,
                overwrite=args.overwrite,
                take_over=args.take_over,
                callbacks=[Epochs(shown, f"training {catalog_label(args.run)}")],
                report=shown.report,
                announce=announce,
            )
        except TrainingDiverged as error:
            raise Failure(str(error)) from None
    result = finished.result
    write_text(args.out / folder.TABLE, markdown([result]))
    figures = draw(args.out, finished)
    print_result(result)
    seconds, row = result.about["seconds"], result.rows[-1]
    times = ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())
    best = f"best epoch {row.best_epoch[0]}; " if row.best_epoch else ""
    print(f"{best}{times}\nrun: {args.out}\nfigures: {', '.join(str(f) for f in figures)}")


def defaults(argv: list[str]) -> RunConfig:
    """The settings of the preset, model and source that the arguments name: what options start from."""
    chosen = early(argv)
    preset = chosen.preset or "estag"
    known("--preset", preset, PRESETS, RENAMED)
    config = PRESETS[preset].config
    data = chosen.data or config.data
    fitting = suggested(data)
    method = catalog.find(chosen.model) if chosen.model else config.method
    split = config.split
    if split is None or split == "paper":
        split = fitting.paper_split if split == "paper" else fitting.split
    return dataclasses.replace(
        config,
        data=data,
        method=method,
        model=catalog.settings(method),
        window=config.window or fitting.window,
        split=split,
    )


def _about() -> str:
    return "\n".join(
        [
            "Fit a forecaster and test it beside the closed forms.",
            "",
            *(f"--preset {name}: {preset.header}" for name, preset in PRESETS.items()),
            "",
            f"--model NAME: {', '.join(catalog.METHODS)}. The options of a model (--model.hidden) are "
            "listed where --help follows its name.",
        ]
    )
