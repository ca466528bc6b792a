"""Tables of results: ratios and digits by hand, what is skipped, and CSV read back."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from helpers.results import FACTS
from rich.console import Console

from estag_jax.cli.output import terminal
from estag_jax.data.graphs import GraphConfig, with_graph
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.result import Result, Row
from estag_jax.report.numbers import figure_text, ratio_text, uncertainty, with_uncertainty
from estag_jax.report.overlay import sticks
from estag_jax.report.tables import csv_text, label, markdown, ratios, write_report


def row(name, *seeds, error=0.0, **fields):
    figures = {"mean": float(np.mean(seeds)), "standard_error": error, "seeds": list(seeds)}
    return Row(name, "walk", metrics={"mse": figures}, device="1 × cpu", **fields)


@pytest.fixture
def result():
    rows = [
        row("Last frame", 4e-3, error=1e-4, published=3.5e-3),
        row("AR-LS per node", 9e-6, error=1e-7, parameters=30),
        row("VAR ridge", 1e-3, error=5e-5, parameters=90),
        row("Frame ridge", 5e-4, error=5e-5, parameters=465),
        row(
            "ESTAG",
            1e-3,
            2e-3,
            3e-3,
            seeds=[1, 2, 3],
            epochs=7,
            parameters=1234,
            settings={"head": "residual"},
            seconds={"compile": 2.0, "train": 90.0, "step": 0.012},
        ),
        Row("ST_GMN", "walk", "skipped", "differs only where nodes have several channels"),
        Row("ST_TFN", "walk", "failed", "diverged"),
    ]
    return Result(dict(FACTS), rows)


def test_ratios_are_to_the_base_rows_of_the_same_data(result):
    found = ratios(result)
    assert list(found[4].values()) == pytest.approx([0.5, 2, 4])
    none = dict.fromkeys(("ratio_last_frame", "ratio_var_ridge", "ratio_frame_ridge"))
    assert found[5] == none
    still = dataclasses.replace(result, rows=[row("Last frame", 0.0), row("AR-LS", 1.0)])
    assert ratios(still)[1] == none


def test_a_base_that_a_table_lacks_has_no_column(result):
    header = next(x for x in markdown([result]).splitlines() if x.startswith("| method"))
    assert "| / last frame | / VAR ridge | / frame ridge |" in header
    few = dataclasses.replace(result, rows=result.rows[:3])
    assert "/ VAR ridge" in markdown([few]) and "/ frame ridge" not in markdown([few])


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (1.0, "1.000"),
        (0.0123, "0.012"),
        (0.0015, "0.0015"),
        (4.7e-14, "4.7e-14"),
        (9619.08, "9619.080"),
        (1.6e15, "1.6e+15"),
    ],
)
def test_ratios_of_any_size_can_be_read(ratio, text):
    assert ratio_text(ratio) == text


def test_the_uncertainty_is_over_seeds_where_there_are_several(result):
    assert uncertainty(result.rows[0]) == 1e-4
    assert uncertainty(result.rows[4]) == pytest.approx(1e-3)
    assert "the standard deviation over the seeds" in markdown([result])
    single = dataclasses.replace(result, rows=result.rows[:1])
    assert "over the seeds" not in markdown([single])


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0.7194e-3, -3, "0.7194"),
        (9e-6, -3, "0.00900"),
        (1.23e-9, -3, "1.23e-06"),
        (0, 0, "0"),
        (1234.5, 0, "1234.5000"),
        (3e7, 0, "3.00e+07"),
        (float("inf"), 0, "–"),
    ],
)
def test_figures_have_significant_digits(value, scale, text):
    assert figure_text(value, scale) == text


def test_an_uncertainty_has_the_digits_of_its_figure():
    assert with_uncertainty(0.5664e-3, 2.88e-6, -3) == "0.5664 ± 0.0029"
    assert with_uncertainty(0.5664e-3, 1e-9, -3) == "0.5664 ± 1e-06"
    assert with_uncertainty(1.0, None) == "1.0000"


def test_markdown_lists_every_row(result):
    text = markdown([result])
    lines = {
        x.split("|")[1].strip(): [c.strip() for c in x.split("|")]
        for x in text.splitlines()
        if x.startswith("|")
    }
    assert lines["Last frame (PT-t)"][3:6] == ["4.0000 ± 0.1000", "1.000", "4.000"]
    assert lines["AR-LS per node"][3].startswith("0.00900 ± ")
    ours = lines["ESTAG"]
    assert ours[2:7] == ["residual", "2.0000 ± 1.0000", "0.500", "2.000", "4.000"]
    assert ours[7:13] == ["1,234", "3", "7", "2.0", "12.0", "1.5"]
    assert lines["Last frame (PT-t)"][-2] == "*3.5*"
    assert "- ST_GMN: skipped, differs only" in text and "- ST_TFN: failed, diverged" in text
    assert "0.0% of the test windows share" in text and "1 × cpu" in text


def test_only_closed_forms_have_a_second_name(result):
    """A network that was loaded has no seeds, and is no closed form for that."""
    rows = [row("Last frame", 1.0), row("ESTAG as released", 1.0), row("mine", 1.0)]
    assert [label(r) for r in rows] == ["Last frame (PT-t)", "ESTAG as released", "mine"]


def test_further_metrics_have_columns_of_their_own(result):
    more = result.rows[2].metrics | {"rmsd": {"mean": 0.25, "seeds": [0.25]}}
    rows = [result.rows[0], dataclasses.replace(result.rows[2], metrics=more)]
    text = markdown([dataclasses.replace(result, rows=rows)])
    header = next(line for line in text.splitlines() if line.startswith("| method"))
    place = [c.strip() for c in header.split("|")].index("rmsd [Å]")
    lines = [x.split("|") for x in text.splitlines() if x.startswith(("| Last", "| VAR"))]
    assert [line[place].strip() for line in lines] == ["–", "0.2500"]


def test_errors_at_other_horizons_have_the_unit_of_the_first(result):
    """Beside 4.0000 of 10^-3 Å², 8e-3 Å² is 8.0000; a metric of one's own has no unit."""
    more = result.rows[0].metrics | {"mse@5": {"mean": 8e-3}, "hits": {"mean": 0.5}}
    text = markdown([dataclasses.replace(result, rows=[Row("A", metrics=more)])])
    header, _, line = (
        [c.strip() for c in x.split("|")] for x in text.splitlines() if x.startswith("|")
    )
    assert header[2] == "test MSE [10^-3 Å²]" and line[2].startswith("4.0000 ±")
    assert line[header.index("mse@5 [10^-3 Å²]")] == "8.0000"
    assert line[header.index("hits")] == "0.5000"


