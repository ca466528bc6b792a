"""Draws time and memory against N from two files of benchmarks/scaling.py, in chunks and all edges at once.

    .venv/bin/python benchmarks/scaling_figure.py

Reads benchmarks/results/scaling_nodes.json and scaling_whole.json, writes docs/large.png.
"""

from __future__ import annotations

from pathlib import Path

from estag_jax.io import read_json
from estag_jax.report.style import BLUE, ORANGE, blank_figure, finish, plain

HERE = Path(__file__).parent
FILES = (("nodes", "in chunks", BLUE), ("whole", "all edges at once", ORANGE))
PANELS = (("seconds", "CPU time [s]"), ("GiB", "memory of the process [GiB]"))


def main() -> None:
    """Writes the figure."""
    figure = blank_figure(3.2)
    left, right = panels = figure.subplots(1, 2)
    for axes, (quantity, label) in zip(panels, PANELS, strict=True):
        for file, how, colour in FILES:
            rows = read_json(HERE / f"results/scaling_{file}.json")["rows"]
            for what, line in (("step", "o-"), ("forward", "o--")):
                of_kind = [row for row in rows if row["what"] == what]
                sizes, values = ([row[name] for row in of_kind] for name in ("N", quantity))
                told = f"{what}, {how}"
                axes.loglog(sizes, values, line, color=colour, markersize=3, label=told)
        plain(axes, "N", label)
    left.legend(fontsize=7.5, frameon=False)
    right.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    right.minorticks_off()
    figure.subplots_adjust(left=0.1, right=0.98, top=0.8, bottom=0.16, wspace=0.25)
    title = "Time and memory against the number of nodes"
    about = "ESTAG, one window, T = 10, H = 16, L = 2, 16 neighbours, one core"
    finish(figure, HERE.parent / "docs/large.png", title, about)


if __name__ == "__main__":
    main()
