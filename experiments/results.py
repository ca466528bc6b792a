"""Keeps the tables that were run, and writes them into RESULTS.md.

    .venv/bin/python experiments/results.py                         RESULTS.md and figures from what is kept
    .venv/bin/python experiments/results.py --collect runs/table1   keep the cells of a run first
    .venv/bin/python experiments/results.py --check                 fail if RESULTS.md is not up to date

The cells of a table (figures of every seed, settings, versions, device, times) are kept as they were
measured in experiments/results/NAME.json. RESULTS.md is written by hand but for the blocks between
`<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import tyro

from estag_jax.table.grid import stored
from estag_jax.table.report import figure, markdown
from estag_jax.train.runfiles import write_text

ROOT = Path(__file__).resolve().parents[1]
KEPT, RESULTS, FIGURES = ROOT / "experiments" / "results", ROOT / "RESULTS.md", ROOT / "docs"
BLOCK = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Config:
    """Keep tables, and write RESULTS.md."""

    collect: tuple[Path, ...] = ()
    """Folders of tables (runs/table1) whose finished cells are to be kept under the folder's name."""
    check: bool = False
    """Only say whether RESULTS.md is what would be written."""


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


def filled(text: str) -> str:
    """RESULTS.md with every block made anew."""

    def block(match: re.Match) -> str:
        return f"{match[1]}{markdown(kept(match['name']))}{match[3]}"

    return BLOCK.sub(block, text)


def main(config: Config) -> None:
    """Keeps, writes, draws."""
    for folder in config.collect:
        keep(folder)
    text = RESULTS.read_text(encoding="utf-8")
    new = filled(text)
    if config.check:
        sys.exit(
            0 if new == text else "RESULTS.md is not what experiments/results.py writes; run it"
        )
    write_text(RESULTS, new)
    print(RESULTS.relative_to(ROOT))
    for match in BLOCK.finditer(new):
        name = match["name"]
        path = figure(kept(name), FIGURES / f"{name}.png", name.replace("table", "Table "))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(tyro.cli(Config))