def test_a_published_figure_is_never_shown_as_zero(result):
    """Where one method is far off, no power of ten is taken out for the others."""
    rows = [row("Last frame", 50.0), row("ESTAG", 1e-5, published=3e-6)]
    text = markdown([dataclasses.replace(result, rows=rows)])
    assert "*published [Å²]*" in text and "| *3e-06* |" in text and "| 0.0000" not in text


def test_an_error_that_is_not_finite_has_no_uncertainty():
    assert with_uncertainty(float("inf"), float("nan")) == "–"


def test_a_narrow_terminal_has_whole_figures(result):
    names = [str(column.header) for column in terminal(result).columns]
    for width in (40, 60, 80):
        table = terminal(result, width)
        shown = [str(column.header) for column in table.columns]
        assert shown == names[: len(shown)] and 2 <= len(shown) < len(names)
        assert table.caption.endswith(f"no room here for {', '.join(names[len(shown) :])}.")
        console = Console(width=width, file=io.StringIO())
        console.print(table)
        assert "…" not in console.file.getvalue() or width == 40


def test_the_terminal_says_what_the_uncertainty_is(result):
    assert "standard error over test windows" in terminal(result).caption
    none = [
        dataclasses.replace(x, metrics={"mse": {"mean": 1.0, "seeds": [1.0]}})
        for x in result.rows[:2]
    ]
    assert terminal(dataclasses.replace(result, rows=none)).caption is None


