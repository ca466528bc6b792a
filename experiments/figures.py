"""Figures of an experiment: a table that is printed row by row and kept in experiments/results/NAME.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from estag_jax.io import read_json, write_json

KEPT = Path(__file__).resolve().parent / "results"


@dataclasses.dataclass
class Figures:
    """A table of numbers.

    Args:
      path: the file.
      columns: what stands above the rows' names, and above each number.
      rows: numbers by name of the row.
    """

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, name: str) -> Figures:
        """What is kept of an experiment."""
        path = KEPT / f"{name}.json"
        saved = read_json(path)
        return cls(path, tuple(saved["columns"]), saved["rows"])

    @classmethod
    def start(cls, path: Path, columns: Iterable[str]) -> Figures:
        """Prints the head; rows that the file has are kept until they are measured again."""
        new = cls(path, tuple(columns))
        old = read_json(path) if path.exists() else {}
        if old.get("columns") == list(new.columns):
            new.rows = old["rows"]
        print(new.head())
        return new

    def add(self, name: str, numbers: Iterable[float]) -> None:
        """Prints a row and writes the file, which has null for what is not finite."""
        self.rows[name] = [float(n) if np.isfinite(n) else None for n in numbers]
        print(self.line(name), flush=True)
        write_json(self.path, {"columns": self.columns, "rows": self.rows})

    def head(self) -> str:
        ruler = "|---|" + "---:|" * (len(self.columns) - 1)
        return f"| {' | '.join(self.columns)} |\n{ruler}"

    def line(self, name: str) -> str:
        numbers = ("∞" if number is None else f"{number:.4g}" for number in self.rows[name])
        return f"| {name} | {' | '.join(numbers)} |"

    def markdown(self) -> str:
        return "\n".join([self.head(), *map(self.line, self.rows)]) + "\n"
