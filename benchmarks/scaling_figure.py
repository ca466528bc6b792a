"""Draws time and memory against N and T from the files of benchmarks/scaling.py.

    .venv/bin/python benchmarks/scaling_figure.py

Reads benchmarks/results/scaling_*.json, writes docs/large.png.
"""

from __future__ import annotations

from pathlib import Path

from estag_jax.io import read_json
from estag_jax.report.style import BLUE, ORANGE, TEXT, blank_figure, finish, plain

RESULTS = Path(__file__).parent / "results"
LINES = {("step", "nodes"): "-", ("forward", "nodes"): "--"}


def rows(name: str, what: str) -> list[dict]:
    """The cases of one kind in a file."""
    return [
        row for row in read_json(RESULTS / f"scaling_{name}.json")["rows"] if row["what"] == what
    ]


def main() -> None:
    """Writes the figure."""
    figure = blank_figure(4.9)
    panels = figure.subplots(2, 2, sharex="col")
    for column, (axis, files) in enumerate(
        (
            ("N", (("n", "in chunks", BLUE), ("whole", "all edges at once", ORANGE))),
            ("T", (("t", "in blocks", BLUE),)),
        )
    ):
        for axes, figure_of, label in zip(
            panels[:, column], ("seconds", "GiB"), ("time [s]", "memory [GiB]"), strict=True
        ):
            for name, how, colour in files:
                for what, line in (("step", "-"), ("forward", "--")):
                    found = rows(name, what)
                    if found:
                        axes.loglog(
                            [row[axis] for row in found],
                            [row[figure_of] for row in found],
                            line,
                            color=colour,
                            marker="o",
                            markersize=3,
                            label=f"{what}, {how}",
                        )
            plain(axes, axis if figure_of == "GiB" else "", label if column == 0 else "")
    for axes in panels[0]:
        axes.legend(fontsize=7.5, frameon=False, labelcolor=TEXT["color"])
    figure.subplots_adjust(left=0.1, right=0.97, top=0.86, bottom=0.1, hspace=0.12, wspace=0.2)
    finish(
        figure,
        RESULTS.parents[1] / "docs/large.png",
        "Time and memory grow linearly",
        "ESTAG, one window, H = 16, L = 2, one core: left T = 10 and 16 neighbours, right N = 200",
    )


if __name__ == "__main__":
    main()
