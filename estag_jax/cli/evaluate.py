"""``estag evaluate``: tests a run's best forecaster and prints the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from estag_jax.cli.arguments import parse
from estag_jax.cli.output import print_result
from estag_jax.runs import readers as runs


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Test a run's best forecaster beside the closed forms and print the table."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: tuple[str, ...] = ()
    """Other data of the same system, in place of the run's own."""


def evaluate(argv: list[str]) -> None:
    """``estag evaluate``."""
    args = parse("evaluate", EvaluateArgs, argv)
    print_result(runs.evaluate_run(args.run, args.data))
