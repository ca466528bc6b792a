"""Downloads from a server that does wrong: what is given up, and what is said about it."""

from __future__ import annotations

import hashlib
import time

import pytest
from helpers.fetch import (
    CONTENT,
    OTHER,
    QUICK,
    SHA256,
    answer,
    changed,
    chunked_half,
    corrupt,
    drop,
    empty,
    fails,
    half,
    left,
    page,
    stall,
    whole,
    without_length,
)

from estag_jax.data.trajectory import DataError
from estag_jax.sources.fetch import fetch

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.mark.parametrize(
    ("step", "words", "requests"),
    [
        (answer(404), "the server answers 404 Not Found;", 1),
        (answer(403), "the server answers 403 Forbidden;", 1),
        (answer(202), "the server answers 202 Accepted;", 1),
        (answer(500), "answers 500 Internal Server Error, in 2 tries in a row;", 2),
        (drop, "RemoteDisconnected: .*, in 2 tries in a row", 2),
        (empty, "sends an empty file", 1),
        (page, "sends a web page and not the file", 1),
        (without_length, "does not say how long the file is", 1),
    ],
)
def test_server_that_does_not_give_the_file(server, path, step, words, requests):
    server.plan = [step] * 9
    message = fails(server, path, words, tries=2)
    assert len(server.ranges) == requests and not left(path)
    assert message.startswith(f"data.npz cannot be downloaded: {server.url}: ")
    assert message.endswith(f"name its folder as --read.folder or put it at {path}")


@pytest.mark.parametrize(
    ("step", "words", "requests"),
    [
        # The server starts over each time, so no try comes further than the first.
        (half, "the connection broke off, in 2 tries in a row", 3),
        (stall, "nothing came for 0.2 s, in 2 tries in a row", 3),
        (chunked_half, "the connection broke off, in 2 tries in a row", 3),
    ],
)
def test_given_up_when_no_try_comes_further(server, path, step, words, requests):
    server.plan, server.resumes = [step] * 9, False
    fails(server, path, words, tries=2)
    assert len(server.ranges) == requests


def test_pauses_grow(server, path, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.plan = [answer(503)] * 9
    fails(server, path, "503", tries=4, backoff=0.5)
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("sha256", [SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest()])
def test_wrong_checksum(server, path, sha256):
    server.plan = [corrupt]
    damaged = bytearray(CONTENT)
    damaged[len(CONTENT) // 2] ^= 1
    came = (hashlib.md5 if ":" in sha256 else hashlib.sha256)(damaged).hexdigest()
    fails(server, path, f"expected {sha256} but got {came}.*try again later", sha256=sha256)
    assert not left(path)
    fetch(server.url, path, sha256=sha256, **QUICK)
    path.write_bytes(OTHER)  # altered, but what it should be can be had again
    fetch(server.url, path, sha256=sha256, **QUICK)
    assert path.read_bytes() == CONTENT and len(server.ranges) == 3


def test_altered_file_without_published_checksum(server, path):
    fetch(server.url, path, **QUICK)
    path.write_bytes(OTHER)
    words = f"{path}: was altered, its SHA-256 is .* and was {SHA256} .*; delete it to download it"
    with pytest.raises(DataError, match=words):
        fetch(server.url, path, **QUICK)
    path.unlink()
    server.plan = [changed(whole)]
    fails(server, path, f"expected {SHA256}.*on purpose, delete {path}.sha256; try again later")
    record = path.with_name("data.npz.sha256")
    record.unlink()
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == OTHER
    record.write_text("nonsense")
    with pytest.raises(DataError, match="sha256: 'nonsense' is no line of sha256sum; delete this"):
        fetch(server.url, path, **QUICK)


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .*; make room .* ESTAG_DATA") as error:
        fetch(server.url, tmp_path / "file" / "data.npz", **QUICK)
    assert "\n" not in str(error.value)
