"""Keeps the tables that were run, and writes them into RESULTS.md and README.md.

    .venv/bin/python experiments/results.py                         pages and figures from what is kept
    .venv/bin/python experiments/results.py --collect runs/table1   keep the cells of a run first
    .venv/bin/python experiments/results.py --check                 fail if a page is not up to date

The cells of a table (figures of every seed, settings, versions, device, times) are kept as they were
measured in experiments/results/NAME.json, and so are the figures of other experiments (figures.py). The
pages are written by hand but for the blocks between `<!-- NAME -->` and `<!-- end -->`: a table, `summary`
(all rows where networks were compared, as ratios to VAR ridge), `headline` (some of them), `solved` (closed
forms on all data), the ablation of ESTAG (`estag_ablation`), or the figures of an experiment.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import tyro
from figures import KEPT, Figures

from estag_jax.evaluation.result import Result
from estag_jax.io import write_text
from estag_jax.models.catalog import METHODS
from estag_jax.report import ablation
from estag_jax.report.dots import dots
from estag_jax.report.tables import markdown
from estag_jax.runs.grid import place, stored

ROOT = KEPT.parents[1]
FIGURES = ROOT / "docs"
PAGES = ROOT / "RESULTS.md", ROOT / "README.md"
HEADLINE = (
    "Last frame",
    "AR-LS",
    "VAR ridge",
    "Frame ridge",
    "Frame kernel",
    "ST_EGNN",
    "EGNN + residual head",
    "EqMotion",
    "ESTAG",
    "ESTAG as released",
)
ABLATION = "estag_ablation"
COMPARED = "aspirin", "ethanol", "trp_cage", "walk"
SOLVED = (
    "AR-LS",
    "In-context AR",
    "Context parroting",
    "VAR ridge, vertical apart",
    "Frame ridge",
    "Frame kernel",
    "Path ridge",
    "Body ridge",
    "Body kernel",
    "Mode ridge",
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
    """The results that are kept of a table, one for each data set."""
    saved = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    return [Result.from_dict(result) for result in saved]


def keep(folder: Path) -> None:
    """Keeps a table's finished cells: they replace rows of the same method, data and windows.

    Exits if the closed forms that both have differ: then frames or windows are others.
    """
    results = stored(folder)
    if not results:
        sys.exit(f"{folder}: holds no finished cells; is it the --out of a table?")
    path = KEPT / f"{folder.name}.json"
    old = {result.rows[0].data: result for result in kept(folder.name)} if path.exists() else {}
    for new in results:
        data = new.rows[0].data
        before = old.get(data, new)
        for row in new.rows:
            kept_row = before.row(row.name)
            if kept_row and not row.seeds and not np.isclose(row.mse, kept_row.mse, rtol=1e-4):
                sys.exit(
                    f"{path}: {row.name} on {data} has {kept_row.mse:.6g}, {folder} has {row.mse:.6g}: "
                    f"frames or windows are others; remove {data} from the file to keep the new rows"
                )
        rows = {row.name: row for row in (*before.rows, *new.rows)}
        old[data] = dataclasses.replace(before, rows=sorted(rows.values(), key=place))
    write_results(folder.name, list(old.values()))


def write_results(name: str, results: list[Result]) -> None:
    """Writes results with a line for each row, so that changes can be read."""
    blocks = []
    for result in results:
        saved = result.to_dict()
        rows = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in saved.pop("rows"))
        head = json.dumps(saved, ensure_ascii=False)
        blocks.append(f'{head[:-1]}, "rows": [\n {rows}\n]}}')
    KEPT.mkdir(exist_ok=True)
    write_text(KEPT / f"{name}.json", "[\n" + ",\n".join(blocks) + "\n]\n")


def _results() -> dict[str, Result]:
    """Every kept result by the name of its data."""
    found = [result for path in sorted(KEPT.glob("table*.json")) for result in kept(path.stem)]
    return {result.rows[0].data: result for result in found}


def _lines(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _ratio(name: str, result: Result) -> str:
    """The error of a row over that of VAR ridge, ± the seeds' deviation."""
    row, base = result.row(name), result.row("VAR ridge")
    if row is None:
        return "–"
    seeds = row.metrics["mse"]["seeds"]
    deviation = f" ± {np.std(seeds, ddof=1) / base.mse:.2f}" if len(seeds) > 1 else ""
    return f"{row.mse / base.mse:.2f}{deviation}"


def summary(rows: Collection[str] = ()) -> str:
    """The rows of the data on which networks were compared, as ratios to VAR ridge."""
    results = {name: r for name, r in _results().items() if name in COMPARED}
    names = [name for name in METHODS if any(result.row(name) for result in results.values())]
    return _lines(
        ["error / VAR ridge", *results],
        [
            [name, *(_ratio(name, result) for result in results.values())]
            for name in names
            if not rows or name in rows
        ],
    )


def solved() -> str:
    """Methods that learn, on all data, as ratios to VAR ridge; the molecules' median and worst below."""
    results = _results()
    named = [name for name in SOLVED if any(result.row(name) for result in results.values())]
    rows = [[data, *(_ratio(name, result) for name in named)] for data, result in results.items()]
    molecules = [result for table in ("table1", "table4") for result in kept(table)]
    found = [
        [r.row(name).mse / r.row("VAR ridge").mse for r in molecules if r.row(name)]
        for name in named
    ]
    for words, of in (("median", np.median), ("worst", np.max)):
        values = [f"{of(ratios):.2f}" if len(ratios) == len(molecules) else "–" for ratios in found]
        rows.append([f"*{words} of the {len(molecules)} of molecules*", *values])
    return _lines(["error / VAR ridge", *named], rows)


def filled(text: str) -> str:
    """A page with every block written again."""
    made = {"summary": summary, "headline": lambda: summary(HEADLINE), "solved": solved}

    def block(match: re.Match) -> str:
        name = match["name"]
        if name in made:
            body = made[name]()
        elif name.startswith("table"):
            body = markdown(kept(name))
        elif name == ABLATION:
            body = ablation.markdown(kept(name))
        else:
            body = Figures.read(name).markdown()
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
    for path in sorted(KEPT.glob("table*.json")):
        title = f"Table {path.stem.removeprefix('table')}, data in place of the published"
        print(dots(kept(path.stem), FIGURES / f"{path.stem}.png", title).relative_to(ROOT))
    drawn = ablation.forest(kept(ABLATION), FIGURES / "ablation.png", "ESTAG, one thing changed")
    print(drawn.relative_to(ROOT))


if __name__ == "__main__":
    main(tyro.cli(Config))
