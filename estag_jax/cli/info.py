"""``estag info``: says what a run's folder holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import tyro

from estag_jax.cli.arguments import parse
from estag_jax.cli.main import UsageError
from estag_jax.cli.output import print_facts, print_result
from estag_jax.config import to_dict
from estag_jax.runs import folder
from estag_jax.runs.readers import catalog_label


@dataclasses.dataclass(frozen=True)
class InfoArgs:
    """Say what a run's folder holds."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def info(argv: list[str]) -> None:
    """``estag info``."""
    args = parse("info", InfoArgs, argv)
    out = args.run
    if not out.is_dir():
        raise UsageError(f"{out}: is not the folder of a run; for data see estag data info {out}")
    config, _ = folder.read_run(out)
    evaluations, result = folder.read_metrics(out), folder.read_result(out)
    trained = evaluations[-1]["epoch"] if evaluations else 0
    print_facts(
        {
            "run": out,
            "model": catalog_label(config),
            "data": " ".join(config.data),
            "epochs": f"{trained} of {config.train.epochs}" if trained else "",
            "finished": "yes" if result else "no; go on with estag train --resume",
            "config": json.dumps(to_dict(config)),
        }
    )
    if result:
        print_result(result)
