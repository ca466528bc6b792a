"""``estag train``: fits a method, tests it, prints the table, draws the figures."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from jax.errors import JaxRuntimeError

from estag_jax.cli import signals
from estag_jax.cli.console import say
from estag_jax.cli.main import Failure, UsageError
from estag_jax.cli.output import print_result, print_task
from estag_jax.cli.progress import Display, Epochs
from estag_jax.io import did_you_mean, one_line, reporting, write_text
from estag_jax.models import catalog
from estag_jax.report.tables import markdown
from estag_jax.runs import folder
from estag_jax.runs.presets import PRESETS, RENAMED
from estag_jax.runs.settings import RunConfig
from estag_jax.sources.catalog import find
from estag_jax.training import distributed as processes
from estag_jax.training.callbacks import Callback, TrainingDiverged
from estag_jax.training.distributed import DistributedConfig

if TYPE_CHECKING:
    from estag_jax.runs.run import Finished

_ALONE = DistributedConfig()


@dataclasses.dataclass(frozen=True)
class _Early:
    """The arguments on which the defaults of others depend."""

    data: tuple[str, ...] = ()
    preset: str = "estag"
    model: str = ""


def given(argv: list[str]) -> dict[str, Any]:
    """What the other options start from, and what stands below the help."""
    return {"run": defaults(argv), "epilogue": _about()}


def train(
    run: Annotated[RunConfig, tyro.conf.arg(name="")],
    preset: str = "estag",
    out: Path = Path("runs/latest"),
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False,
    take_over: tyro.conf.FlagCreatePairsOff[bool] = False,
    distributed: DistributedConfig = _ALONE,
) -> None:
    """Fit a forecaster and test it beside the closed forms.

    Args:
      run: All settings.
      preset: Ready-made settings, see below.
      out: Folder of the run: forecaster, checkpoints, metrics.jsonl, result.json, table, figures.
      resume: Go on with the run that is in the folder.
      overwrite: Replace the run that is in the folder.
      take_over: Write to the folder although a process of another machine, which is gone, has locked it.
      distributed: Several processes that train together, on one machine or many (docs/cluster.md).
    """
    try:
        processes.start(distributed)
        finished = _fitted(
            run, out, distributed, resume=resume, overwrite=overwrite, take_over=take_over
        )
    except TrainingDiverged as error:
        raise Failure(str(error)) from None
    except (processes.Lost, JaxRuntimeError) as error:
        if not distributed.asked:
            raise
        raise Failure(f"{one_line(error)[:300]}; go on with --resume", processes.RESUME) from None
    if finished is None:
        return
    from estag_jax.report.run_figures import draw  # matplotlib, which training need not hold

    result = finished.result
    write_text(out / folder.TABLE, markdown([result]))
    figures = draw(out, finished)
    print_result(result)
    seconds, row = result.about["seconds"], result.rows[-1]
    times = ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())
    best = f"best epoch {row.best_epoch[0]}; " if row.best_epoch else ""
    for line in (f"{best}{times}", f"run: {out}", f"figures: {', '.join(map(str, figures))}"):
        say(line)


def _fitted(
    run: RunConfig, out: Path, distributed: DistributedConfig, **flags: bool
) -> Finished | None:
    """The run, shown as it goes on; None in processes other than the first, which show nothing."""
    from estag_jax.runs.readers import catalog_label
    from estag_jax.runs.run import train as train_run

    callbacks: list[Callback] = []
    if distributed.asked:
        signals.GRACE = distributed.grace
        callbacks.append(processes.Watchdog(distributed.watchdog))
    if not processes.is_first():
        return train_run(run, out, callbacks=callbacks, **flags)

    def announce(config, task, skipped) -> None:
        print_task(task)
        for row in skipped:
            say(f"  without {row.name}: it {row.reason}", indent=4)

    with Display() as shown, reporting(shown.stage):
        callbacks.append(Epochs(shown, f"training {catalog_label(run)}"))
        return train_run(
            run, out, callbacks=callbacks, report=shown.report, announce=announce, **flags
        )


def defaults(argv: list[str]) -> RunConfig:
    """The settings of the preset, model and source that the arguments name: what options start from."""
    chosen = _Early()
    # What is wrong with the arguments is found and said when all of them are read.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        chosen, _ = tyro.cli(_Early, args=argv, return_unknown_args=True, add_help=False)
    preset = chosen.preset
    if preset in RENAMED:
        raise UsageError(f"--preset {preset} is now {RENAMED[preset]}")
    if preset not in PRESETS:
        hint = did_you_mean(preset, PRESETS)
        raise UsageError(f"no preset {preset!r}{hint}; there are {', '.join(PRESETS)}")
    config = PRESETS[preset].config
    data = chosen.data or config.data
    fitting = find(data[0])[0].suggested
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
            *(f"--preset {name}: {preset.header}" for name, preset in PRESETS.items()),
            "",
            f"--model NAME: {', '.join(catalog.METHODS)}. The options of a model (--model.hidden) are "
            "listed where --help follows its name.",
        ]
    )
