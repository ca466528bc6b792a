"""A server on this machine that serves a folder, or fails as a test asks."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Answers each request as the next step of ``plan`` says, and well when there is none left."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.plan, self.requests = folder, [], []
        self.released = threading.Event()

    @property
    def place(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that hang up are a part of these tests."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        (self.server.plan.pop(0) if self.server.plan else whole)(self)

    def log_message(self, *args):
        pass

    def content(self):
        # The path is a whole address where this server is asked as a proxy.
        path = self.server.folder / self.path.split("/", 3 if "://" in self.path else 1)[-1]
        return path.read_bytes() if path.is_file() else None

    def give(self, body, length=None, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def whole(handler):
    content = handler.content()
    handler.give(content or b"", status=404 if content is None else 200)


def half(handler):
    content = handler.content()
    handler.give(content[: len(content) // 2], len(content))


def stall(handler):
    half(handler)
    handler.server.released.wait(10)


def drop(handler):
    pass


def corrupt(handler):
    handler.give(handler.content()[:-1] + b"?")


def answer(status, body=b"no"):
    return lambda handler: handler.give(body, status=status)
