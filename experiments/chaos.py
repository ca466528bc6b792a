"""Chaos: how far ahead each method forecasts, fed with its own forecasts, in Lyapunov times.

    .venv/bin/python experiments/chaos.py                      all systems, then docs/chaos.png
    .venv/bin/python experiments/chaos.py --systems lorenz     one of them
    .venv/bin/python experiments/chaos.py --systems            the figure alone, from what is kept

32 runs of 400 frames, divided by run; 500 training windows of T = 10, Δ = 1. The error is the root mean
square over nodes and coordinates, over the size of the attractor: the root mean square of the coordinates
about their mean in time over the test runs. A forecast is valid until this first exceeds 0.4; medians over
starts. The springs, of which two of five are hidden, have a rest length and no Lyapunov time that is known:
for them time is counted in periods of the strongest line of their spectrum.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from figures import KEPT, Figures
from matplotlib.lines import Line2D

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.evaluation.rollout import rollout_errors
from estag_jax.evaluation.spectra import peaks, spectra
from estag_jax.models import catalog
from estag_jax.models.variants import WITHOUT_EDFT, variants
from estag_jax.report.style import (
    FORECASTS,
    GREY,
    INK,
    ORANGE,
    RED,
    SKY,
    WIDTH,
    blank_figure,
    finish,
    plain,
)
from estag_jax.simulate.settings import SyntheticConfig
from estag_jax.simulate.synthetic import exponents
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.training.fit import fit

SYSTEMS = {
    "lorenz": SyntheticConfig(),
    "threebody": SyntheticConfig(),
    "pendulum": SyntheticConfig(),
    "springs": SyntheticConfig(hidden=2, rest_length=1.0),
}
METHODS = {
    "Last frame": GREY,
    "VAR ridge": INK,
    "VAR ridge, vertical apart": SKY,
    "Context parroting": RED,
    "Frame ridge": FORECASTS[2],
    "Frame kernel": FORECASTS[1],
    "ST_EGNN": SKY,
    "EqMotion": FORECASTS[3],
    f"ESTAG {WITHOUT_EDFT}": ORANGE,
    "ESTAG": FORECASTS[0],
}
"""By name, the colour in the figure."""
AHEAD = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Lyapunov times after which errors are kept, besides that after a step."""
MARKS = 0.05, 0.1, 0.2, 0.5, 1, 2, 4
VALID = 0.4
HEADS = "valid for", "± of seeds", "a step", "error after it", *(f"after {a:g}" for a in AHEAD)


@dataclasses.dataclass(frozen=True)
class Config:
    """Forecasts of chaotic systems."""

    systems: tuple[str, ...] = tuple(SYSTEMS)
    methods: tuple[str, ...] = tuple(METHODS)
    epochs: int = 60
    seeds: int = 3
    starts: int = 100
    out: Path = KEPT / "chaos.json"
    """The figures, as JSON."""
    figure: Path = KEPT.parents[1] / "docs" / "chaos.png"


def problem(system: str) -> tuple[Task, float]:
    """The task of a system, and the unit in which horizons are counted, in frames."""
    settings = SYSTEMS[system]
    trajectory = load(f"synthetic:{system}", read=ReadConfig(synthetic=settings))
    task = Task(trajectory, WindowConfig(delta=1))
    if system == "springs":
        time = 1 / peaks(spectra(task))[0]
    else:
        time = 1 / exponents(system, settings).mean()
    return task, time / trajectory.frame_step


def attractor(task: Task) -> float:
    """Root mean square of the coordinates about their mean in time, over the test runs."""
    (trajectory,), (split,) = task.trajectories, task.splits
    runs = np.split(trajectory.positions, np.cumsum(trajectory.lengths)[:-1])
    begins = np.cumsum((0, *trajectory.lengths))
    tested = np.unique(np.searchsorted(begins, split.test, side="right") - 1)
    frames = np.concatenate([runs[i] for i in tested]).astype(float)
    return float(np.sqrt(frames.var(axis=0).mean()))


