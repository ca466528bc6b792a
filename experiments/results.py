"""Keeps the tables that were run, and writes them into RESULTS.md and README.md.

    .venv/bin/python experiments/results.py                         pages and figures from what is kept
    .venv/bin/python experiments/results.py --collect runs/table1   keep the cells of a run first
    .venv/bin/python experiments/results.py --check                 fail if a page is not up to date

The results of a table (figures of every seed, settings, versions, device, times) are kept as they were
measured in experiments/results/NAME.json, one for each data set. The pages are written by hand but for
the blocks between `<!-- NAME -->` and `<!-- end -->`: a table, `summary` (all rows, as ratios to VAR
ridge) or `headline` (some of them).
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Collection
from pathlib import Path

import tyro

from estag_jax.evaluation.result import Result, Row
from estag_jax.io import read_json, write_json, write_text
from estag_jax.models.catalog import METHODS
from estag_jax.report.dots import dots
from estag_jax.report.tables import markdown, uncertainty
from estag_jax.runs.grid import stored

ROOT = Path(__file__).resolve().parents[1]
KEPT, FIGURES = ROOT / "experiments" / "results", ROOT / "docs"
PAGES = ROOT / "RESULTS.md", ROOT / "README.md"
HEADLINE = (
    "Last frame",
    "AR-LS",
    "VAR ridge",
    "ST_EGNN",
    "EGNN + residual head",
    "EqMotion",
    "STGCN",
    "ESTAG",
    "ESTAG as released",
)
BLOCK = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Config:
    """Keep tables, and write the pages."""

    collect: tuple[Path, ...] = ()
    """Folders of tables (runs/table1) whose finished cells are to be kept under the folder's name."""
    check: bool = False
    """Only say whether the pages are what would be written."""


def kept(name: str) -> list[Result]:
    """What is kept of a table, a result for each data set."""
    return [Result.from_dict(saved) for saved in read_json(KEPT / f"{name}.json")]


def keep(folder: Path) -> None:
    """Keeps a table's finished cells."""
    results = stored(folder)
    if not results:
        sys.exit(f"{folder}: holds no finished cells; is it the --out of a table?")
    write_json(KEPT / f"{folder.name}.json", [result.to_dict() for result in results])


def summary(rows: Collection[str] = ()) -> str:
    """Every row's error on every data set as a ratio to that of VAR ridge, ± the seeds' deviation."""
    results = [result for path in sorted(KEPT.glob("*.json")) for result in kept(path.stem)]
    found = {(row.name, row.data): row for result in results for row in result.rows}
    columns = list(dict.fromkeys(data for _, data in found))
    names = [name for name in METHODS if any((name, data) in found for data in columns)]

    def entry(name: str, data: str) -> str:
        row: Row | None = found.get((name, data))
        if row is None:
            return "–"
        base = found["VAR ridge", data].mse
        several = len(row.seeds) > 1
        deviation = f" ± {uncertainty(row) / base:.2f}" if several else ""
        return f"{row.mse / base:.2f}{deviation}"

    lines = [["error / VAR ridge", *columns], ["---"] + ["---:"] * len(columns)]
    lines += [
        [row, *(entry(row, data) for data in columns)] for row in names if not rows or row in rows
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def filled(text: str) -> str:
    """A page with every block written from what is kept."""
    made = {"summary": summary, "headline": lambda: summary(HEADLINE)}

    def block(match: re.Match) -> str:
        name = match["name"]
        body = made[name]() if name in made else markdown(kept(name))
        return f"{match[1]}{body}{match[3]}"

    return BLOCK.sub(block, text)


def main(config: Config) -> None:
    """Keeps, writes, draws."""
    for folder in config.collect:
        keep(folder)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if config.check and new != text:
            sys.exit(f"{page.name} is not what experiments/results.py writes; run it")
        write_text(page, new)
    if config.check:
        return
    for path in sorted(KEPT.glob("*.json")):
        title = f"Table {path.stem.removeprefix('table')}, data in place of the published"
        print(dots(kept(path.stem), FIGURES / f"{path.stem}.png", title).relative_to(ROOT))


if __name__ == "__main__":
    main(tyro.cli(Config))
