"""Downloads against a server on this machine that does wrong whatever a server can do wrong."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from estag_jax.data.sources.fetch import cache_folder, fetch
from estag_jax.data.trajectory import DataError

CONTENT = np.random.default_rng(0).bytes(300_001)
OTHER = np.random.default_rng(1).bytes(len(CONTENT))
HALF = len(CONTENT) // 2
KEPT = HALF - HALF % 2**13  # what is written is written in pieces of this size
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = dict(timeout=0.2, backoff=0.0, progress=False)


class Server(ThreadingHTTPServer):
    """Answers each request as the next step of ``plan`` says, and well when there is none left."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = []
        self.ranges = []  # the Range header of each request
        self.conditions = []  # and its If-Range
        self.sent = 0
        self.content = CONTENT
        self.etag, self.modified = '"1"', "Mon, 01 Jan 2024 00:00:00 GMT"
        self.resumes = self.honest = True
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.npz"

    def handle_error(self, request, client_address):
        """Clients that hang up are a part of these tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        server.conditions.append(self.headers.get("If-Range"))
        step = server.plan.pop(0) if server.plan else whole
        self.close_connection = True
        step(self)

    def log_message(self, *args):
        pass

    def head(self, length, status=200, **headers):
        self.send_response(status)
        for name, value in (("ETag", self.server.etag), ("Last-Modified", self.server.modified)):
            if value:
                self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, data):
        self.wfile.write(data)
        self.wfile.flush()
        self.server.sent += len(data)

    def start(self):
        """The header of the answer; returns what of the content it is about."""
        server = self.server
        condition = self.headers.get("If-Range")
        current = condition in (None, server.etag, server.modified) or not server.honest
        asked = self.headers.get("Range")
        if not (asked and server.resumes and current):
            self.head(len(server.content))
            return server.content
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(server.content):
            self.head(0, 416, Content_Range=f"bytes */{len(server.content)}")
            return b""
        rest = server.content[first:]
        last = len(server.content) - 1
        self.head(len(rest), 206, Content_Range=f"bytes {first}-{last}/{last + 1}")
        return rest


def whole(handler):
    handler.body(handler.start())


def half(handler):
    data = handler.start()
    handler.body(data[: len(data) // 2])


def half_of_the_rest_without_length(handler):
    first = int(handler.headers["Range"][6:-1])
    handler.head(None, 206, Content_Range=f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.body(CONTENT[first : first + (len(CONTENT) - first) // 2])


def stall(handler):
    half(handler)
    handler.server.released.wait(10)


def reset(handler):
    half(handler)
    time.sleep(0.02)  # what is on its way would be lost too
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def drop(handler):
    pass


def corrupt(handler):
    data = bytearray(handler.start())
    data[len(data) // 2] ^= 1
    handler.body(bytes(data))


def empty(handler):
    handler.head(0)


def page(handler):
    handler.head(6, Content_Type="text/html; charset=utf-8")
    handler.body(b"<html>")


def without_length(handler):
    handler.head(None)
    handler.body(CONTENT)


def chunked(handler):
    handler.head(None, Transfer_Encoding="chunked")
    for part in (CONTENT[:HALF], CONTENT[HALF:], b""):
        handler.body(b"%x\r\n%b\r\n" % (len(part), part))


def chunked_half(handler):
    handler.head(None, Transfer_Encoding="chunked")
    handler.body(b"%x\r\n%b\r\n" % (HALF, CONTENT[:HALF]))


def answer(status):
    def step(handler):
        handler.head(2, status)
        handler.body(b"no")

    return step


def changed(step):
    def change(handler):
        handler.server.content = OTHER
        handler.server.etag = handler.server.etag and '"2"'
        handler.server.modified = handler.server.modified and "Tue, 02 Jan 2024 00:00:00 GMT"
        step(handler)

    return change


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "data.npz"


def left(path):
    """What is in the folder besides the file, its record and the empty lock."""
    known = {path.name, f"{path.name}.sha256", f"{path.name}.lock"}
    return {file.name for file in path.parent.iterdir()} - known


def fails(server, path, words, **options):
    with pytest.raises(DataError, match=words) as error:
        fetch(server.url, path, **QUICK | options)
    assert not path.exists() and "\n" not in str(error.value)
    return str(error.value)


def test_file_is_downloaded_once_and_its_hash_recorded(server, path, capsys):
    assert fetch(server.url, path, timeout=0.2) == path
    assert path.read_bytes() == CONTENT and not left(path)
    assert fetch(server.url, path) == path and server.ranges == [None]
    assert path.with_name("data.npz.sha256").read_text() == f"{SHA256}  data.npz\n"
    checked = subprocess.run(["sha256sum", "-c", "data.npz.sha256"], cwd=path.parent, check=False)
    assert checked.returncode == 0
    assert path.stat().st_mode & 0o077 and "%" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plan", "resumes"),
    [
        ([half], True),
        ([half], False),
        ([stall], True),
        ([reset], True),
        ([drop, drop], True),
        ([answer(500), answer(503), half], True),
        ([half, half, half, half, half, half], True),
        ([half, drop, half, answer(502), half, drop, half], True),
        ([half, half_of_the_rest_without_length], True),
        ([chunked], True),
        ([chunked_half, chunked_half], True),
    ],
)
@pytest.mark.parametrize("sha256", [None, SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest()])
def test_faults_are_overcome(server, path, plan, resumes, sha256):
    server.plan, server.resumes = list(plan), resumes
    fetch(server.url, path, tries=3, sha256=sha256, **QUICK)
    assert path.read_bytes() == CONTENT and not left(path) and not server.plan
    assert path.with_name("data.npz.sha256").exists() == (sha256 is None)


@pytest.mark.parametrize(
    ("etag", "modified", "condition"),
    [
        ('"1"', "Mon, 01 Jan 2024 00:00:00 GMT", '"1"'),
        ('W/"1"', "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT"),
        (None, None, None),
    ],
)
def test_later_call_goes_on_where_the_first_broke_off(server, path, etag, modified, condition):
    server.etag, server.modified = etag, modified
    server.plan = [half, drop]
    fails(server, path, f"{server.url}: .*, in 1 tries in a row; try again later", tries=1)
    assert path.with_name("data.npz.partial").read_bytes() == CONTENT[:KEPT]
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == CONTENT and not left(path)
    assert server.ranges == [None, f"bytes={KEPT}-", f"bytes={KEPT}-"]
    assert server.conditions == [None, condition, condition]
    assert server.sent == len(CONTENT) + HALF - KEPT


@pytest.mark.parametrize("step", [whole, half])
@pytest.mark.parametrize(("etag", "honest"), [('"1"', True), ('"1"', False), (None, True)])
def test_file_that_changes_between_tries_is_not_mixed(server, path, step, etag, honest):
    server.etag, server.honest, server.plan = etag, honest, [half, changed(step)]
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == OTHER and not left(path)


def test_without_validators_the_length_must_agree(server, path):
    server.etag = server.modified = None
    server.plan = [half, drop]
    fails(server, path, "in 1 tries", tries=1)
    server.content = OTHER[:-1]
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == OTHER[:-1]
    assert server.ranges == [None, f"bytes={KEPT}-", f"bytes={KEPT}-", None]


def test_file_on_the_server_shrinks_below_what_is_there(server, path):
    server.plan, server.honest = [half, drop], False
    fails(server, path, "in 1 tries", tries=1)
    server.content = OTHER[:100]
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == OTHER[:100]


def test_partial_file_that_is_complete_needs_no_request(server, path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", lambda a, b, do=os.replace: do(a, b) if ".json" in str(b) else die()
        )
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, path, **QUICK)
    assert not path.exists() and left(path) == {"data.npz.partial", "data.npz.partial.json"}
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == CONTENT and len(server.ranges) == 1 and not left(path)


def test_partial_file_of_unknown_origin_is_not_built_on(server, path):
    path.parent.mkdir()
    path.with_name("data.npz.partial").write_bytes(OTHER[:1000])
    fetch(server.url, path, **QUICK)
    assert path.read_bytes() == CONTENT and server.ranges == [None]
    path.unlink()
    server.plan = [half, drop]
    fails(server, path, "in 1 tries", tries=1)
    fetch(server.url.replace("data", "elsewhere"), path, **QUICK)
    assert path.read_bytes() == CONTENT and server.ranges[-1] is None


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


def test_file_put_there_by_hand_is_taken_without_the_network(path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("http://127.0.0.1:1/none", path) == path
    assert fetch("http://127.0.0.1:1/none", path, sha256=SHA256) == path
    assert path.with_name("data.npz.sha256").read_text().startswith(SHA256)


def test_places_are_tried_in_order(server, path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/data.npz"
    server.plan = [answer(404)]
    with pytest.raises(DataError) as error:
        fetch([closed, "nowhere", server.url], path, tries=2, **QUICK)
    assert f"{closed}: ConnectionRefusedError" in str(error.value)
    assert "nowhere: MissingSchema: Invalid URL 'nowhere'" in str(error.value)
    assert f"{server.url}: the server answers 404" in str(error.value)
    fetch([closed, server.url], path, tries=1, **QUICK)
    assert path.read_bytes() == CONTENT


def test_many_threads_at_once(server, path):
    server.plan = [half, stall]
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(fetch, server.url, path, **QUICK) for _ in range(6)]
        assert all(call.result() == path for call in calls)
    assert path.read_bytes() == CONTENT and not left(path)
    assert len(server.ranges) == 3 and server.sent < len(CONTENT) + 2 * 2**13


def test_processes_at_once_one_of_them_killed(server, path):
    server.plan = [stall]
    code = f"from estag_jax.data.sources.fetch import fetch; fetch({server.url!r}, {str(path)!r}, timeout=20)"
    first = subprocess.Popen([sys.executable, "-c", code])
    limit = time.monotonic() + 60
    while server.sent < HALF and time.monotonic() < limit:
        time.sleep(0.01)
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    time.sleep(0.2)
    first.kill()  # and with it its lock; the next goes on from its half
    first.wait()
    assert [process.wait(60) for process in others] == [0, 0]
    assert path.read_bytes() == CONTENT and not left(path)
    # What the killed process had not yet written is asked for again, and nothing else.
    assert len(server.ranges) == 2 and HALF - 2**14 < int(server.ranges[1][6:-1]) <= HALF


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .*; make room .* ESTAG_DATA") as error:
        fetch(server.url, tmp_path / "file" / "data.npz", **QUICK)
    assert "\n" not in str(error.value)


def test_progress_is_shown_on_a_terminal_only(server, path, monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    fetch(server.url, path, timeout=0.2)
    assert "data.npz" in shown.getvalue() and "100%" in shown.getvalue()


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ESTAG_DATA")
    assert cache_folder().name == "estag_jax" and cache_folder().is_absolute()
