"""``estag report``: a run or a table as one HTML file."""

from __future__ import annotations

from pathlib import Path

import tyro

from estag_jax.cli.main import UsageError, check_out


def report(
    run: tyro.conf.Positional[Path],
    data: tuple[str, ...] = (),
    steps: tuple[int, ...] = (100, 1000),
    out: Path | None = None,
) -> None:
    """Write a run or a table as one HTML file.

    Args:
      run: Folder of a run or of a table.
      data: Where the data of the run are, if they are no longer where they were.
      steps: Lengths of the rollouts whose structure and spectrum are compared with the trajectory's.
      out: File to write; default: report.html in the folder.
    """
    from estag_jax.io import write_text
    from estag_jax.report.run_report import run_report
    from estag_jax.report.table_report import table_report
    from estag_jax.runs import folder
    from estag_jax.runs.findings import findings
    from estag_jax.runs.grid import CELLS, stored

    if not steps or min(steps) < 2:
        raise UsageError(f"--steps is {' '.join(map(str, steps))}, each must be at least 2")
    if out is not None:
        check_out(out, *data, *(run / name for name in folder.KEPT))
    if (run / CELLS).is_dir() and not folder.is_run(run):
        results = stored(run)
        if not results:
            raise UsageError(f"{run}: no cell of the table is finished; see estag table")
        text = table_report(results, f"Table {run.resolve().name}")
    else:
        text = run_report(findings(run, data, sorted(set(steps))))
    path = out or run / folder.REPORT
    write_text(path, text)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
