"""Downloads from a server that does wrong: what is overcome, what is given up, and what is left."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time

import numpy as np
import pytest
from helpers.server import answer, corrupt, drop, half, stall

from estag_jax.data.system import DataError
from estag_jax.io import cache_folder
from estag_jax.sources.download import NotThere, fetch

CONTENT = np.random.default_rng(0).bytes(300_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def url(server):
    (server.folder / "data.npz").write_bytes(CONTENT)
    return f"{server.place}/data.npz"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "data.npz"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The seconds between tries, which are not waited for."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def fails(url, path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        fetch(url, path, **dict(timeout=0.2) | options)
    message = str(caught.value)
    assert all(word in message for word in ("data.npz", *words)), message
    assert "\n" not in message and "--read.folder" in message
    assert not path.exists() and not list(path.parent.glob("*"))  # nothing half-written remains


def test_a_file_is_downloaded_once_and_its_hash_recorded(server, url, path, capsys):
    told = []
    assert fetch(url, path, report=lambda *facts: told.append(facts)) == path
    assert path.read_bytes() == CONTENT and fetch(url, path) == path and len(server.requests) == 1
    assert told[-1] == ("data.npz", len(CONTENT), len(CONTENT)) and len(told) > 3
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    checked = subprocess.run(["sha256sum", "-c", "data.npz.sha256"], cwd=path.parent, check=False)
    assert checked.returncode == 0 and path.stat().st_mode & 0o077
    assert {file.name for file in path.parent.iterdir()} == {"data.npz", "data.npz.sha256"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("sha256", [None, SHA256, MD5])
@pytest.mark.parametrize("step", [half, stall, drop, answer(500), answer(503)])
def test_passing_faults_are_overcome(server, url, path, sha256, step):
    server.plan = [step, step]
    fetch(url, path, sha256=sha256, timeout=0.2)
    assert path.read_bytes() == CONTENT and len(server.requests) == 3
    assert path.with_name("data.npz.sha256").exists() == (sha256 is None)


@pytest.mark.parametrize(
    ("step", "words", "tries", "error"),
    [
        (answer(404), "404", 1, NotThere),
        (answer(403), "403", 1, DataError),
        (answer(500), "500", 3, DataError),
        (half, "IncompleteRead", 3, DataError),
        (stall, "in time", 3, DataError),
        (drop, "RemoteDisconnected", 3, DataError),
        (answer(200, b""), "empty", 1, DataError),
        (answer(200, b"\n<!DOCTYPE html><p>"), "web page", 1, DataError),
    ],
)
def test_what_is_given_up(server, url, path, pauses, step, words, tries, error):
    server.plan = [step] * 9
    fails(url, path, url, words, str(path), error=error)
    assert len(server.requests) == tries and pauses == list(range(1, tries))


@pytest.mark.parametrize("known", [SHA256, MD5])
def test_wrong_hash(server, url, path, known):
    server.plan = [corrupt] * 3
    fails(url, path, known.removeprefix("md5:"), sha256=known)
    server.plan = [corrupt]
    fetch(url, path, sha256=known)
    path.write_bytes(b"altered, but what it should be can be had again")
    fetch(url, path, sha256=known)
    assert path.read_bytes() == CONTENT


def test_altered_file_without_a_published_hash(server, url, path):
    fetch(url, path)
    record = path.with_name("data.npz.sha256")
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=f"altered.*{SHA256}.*delete"):
        fetch(url, path)
    path.unlink()
    (server.folder / "data.npz").write_bytes(b"other")
    with pytest.raises(DataError, match=f"{SHA256}.*on purpose, delete {record}"):
        fetch(url, path)
    record.unlink()
    assert fetch(url, path).read_bytes() == b"other"
    record.write_text("nonsense")
    with pytest.raises(DataError, match="sha256.*nonsense.*delete"):
        fetch(url, path)


def test_a_file_put_there_by_hand_needs_no_network(path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("http://127.0.0.1:1/none", path, sha256=SHA256) == path
    assert fetch("http://127.0.0.1:1/none", path) == path
    assert path.with_name("data.npz.sha256").read_text().startswith(SHA256)


def test_places_are_tried_in_order(server, url, path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/data.npz"
    server.plan = [answer(404)]
    fails([closed, "nowhere", url], path, f"{closed}: ConnectionRefused", "nowhere: ", "404")
    assert fetch([closed, url], path).read_bytes() == CONTENT


def test_offline_is_given_up_at_once(path, pauses, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    fails("http://data.invalid/data.npz", path, "data.invalid", "resolved", "online")
    assert not pauses


def test_a_proxy_is_asked(server, url, path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.place)
    assert fetch("http://data.invalid/data.npz", path).read_bytes() == CONTENT
    assert server.requests == ["http://data.invalid/data.npz"]


def test_a_folder_that_cannot_be_written(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/data\.npz: cannot be written .*ESTAG_DATA"):
        fetch(url, tmp_path / "file" / "data.npz")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ESTAG_DATA")
    assert cache_folder().name == "estag_jax" and cache_folder().is_absolute()
