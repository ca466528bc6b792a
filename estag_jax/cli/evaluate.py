"""``estag evaluate``: tests a run's best forecaster and prints the table."""

from __future__ import annotations

from pathlib import Path

import tyro


def evaluate(run: tyro.conf.Positional[Path], data: tuple[str, ...] = ()) -> None:
    """Test a run's best forecaster beside the closed forms.

    Args:
      run: Folder of the run.
      data: Other data in place of the run's own; of the same system, unless the model is meant for
        others (path-ridge).
    """
    from estag_jax.cli.output import print_result
    from estag_jax.cli.progress import Display
    from estag_jax.io import reporting
    from estag_jax.runs.readers import evaluate_run

    with Display() as shown, reporting(shown.stage):
        result = evaluate_run(run, data)
    print_result(result)
