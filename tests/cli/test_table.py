"""``estag table`` as a user meets it."""

import re

from helpers.command import estag, one_line


def test_table_prints_every_method_and_goes_on_where_it_stopped(ethanol, capsys, tmp_path):
    argv = ["table", "--data", f"ethanol={ethanol}", "--out", tmp_path, "--seeds", 2]
    argv += "--protocol blocked --models egnn-t PT-t --past 4 --delta 2 --train.epochs 4".split()
    code, out, err = estag(capsys, *argv)
    assert code == 0, err
    assert "EGNN-t" in out and "VAR ridge" in out and "Published" in out
    # Off a terminal, a line each quarter of a network's epochs.
    assert [x for x in err.splitlines() if "EGNN-t: " in x][-1].startswith(
        "ethanol: EGNN-t: 4 of 4"
    )
    written = (tmp_path / "table.md").read_text()
    assert (
        re.search(r"\| EGNN-t \| absolute \| \d+\.\d{4} ± ", written)
        and "estag table --data" in written
    )
    cell = tmp_path / "cells" / "ethanol" / "EGNN-t.json"
    before = cell.stat().st_mtime_ns
    code, again, err = estag(capsys, *argv)
    assert code == 0 and "EGNN-t: " not in err and cell.stat().st_mtime_ns == before
    assert again == out


def test_table_refuses_what_it_does_not_know_before_it_starts(ethanol, capsys, tmp_path):
    out = ("--out", tmp_path / "table")
    typo = one_line(capsys, "table", "--data", ethanol, "--models", "ESTGA", *out)
    assert "no method 'ESTGA', did you mean 'ESTAG'" in typo
    assert "did you mean" in one_line(capsys, "table", "--data", "synthetic:sprngs", *out)
    assert "--data" in one_line(capsys, "table", *out)
    assert "a column twice" in one_line(capsys, "table", "--data", ethanol, ethanol, *out)
    assert "at least 1" in one_line(capsys, "table", "--data", ethanol, "--seeds", 0, *out)
    assert not (tmp_path / "table").exists()


def test_table_reports_what_fails_and_exits_with_one(ethanol, capsys, tmp_path):
    options = ("--models", "PT-t", "--out", tmp_path, "--past", 4, "--delta", 2)
    (tmp_path / "bad.npz").write_text("no archive")
    argv = ("table", "--data", f"ethanol={ethanol}", f"bad={tmp_path / 'bad.npz'}", *options)
    code, out, err = estag(capsys, *argv, "--protocol", "blocked")
    assert code == 1 and "1 of 3 cells failed" in err and "blocked" not in err, err
    assert "- (data): failed, " in (tmp_path / "table.md").read_text() and "VAR ridge" in out
    # The published windows begin at frame 10,000.
    code, _, err = estag(capsys, "table", "--data", ethanol, *options)
    assert code == 1 and "1 of 1 cells failed" in err and "need --protocol blocked" in err
