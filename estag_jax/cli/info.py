"""``estag info``: says what a run's folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tyro

from estag_jax.cli.main import UsageError


def info(run: tyro.conf.Positional[Path]) -> None:
    """Say what a run's folder holds.

    Args:
      run: Folder of the run.
    """
    if not run.is_dir():
        raise UsageError(f"{run}: is not the folder of a run; for data see estag data info {run}")
    from estag_jax.cli.output import print_facts, print_result
    from estag_jax.runs import folder

    label, config = folder.read_as_written(run) or _checked(run)
    evaluations, result = folder.read_metrics(run), folder.read_result(run)
    trained = evaluations[-1]["epoch"] if evaluations else 0
    print_facts(
        {
            "run": run,
            "model": label,
            "data": " ".join(config["data"]),
            "epochs": f"{trained} of {config['train']['epochs']}" if trained else "",
            "finished": "yes" if result else "no; go on with estag train --resume",
            "config": json.dumps(config),
        }
    )
    if result:
        print_result(result)


def _checked(run: Path) -> tuple[str, dict[str, Any]]:
    """Label and settings of a run whose run.json is not as this version wrote it."""
    from estag_jax.config import to_dict
    from estag_jax.runs import folder
    from estag_jax.runs.readers import catalog_label

    config, _ = folder.read_run(run)
    return catalog_label(config), to_dict(config)