def measured(errors: list[np.ndarray], size: float, unit: float) -> list[float]:
    """A row of the table.

    Args:
      errors: squared errors of each seed [S, W].
      size: of the attractor.
      unit: a Lyapunov time, in frames.
    """
    relative = [np.sqrt(e) / size for e in errors]
    # The first step at which the error is too large; of those that stay valid, the end.
    times = [
        np.where((r > VALID).any(axis=0), np.argmax(r > VALID, axis=0), len(r)) / unit
        for r in relative
    ]
    valid = [np.median(t) for t in times]
    spread = np.std(valid, ddof=1) if len(valid) > 1 else 0.0
    joint = np.concatenate(relative, axis=1)
    steps = [1, *(max(1, round(ahead * unit)) for ahead in AHEAD)]
    return [np.mean(valid), spread, 1 / unit, *(np.median(joint[step - 1]) for step in steps)]


def draw(figures: Figures, path: Path) -> Path:
    """Error against horizon, a panel for each system."""
    tall = 5.6
    figure = blank_figure(tall)
    for i, system in enumerate(SYSTEMS):
        across, down = i % 2, i // 2
        box = [(0.6 + 3.4 * across) / WIDTH, (3.4 - 2.4 * down) / tall, 2.7 / WIDTH, 1.55 / tall]
        axes = figure.add_axes(box, xscale="log", yscale="log")
        for name, colour in METHODS.items():
            if row := figures.rows.get(f"{system}, {name}"):
                errors = [np.nan if value is None else value for value in row[3:]]
                ahead = row[2], *AHEAD
                axes.plot(ahead, errors, style(name), color=colour, marker="o", ms=3, lw=1.4)
        axes.axhline(VALID, color=INK, lw=0.8, ls=":")
        axes.set_ylim(2e-4, 5)
        axes.set_xticks(MARKS, [f"{mark:g}" for mark in MARKS])
        axes.minorticks_off()
        what = "periods" if system == "springs" else "Lyapunov times"
        plain(axes, f"{system}: {what}", "error / size" if not across else "")
    shown = [name for name in METHODS if any(key.endswith(f", {name}") for key in figures.rows)]
    figure.legend(
        handles=[Line2D([], [], color=METHODS[n], ls=style(n), marker="o", ms=3) for n in shown],
        labels=shown,
        loc="lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    said = "Median error of forecasts that are fed back, over the attractor's size; dotted: the limit 0.4"
    return finish(figure, path, "Forecasts of chaotic systems", said)


def style(name: str) -> str:
    """Closed forms are dashed."""
    return "--" if name in catalog.CLOSED_FORMS else "-"


def main(config: Config) -> None:
    """Prints a row for each system and method, writes the figures, and draws them."""
    figures = Figures.start(config.out, ["system, method", *HEADS])
    for system in config.systems:
        task, unit = problem(system)
        size, steps = attractor(task), int(np.ceil(max(AHEAD) * unit)) + 1
        for name in catalog.with_vectors([m for m in config.methods if m in catalog.METHODS], task):
            figures.add(f"{system}, {name}", figures_of(name, task, size, unit, steps, config))
        if (name := f"ESTAG {WITHOUT_EDFT}") in config.methods:
            method = variants(1)[WITHOUT_EDFT]
            figures.add(f"{system}, {name}", figures_of(method, task, size, unit, steps, config))
    print(draw(figures, config.figure))


def figures_of(method, task: Task, size: float, unit: float, steps: int, config: Config):
    """Fits a method and rolls it out."""
    fitted = fit(method, task, seeds=range(config.seeds), epochs=config.epochs)
    errors = [rollout_errors(p, task, steps, config.starts) for p in fitted.predictors]
    return measured(errors, size, unit)


if __name__ == "__main__":
    main(tyro.cli(Config))
