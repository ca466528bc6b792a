"""Downloads from a server that does wrong: faults are overcome, and what is there is built on."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.fetch import (
    CONTENT,
    HALF,
    KEPT,
    OTHER,
    QUICK,
    SHA256,
    answer,
    changed,
    chunked,
    chunked_half,
    drop,
    fails,
    half,
    half_of_the_rest_without_length,
    left,
    reset,
    stall,
    whole,
)

from estag_jax.data.trajectory import DataError
from estag_jax.sources.fetch import cache_folder, fetch

pytestmark = pytest.mark.usefixtures("no_proxy")


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
    code = f"from estag_jax.sources.fetch import fetch; fetch({server.url!r}, {str(path)!r}, timeout=20)"
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
