"""The figures of the published tables (arXiv 2405.12868), to stand beside ours and never among them.

Mean squared errors of 3 runs, as printed, in published.csv; the row ``unit`` says in what: MD17 in
10⁻³ Å² (table 1), AdK in Å² (table 2), motion capture in 10⁻¹ of the squared unit of the file (table 3).
"""

from __future__ import annotations

import csv
from pathlib import Path


def _read(path: Path) -> dict[str, dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        unit, *rows = csv.DictReader(file)
    return {
        data: {row["method"]: float(row[data]) * float(unit[data]) for row in rows if row[data]}
        for data in unit
        if data != "method"
    }


PUBLISHED = _read(Path(__file__).with_name("published.csv"))
"""By data set and row, the published mean squared error in the square of the data's unit."""
