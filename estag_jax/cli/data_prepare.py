"""``estag data prepare``: downloads or simulates a source, and copies it to one file."""

from __future__ import annotations

from pathlib import Path

import tyro

from estag_jax.cli.main import UsageError, check_out
from estag_jax.sources.catalog import DEFAULT_READ, ReadConfig, load


def data_prepare(
    source: tyro.conf.Positional[str], read: ReadConfig = DEFAULT_READ, out: Path | None = None
) -> None:
    """Download or simulate a source and keep it.

    Args:
      source: SOURCE[:NAME] of estag data list, or a path.
      read: How the data are read.
      out: Also write all that was read into this .npz file, which --data takes on any machine.
    """
    from estag_jax.cli.output import facts_of, print_facts
    from estag_jax.cli.progress import Display
    from estag_jax.sources.files.npz import write_npz

    if out is not None and out.suffix != ".npz":
        raise UsageError(f"--out is {out}, it must end in .npz")
    if out is not None:
        check_out(out, source)
    with Display() as shown:
        trajectory = load(source, read=read, report=shown.report)
    if out is not None:
        write_npz(out, trajectory)
    print_facts(facts_of(trajectory))
    if out is None:
        print(f"ready: --data {source}")
    else:
        print(f"written: {out} ({out.stat().st_size / 1e6:.2f} MB); use it as --data {out}")
