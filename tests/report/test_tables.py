"""Tables: figures by hand, what is said of unfinished rows, and files that hold what the results do."""

import csv
import io

import numpy as np
import pytest

from estag_jax.evaluation.result import Result, Row
from estag_jax.report import tables
from estag_jax.report.tables import csv_text, figure_text, markdown, ratios, with_uncertainty

FACTS = {
    "source": "springs.npy",
    "provenance": "made by hand",
    "nodes": 3,
    "channels": 1,
    "edges": 6,
    "length_unit": "Å",
    "window": {"past": 10, "delta": 5, "horizons": [1], "stride": 1},
    "split": "blocked",
    "windows": {"train": 500, "validation": 90, "test": 80},
    "overlap_with_train": {
        "validation": {"count": 0, "share": 0.0},
        "test": {"count": 20, "share": 0.25},
    },
}


def row(name, *errors, seeds=(), data="walk", standard_error=None, **fields):
    """A finished row with the mean error of each seed."""
    mse = {"mean": float(np.mean(errors)), "seeds": list(errors)}
    if standard_error is not None:
        mse["standard_error"] = standard_error
    metrics = {"mse": mse} | fields.pop("metrics", {})
    return Row(name, data, metrics=metrics, seeds=list(seeds), **fields)


def network(name="ESTAG", errors=(0.1, 0.2, 0.6), **fields):
    about = {"epochs": 60, "seconds": {"compile": 4.25, "train": 90.0}, "parameters": 8610}
    about |= {"settings": {"type": "EstagConfig", "head": "residual"}}
    return row(name, *errors, seeds=range(len(errors)), **about | fields)


def result(*rows):
    return Result(dict(FACTS), list(rows), device="1 × cpu", versions={"jax": "1"})


BOTH = row("Last frame", 0.4), row("VAR ridge", 0.05, parameters=90)


