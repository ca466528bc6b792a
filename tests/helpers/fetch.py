"""A server on this machine that does wrong whatever a server can do wrong."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from estag_jax.data.trajectory import DataError
from estag_jax.sources.fetch import fetch

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


def left(path):
    """What is in the folder besides the file, its record and the empty lock."""
    known = {path.name, f"{path.name}.sha256", f"{path.name}.lock"}
    return {file.name for file in path.parent.iterdir()} - known


def fails(server, path, words, **options):
    with pytest.raises(DataError, match=words) as error:
        fetch(server.url, path, **QUICK | options)
    assert not path.exists() and "\n" not in str(error.value)
    return str(error.value)
