"""Path ridge on molecules that it never saw, and from few windows of one molecule.

    .venv/bin/python experiments/unseen_molecules.py --shared ../shared/data

Zero-shot: each of six molecules is forecast by path ridge that is fitted to the five others, 500 windows
each, beside AR-LS that is fitted to the same five; the last column is the share of points in the 90 %
region of the error bars that path ridge knows for unseen molecules. Pretrained: the same by the forecaster
small-molecules, which has seen none of the six, over the same AR-LS. Few windows: every method is fitted to
the first windows of the molecule's own training draw; frame ridge and VAR ridge choose λ by 1,000 validation
windows of the molecule, path ridge by cross-validation inside its few windows. Blocked split, T = 10,
Δ = 10, 2,000 test windows. Errors are in 10⁻³ Å². Tables and rows that are not asked for
stay in the file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro

from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.io import read_json, write_json
from estag_jax.runs.pretrained import load_pretrained
from estag_jax.simulate.settings import MOLECULES
from estag_jax.sources.catalog import load
from estag_jax.training.fit import fit

FEW = ("Path ridge", "Frame ridge", "VAR ridge")


@dataclasses.dataclass(frozen=True)
class Config:
    """Path ridge on unseen molecules and from few windows."""

    shared: Path = Path("../shared/data")
    """The developers' shared folder with md_xtb."""
    part: str = "test"
    """Windows that are forecast: test, or validation while settings are chosen."""
    few: tuple[int, ...] = (25, 50, 100, 500)
    """Numbers of own windows; none leaves the table out."""
    zero_shot: bool = True
    """Print the table of unseen molecules."""
    pretrained: bool = True
    """Print the table of the forecaster for small molecules that ships with the package."""
    molecules: tuple[str, ...] = ()
    """Some of the molecules in the rows; all by default."""
    out: Path = Path("experiments/unseen_molecules.json")
    """The figures, as JSON."""


def few_windows(task: Task, count: int) -> Task:
    """The task with the first training windows of the draw alone."""
    (split,) = task.splits
    return Task(
        task.trajectories, task.window, [dataclasses.replace(split, train=split.train[:count])]
    )


def mse(fitted, task: Task, part: str) -> float:
    """Mean squared error [10⁻³ Å²]."""
    return 1e3 * evaluate(fitted, task, part=part).rows[0].mse


def row(name: str, values: list[float]) -> None:
    """Prints a line of a Markdown table."""
    print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |", flush=True)


def means(rows: dict[str, list[float]]) -> list[float]:
    """The geometric mean of each column."""
    return np.exp(np.mean(np.log(list(rows.values())), axis=0)).tolist()


def main(config: Config) -> None:
    """Prints the tables as Markdown and writes the figures."""
    files = {name: config.shared / "md_xtb" / f"{name}_xtb.npz" for name in MOLECULES}
    tasks = {
        name: Task(load(str(path)), WindowConfig(), SplitConfig())
        for name, path in files.items()
        if path.exists()
    }
    wanted = config.molecules or tuple(tasks)
    kept = read_json(config.out) if config.out.exists() else {}
    found: dict[str, dict[str, list[float]]] = kept.get("tables", {})
    if config.zero_shot:
        print(
            "| unseen molecule | AR-LS of the others | Path ridge of the others | ratio | covers |"
        )
        print("|---|---:|---:|---:|---:|")
        rows = found.setdefault("zero-shot", {})
        for name in wanted:
            others = [task for other, task in tasks.items() if other != name]
            joint = Task(
                [t.trajectories[0] for t in others], WindowConfig(), [t.splits[0] for t in others]
            )
            base, own = (
                evaluate(fit(method, joint).predictor, tasks[name], part=config.part).rows[0]
                for method in ("AR-LS", "Path ridge")
            )
            covers = own.metrics["covers_90"]["mean"]
            rows[name] = [1e3 * base.mse, 1e3 * own.mse, own.mse / base.mse, covers]
            row(name, rows[name])
        row("geometric mean", means(rows))
    if config.pretrained:
        print("\n| unseen molecule | pretrained | ratio to AR-LS of the others | covers |")
        print("|---|---:|---:|---:|")
        rows = found.setdefault("pretrained", {})
        predictor = load_pretrained("small-molecules").predictor
        for name in wanted:
            own = evaluate(predictor, tasks[name], part=config.part).rows[0]
            base, covers = found["zero-shot"][name][0], own.metrics["covers_90"]["mean"]
            rows[name] = [1e3 * own.mse, 1e3 * own.mse / base, covers]
            row(name, rows[name])
        row("geometric mean", means(rows))
    if config.few:
        heads = [f"{method}, {count}" for count in config.few for method in FEW]
        print("\n| molecule, own windows | " + " | ".join(heads) + " |")
        print("|---|" + "---:|" * len(heads))
        rows = found.setdefault("few windows", {})
        for name in wanted:
            rows[name] = [
                mse(fit(method, few_windows(tasks[name], count)), tasks[name], config.part)
                for count in config.few
                for method in FEW
            ]
            row(name, rows[name])
        row("geometric mean", means(rows))
    few = list(config.few) or kept.get("few", [])
    write_json(config.out, {"part": config.part, "few": few, "tables": found})


if __name__ == "__main__":
    main(tyro.cli(Config))
