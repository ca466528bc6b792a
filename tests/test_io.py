"""Files whole or not at all, and words for messages."""

from __future__ import annotations

import json
import os

import pytest

from estag_jax.io import (
    FileError,
    did_you_mean,
    printable,
    read_json,
    slug,
    write_atomic,
    write_json,
    write_text,
)


class OtherError(ValueError):
    pass


def test_a_file_appears_whole_and_its_folder_with_it(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "first ü\n")
    names = []
    write_atomic(path, lambda partial: (names.append(partial), partial.write_text("second")))
    assert path.read_text() == "second" and os.listdir(path.parent) == ["a.txt"]
    assert names[0].parent == path.parent and str(os.getpid()) in names[0].name


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, kind):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(partial):
        partial.write_text("half")
        raise kind

    with pytest.raises(kind):
        write_atomic(path, write)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file/a.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, 2.5, None, "é"]})
    assert read_json(path) == json.loads(path.read_text()) == {"a": [1, 2.5, None, "é"]}
    with pytest.raises(ValueError):
        write_json(path, float("nan"))
    assert read_json(path)["a"][0] == 1
    path.write_text("{")
    with pytest.raises(OtherError, match="a.json: is not JSON"):
        read_json(path, OtherError)
    path.write_bytes(b"\xff")
    with pytest.raises(FileError, match="a.json: is not JSON"):
        read_json(path)
    with pytest.raises(FileError, match="none: there is no such file"):
        read_json(tmp_path / "none")


def test_what_is_no_letter_is_escaped():
    assert printable("Å × 分子 a b") == "Å × 分子 a b"
    assert printable("\x1b[2J\n\tx\u202e") == r"\x1b[2J\n\tx\u202e"
    assert printable(os.fsdecode(b"bad\xff.npz")) == r"bad\xff.npz"


def test_words():
    assert did_you_mean("trian", ["train", "table"]) == ", did you mean 'train'?"
    assert did_you_mean("zzz", {"train": 1}) == ""
    assert slug("md17:aspirin, a/b") == "md17_aspirin_a_b" and slug("../") == "data"
    assert len(slug("x" * 200)) == 80 and "/" not in slug("/a/b")