def test_several_systems_are_said_to_be_several(result):
    facts = FACTS | {"systems": 2, "split": ["blocked", "paper"]}
    text = markdown([dataclasses.replace(result, data=facts)])
    assert "2 systems of at most 3 nodes × 1, 6 edges" in text and "blocked and paper split" in text
    assert "systems" not in markdown([result])


def test_csv_holds_every_row(result):
    read = list(csv.DictReader(csv_text([result]).splitlines()))
    assert [line["status"] for line in read] == ["finished"] * 5 + ["skipped", "failed"]
    for line, expected, divided in zip(read, result.rows, ratios(result), strict=True):
        if expected.status == "finished":
            assert float(line["mse"]) == expected.mse
            assert float(line["ratio_var_ridge"]) == pytest.approx(divided["ratio_var_ridge"])
    assert read[4]["seeds"] == "3" and read[4]["train_seconds"] == "90.0"
    assert read[4]["step_seconds"] == "0.012" and read[4]["diverged"] == "0"
    assert read[6]["reason"] == "diverged" and read[6]["mse"] == ""


def test_a_report_is_three_files(result, tmp_path):
    files = write_report([result], tmp_path, "A title", "the command")
    assert [f.name for f in files] == ["table.md", "table.csv", "table.png"]
    assert files[0].read_text().startswith("# A title\n\n`the command`\n\n## walk")
    assert files[2].stat().st_size > 10_000
    nothing = dataclasses.replace(result, rows=result.rows[5:])
    assert len(write_report([nothing], tmp_path / "other", "", "")) == 2


def test_a_picture_joins_bonds_or_where_none_are_known_the_edges():
    x = np.zeros((3, 4, 3)) + np.arange(4)[:, None] * [1.0, 0.1, 0.0]
    contacts = with_graph(Trajectory.from_arrays(x), GraphConfig("radius", cutoff=1.1)).system
    assert sticks(contacts).tolist() == [[0, 1], [1, 2], [2, 3]]
    bonded = with_graph(Trajectory.from_arrays(x, bonds=np.array([[0, 3]])), GraphConfig("full"))
    assert sticks(bonded.system).tolist() == [[0, 3]]
    carbon = with_graph(Trajectory.from_arrays(1.4 * x, atomic_numbers=[6] * 4)).system
    assert sticks(carbon).tolist() == [[0, 1], [1, 2], [2, 3]] and carbon.graph.num_edges == 10


def test_figures_of_error_bars_stand_in_columns_of_their_own(result):
    assert "covers" not in markdown([result])  # a result of an earlier version
    mine = result.rows[2].metrics
    mine |= {"covers_90": {"mean": 0.9049}, "nats": {"mean": -0.183}, "error_bar": {"mean": 0.0312}}
    lines = markdown([result]).splitlines()
    header = next(line for line in lines if line.startswith("| method"))
    assert "| 90 % covers | nats | error bar [Å] | parameters |" in header
    cells = next(line for line in lines if line.startswith("| VAR ridge"))
    assert "| 0.905 | -0.18 | 0.0312 | 90 |" in cells
    others = next(line for line in lines if line.startswith("| Last frame"))
    assert "| – | – | – |" in others
    names = [str(column.header) for column in terminal(result).columns]
    assert names[4:7] == ["90 % covers", "nats", "parameters"]
    read = list(csv.DictReader(csv_text([result]).splitlines()))
    assert [line["covers_90"] for line in read][:3] == ["", "", "0.9049"]
