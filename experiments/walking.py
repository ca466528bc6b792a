"""Walking: Body ridge and Body kernel beside VAR ridge, on the project's split and on random ones by trial.

    .venv/bin/python experiments/walking.py --folder ../shared/data/cmu_mocap

Of the 17 trials of subject 35 that are there, 9 train, 4 validate and 4 test: those of tables.WALK, or
drawn at random. VAR ridge is fitted to 100 windows of each training trial (900), as in the tables; "all"
fits to every fourth window of these trials. The third number is that of the same forecasts with bones of
constrained length (models.constrained). All settings are those of the catalog.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tables
import tyro
from figures import KEPT, Figures

from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.models.catalog import settings
from estag_jax.models.constrained import ConstrainedPredictor
from estag_jax.models.linear import fitting_vectors, fitting_windows
from estag_jax.sources.catalog import load

EVERY, TRIALS = 4, (9, 4, 4)


@dataclasses.dataclass(frozen=True)
class Config:
    """Ratios of test errors on walking."""

    folder: Path
    """The folder of the trials, with one for each subject."""
    splits: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the random splits."""
    project: bool = True
    """The project's split too."""
    models: tuple[str, ...] = ("Body ridge", "Body kernel")
    """Methods, each on 900 windows in the project's split and on all in every split."""
    out: Path = KEPT / "walking.json"
    """The figures, as JSON."""


def walks(config: Config) -> Iterator[tuple[str, Task, Task]]:
    """Name of a split, the task with 900 training windows, and that with all."""
    column = tables.columns(tables.Config("3", stand_in=config.folder.parent))["walk"]
    trajectory = load(column.data[0], read=column.read)
    window = Task(trajectory, column.window, column.split).window
    begins = np.cumsum((0, *trajectory.lengths))
    last = np.array(trajectory.lengths) - window.span

    def drawn(generator: np.random.Generator, trials: np.ndarray) -> np.ndarray:
        below, each = tables.WALK.below, tables.WALK.each
        picks = [generator.permutation(min(last[i], below))[:each] for i in sorted(trials)]
        return np.concatenate([begins[i] + p for i, p in zip(sorted(trials), picks, strict=True)])

    chosen = {}
    if config.project:
        chosen["project"] = Task(trajectory, window, column.split).splits[0]
    for seed in config.splits:
        generator = np.random.default_rng(1000 + seed)
        order = generator.permutation(len(last))
        parts = np.split(order, np.cumsum(TRIALS)[:-1])
        chosen[f"random {seed}"] = Split(*(drawn(generator, p) for p in parts), kind="given")
    for name, split in chosen.items():
        trials = np.unique(np.searchsorted(begins, split.train, side="right") - 1)
        every = np.concatenate([begins[i] + np.arange(0, last[i], EVERY) for i in trials])
        whole = dataclasses.replace(split, train=every)
        yield name, *(Task(trajectory, window, [s]) for s in (split, whole))


def errors(method: str, task: Task) -> tuple[float, float, float]:
    """The test error of a method, that with constrained bones, and the processor time of the fit [s]."""
    began = time.process_time()
    predictor = settings(method).fit(task)
    spent = time.process_time() - began
    history, target = fitting_windows(task, "test")
    found = []
    for one in (predictor, ConstrainedPredictor(predictor)):
        inputs = one.with_vectors(one.inputs(task.system), fitting_vectors(task, "test"))
        found.append(float(np.mean((one.predict(history, inputs) - target) ** 2)))
    return found[0], found[1], spent


def main(config: Config) -> None:
    """Prints a row for each fit, then means over the random splits that are kept."""
    heads = "error [asf unit²]", "/ VAR ridge", "with constrained bones", "fit [CPU s]"
    figures = Figures.start(config.out, ["split, method, windows", *heads])
    for name, few, everything in walks(config):
        yardstick, held, spent = errors("VAR ridge", few)
        figures.add(f"{name}, VAR ridge, 900", (yardstick, 1.0, held / yardstick, spent))
        for method in config.models:
            for windows, task in (("900", few), ("all", everything)):
                if windows == "all" or name == "project":
                    own, held, spent = errors(method, task)
                    ratios = own / yardstick, held / yardstick
                    figures.add(f"{name}, {method}, {windows}", (own, *ratios, spent))
    for method in config.models:
        rows = {n: row for n, row in figures.rows.items() if n.endswith(f", {method}, all")}
        random = np.array([row for name, row in rows.items() if name.startswith("random")])
        if len(random):
            figures.add(f"mean of {len(random)} random splits, {method}, all", random.mean(axis=0))


if __name__ == "__main__":
    main(tyro.cli(Config))
