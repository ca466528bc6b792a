"""``estag export``: writes a run's forecaster as StableHLO and as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import tyro

from estag_jax.cli.main import UsageError

Platform = Literal["cpu", "cuda", "tpu"]


def export(
    run: tyro.conf.Positional[Path],
    out: Path,
    dtype: Literal["float32", "float64"] = "float32",
    steps: int | None = None,
    platforms: tuple[Platform, ...] = get_args(Platform),
) -> None:
    """Write a run's forecaster as StableHLO and as plain arrays.

    Args:
      run: Folder of the run, or the file of a forecaster.
      out: Folder, or file of the program; a description (.json) and the arrays (.npz) lie beside it.
      dtype: Of histories and forecasts.
      steps: Write a second program that forecasts so many frames.
      platforms: What the programs can run on.
    """
    import jax

    from estag_jax.cli.output import print_facts
    from estag_jax.interop.exported import export as write
    from estag_jax.runs.readers import load

    if steps is not None and steps < 1:
        raise UsageError(f"--steps is {steps}, it must be at least 1")
    with jax.enable_x64(dtype == "float64"):
        try:
            about = write(load(run), out, dtype=dtype, steps=steps, platforms=platforms)
        except ValueError as error:
            text = str(error)
            raise UsageError(text if text.startswith(str(run)) else f"{run}: {text}") from None
    print_facts(
        {
            "written to": out,
            **{
                name: f"{program['file']}: {program['history']} -> {program['result']}, {dtype}, "
                f"in {about['length_unit']}"
                for name, program in about["programs"].items()
            },
            "arrays": about["arrays"],
            "platforms": " ".join(platforms),
            "load": about["load"],
            "valid": about["validity"],
        }
    )
