"""What each part of ESTAG contributes: its variants as the rows of a grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import Metric
from estag_jax.evaluation.metrics import per_window_mse
from estag_jax.evaluation.result import Result
from estag_jax.models import catalog
from estag_jax.models.variants import WITHOUT_EDFT, check, missing, variants
from estag_jax.runs.asked import Asked
from estag_jax.runs.grid import Announce, run_grid
from estag_jax.runs.settings import RunConfig

HEAVY = "mse of heavy atoms"
"""The metric by which forecasts with and without visible hydrogens can be compared."""

BASES = "Last frame", "VAR ridge"


def run_ablation(
    datasets: Mapping[str, RunConfig],
    seeds: int,
    out: Path,
    names: Sequence[str] = (),
    pasts: Sequence[int] = (),
    hydrogens: bool = False,
    announce: Announce = lambda data, row: (),
) -> list[Result]:
    """Fits and tests the variants of ESTAG on data sets; finished cells are skipped (runs.grid).

    Args:
      datasets: by the name of a column, the settings; their method is not looked at.
      seeds: how many, counted from the settings' ``train.seed``.
      out: the folder.
      names: some of models.variants; all for none.
      pasts: further lengths T of the windows, on which ESTAG is fitted with and without EDFT.
      hydrogens: the same with hydrogen atoms as nodes.
      announce: called before each network that is trained.

    Returns:
      For each data set a result, with Last frame, VAR ridge, ESTAG and its variants; then those with other
      windows or nodes. The rows of a result share their windows. Variants that the data do not have are
      skipped; where they have none of the names, so is the rest.

    Raises:
      ValueError: there is no variant of a name, or no data set has any of them.
    """
    check(names)  # before anything is computed
    whole = set(datasets)

    def rows(column: str, task: Task) -> list[Asked]:
        channels, atoms = task.systems[0].channels, task.systems[0].atomic_numbers is not None
        asked = names if column in whole else (WITHOUT_EDFT,)
        left_out = missing(channels, asked, atoms)
        skipped = [Asked(name, None, why) for name, why in left_out.items()]
        if asked and set(asked) == set(left_out):
            return skipped
        bases = {name: catalog.settings(name, task) for name in BASES}
        found = bases | variants(channels, asked, atoms)
        return [Asked(*row) for row in found.items()] + skipped

    columns = dict(_columns(datasets, pasts, hydrogens))
    results = run_grid(columns, rows, seeds, out, announce=announce, metrics=_heavy)
    every = [row for result in results for row in result.rows]
    if every and all(row.status == "skipped" for row in every):
        said = dict.fromkeys(f"{row.name} ({row.reason})" for row in every)
        raise ValueError(
            f"the data have none of the variants that are asked for: {', '.join(said)}"
        )
    return results


def _columns(
    datasets: Mapping[str, RunConfig], pasts: Sequence[int], hydrogens: bool
) -> Iterator[tuple[str, RunConfig]]:
    for name, config in datasets.items():
        yield name, config
        for past in pasts:
            window = dataclasses.replace(config.window, past=past)
            yield f"{name}, T = {past}", dataclasses.replace(config, window=window)
        if hydrogens:
            read = dataclasses.replace(config.read, hydrogens=True)
            yield f"{name}, hydrogens visible", dataclasses.replace(config, read=read)


def _heavy(task: Task) -> dict[str, Metric]:
    numbers = task.systems[0].atomic_numbers
    if numbers is None or not np.any(numbers == 1):
        return {}
    mask = (np.asarray(numbers) != 1)[None]
    return {HEAVY: lambda forecast, truth: per_window_mse(forecast, truth, mask)}
