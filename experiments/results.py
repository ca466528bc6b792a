"""Keeps the tables that were run, and writes them into RESULTS.md and README.md.

    .venv/bin/python experiments/results.py                         pages and figures from what is kept
    .venv/bin/python experiments/results.py --collect runs/table1   keep the cells of a run first
    .venv/bin/python experiments/results.py --check                 fail if a page is not up to date

The cells of a table (figures of every seed, settings, versions, device, times) are kept as they were
measured in experiments/results/NAME.json. The pages are written by hand but for the blocks between
`<!-- NAME -->` and `<!-- end -->`: a table, `summary` (all rows, as ratios to VAR ridge) or `headline`
(some of them).
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import tyro

from estag_jax.report.grid_report import figure, markdown
from estag_jax.runs.folder import write_text
from estag_jax.runs.grid import ORDER, stored

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


def kept(name: str) -> list[dict[str, Any]]:
    """The cells that are kept of a table."""
    return json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))


def keep(folder: Path) -> None:
    """Keeps a table's finished cells, one a line."""
    cells = stored(folder)
    if not cells:
        sys.exit(f"{folder}: holds no finished cells; is it the --out of a table?")
    lines = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in cells)
    KEPT.mkdir(exist_ok=True)
    write_text(KEPT / f"{folder.name}.json", f"[\n{lines}\n]\n")


def summary(rows: Collection[str] = ()) -> str:
    """Every row's error on every data set as a ratio to that of VAR ridge, ± the seeds' deviation."""
    cells = [cell for path in sorted(KEPT.glob("*.json")) for cell in kept(path.stem)]
    columns = list(dict.fromkeys(cell["data"] for cell in cells))
    found = {(cell["row"], cell["data"]): cell for cell in cells}
    names = [name for name in ORDER if any((name, data) in found for data in columns)]

    def entry(row: str, data: str) -> str:
        cell = found.get((row, data))
        if cell is None:
            return "–"
        base = found["VAR ridge", data]["mean"]
        deviation = "" if cell["sd"] is None else f" ± {cell['sd'] / base:.2f}"
        return f"{cell['mean'] / base:.2f}{deviation}"

    lines = [["error / VAR ridge", *columns], ["---"] + ["---:"] * len(columns)]
    lines += [
        [row, *(entry(row, data) for data in columns)] for row in names if not rows or row in rows
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def filled(text: str) -> str:
    """A page with every block written again."""
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
        print(figure(kept(path.stem), FIGURES / f"{path.stem}.png", title).relative_to(ROOT))


if __name__ == "__main__":
    main(tyro.cli(Config))