def cells(text):
    """Header and lines of the only Markdown table, by column."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, rule, *body = ([c.strip() for c in line.strip("|").split("|")] for line in lines)
    assert set("".join(rule)) <= set("-:") and len(rule) == len(header)
    assert all(len(line) == len(header) for line in body)
    return [dict(zip(header, line, strict=True)) for line in body]


def test_ratios_are_those_of_the_same_data():
    both = ratios(result(*BOTH, network()))
    assert both[2]["ratio_last_frame"] == pytest.approx(0.3 / 0.4)
    assert both[2]["ratio_var_ridge"] == pytest.approx(0.3 / 0.05)
    assert [r["ratio_last_frame"] for r in both[:2]] == pytest.approx([1, 0.125])
    shown = cells(markdown([result(*BOTH, network())]))
    assert [line["/ last frame"] for line in shown] == ["1.000", "0.125", "0.750"]
    assert [line["/ VAR ridge"] for line in shown] == ["8.000", "1.000", "6.000"]


def test_there_is_no_ratio_to_nothing_or_to_zero():
    shown = cells(markdown([result(row("Last frame", 0.0), network())]))
    assert [line["/ last frame"] for line in shown] == ["–", "–"]
    assert [line["/ VAR ridge"] for line in shown] == ["–", "–"]
    assert shown[0]["test MSE [Å²]"] == "0"
    skipped = Row("VAR ridge", "walk", "skipped", "too many nodes")
    assert ratios(result(row("Last frame", 0.4), skipped))[1] == dict.fromkeys(tables.BASES)


@pytest.mark.parametrize("size", range(-12, 10))
def test_figures_keep_three_digits_and_are_never_zero(size):
    for digits in (1.0, 1.2345, 9.9949):
        value = digits * 10.0**size
        assert float(figure_text(value)) == pytest.approx(value, rel=5e-3)
        assert float(figure_text(value, -3)) == pytest.approx(value * 1e3, rel=5e-3)
        figure, spread = with_uncertainty(value, 1e-3 * value).split(" ± ")
        assert float(figure) == pytest.approx(value, rel=5e-3)
        assert float(spread) == pytest.approx(1e-3 * value, rel=0.5)
    assert figure_text(float("inf")) == "–"


def test_small_errors_are_printed_in_a_unit_that_shows_them():
    small = result(row("Last frame", 4e-7, published=5e-7), row("VAR ridge", 2e-9))
    shown = cells(markdown([small]))
    assert [line["test MSE [10^-9 Å²]"] for line in shown] == ["400.0000", "2.0000"]
    assert shown[0]["*published [10^-9 Å²]*"] == "*500.0000*"
    assert shown[1]["*published [10^-9 Å²]*"] == "–"


def test_the_spread_is_that_of_the_seeds_or_else_that_of_the_windows():
    three = network(errors=(0.1, 0.2, 0.6), standard_error=0.9)
    deviation = (((0.1 - 0.3) ** 2 + (0.2 - 0.3) ** 2 + (0.6 - 0.3) ** 2) / 2) ** 0.5
    assert tables.uncertainty(three) == pytest.approx(deviation)
    one, unknown = network(errors=(0.3,), standard_error=0.02), network(errors=(0.3,))
    assert tables.uncertainty(one) == 0.02 and tables.uncertainty(unknown) is None

    def shown(row):
        text = markdown([result(row)])
        return cells(text)[0]["test MSE [Å²]"], text.split("|")[0]

    assert shown(three)[0] == f"0.3000 ± {deviation:.4f}"
    assert shown(one)[0] == "0.3000 ± 0.0200" and shown(unknown)[0] == "0.3000"
    said = ["standard deviation over the seeds", "standard error over test windows"]
    for row_, expected in ((three, [True, False]), (one, [False, True]), (unknown, [False] * 2)):
        assert [words in shown(row_)[1] for words in said] == expected


def test_unfinished_rows_are_listed_with_their_reasons():
    skipped = Row("VAR ridge", "walk", "skipped", "would take 44.7 GiB")
    failed = Row("STGCN", "walk", "failed", "needs 6 past frames")
    text = markdown([result(row("Last frame", 0.4), skipped, failed)])
    assert [line["method"] for line in cells(text)] == ["Last frame (PT-t)"]
    assert "- VAR ridge: skipped, would take 44.7 GiB" in text.splitlines()
    assert "- STGCN: failed, needs 6 past frames" in text.splitlines()
    unread = Result({"source": "sprngs"}, [Row("(data)", "typo", "failed", "no such file")])
    assert markdown([unread]) == "## typo\n\n- (data): failed, no such file\n"


def test_further_metrics_have_columns_and_a_dash_where_a_row_has_none():
    more = {"mae": {"mean": 0.25, "seeds": [0.25]}, "mse@5": {"mean": 1.5, "seeds": [1.5]}}
    both = result(row("Last frame", 0.4, metrics=more), row("VAR ridge", 0.05))
    one, other = cells(markdown([both]))
    assert (one["mae"], one["mse@5"]) == ("0.2500", "1.5000")
    assert (other["mae"], other["mse@5"]) == ("–", "–")
    assert list(one)[:6] == [
        "method", "test MSE [Å²]", "/ last frame", "/ VAR ridge", "mae", "mse@5",
    ]  # fmt: skip


def test_the_csv_file_holds_what_the_rows_do():
    more = {"mae": {"mean": 0.25, "seeds": [0.25]}}
    rows = (
        row("Last frame", 0.4 / 3, metrics=more, published=0.3831, equivariant=True),
        network(diverged=[3], equivariant=True),
        Row("VAR ridge", "walk", "skipped", 'says "no", twice'),
    )
    other = result(row("Last frame", 1e-9, data="springs"))
    lines = list(csv.DictReader(io.StringIO(csv_text([result(*rows), other]))))
    assert list(lines[0]) == [*tables.COLUMNS, "mae"]
    assert [line["data"] for line in lines] == ["walk"] * 3 + ["springs"]
    for line, one in zip(lines, (*rows, *other.rows), strict=True):
        assert (line["name"].split(" (PT")[0], line["status"]) == (one.name, one.status)
        assert (line["reason"], line["head"]) == (one.reason, one.head)
        if one.status == "finished":
            assert float(line["mse"]) == one.mse
            assert int(line["parameters"]) == one.parameters
            spread = tables.uncertainty(one)
            assert line["uncertainty"] == ("" if spread is None else repr(spread))
            assert float(line["ratio_last_frame"]) == one.mse / (
                0.4 / 3 if one.data == "walk" else 1e-9
            )
        else:
            assert line["mse"] == line["uncertainty"] == line["ratio_last_frame"] == ""
    assert (lines[0]["mae"], lines[1]["mae"]) == ("0.25", "")
    assert (lines[0]["published"], lines[1]["published"]) == ("0.3831", "")
    assert (lines[1]["seeds"], lines[1]["epochs"], lines[0]["seeds"]) == ("3", "60", "")
    assert (lines[1]["compile_seconds"], lines[1]["train_seconds"]) == ("4.25", "90.0")


def test_a_network_says_how_it_was_trained_and_what_diverged():
    found = cells(markdown([result(*BOTH, network(diverged=[3]))]))
    last = found[-1]
    assert last["test MSE [Å²]"].endswith("(1 seed(s) diverged)")
    assert (last["head"], last["seeds"], last["epochs"]) == ("residual", "4", "60")
    assert (last["compile [s]"], last["train [min]"], last["parameters"]) == ("4.2", "1.5", "8,610")
    assert found[0]["head"] == found[0]["seeds"] == "–"
    assert "seeds" not in cells(markdown([result(*BOTH)]))[0]


def test_the_line_above_a_table_says_on_what_it_was_measured():
    text = markdown([result(*BOTH)])
    for words in ("springs.npy (made by hand)", "T=10, Δ=5", "500 / 90 / 80", "25.0%", "1 × cpu"):
        assert words in text


def test_a_report_is_three_files_or_two_where_nothing_was_finished(tmp_path):
    paths = tables.write_report([result(*BOTH, network())], tmp_path, "Springs", "estag table")
    assert [p.name for p in paths] == ["table.md", "table.csv", "table.png"]
    text = paths[0].read_text(encoding="utf-8")
    assert text.startswith("# Springs\n\n`estag table`\n\n## walk\n")
    assert paths[1].read_text(encoding="utf-8") == csv_text([result(*BOTH, network())])
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    failed = result(Row("STGCN", "walk", "failed", "no"))
    paths = tables.write_report([failed], tmp_path / "none", "Springs", "estag table")
    assert [p.name for p in paths] == ["table.md", "table.csv"]
