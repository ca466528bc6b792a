"""A headless Chromium that is told what to do over a pipe (the DevTools protocol), and its complaints."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --remote-debugging-pipe"
).split()


class Browser:
    """One page; use it as a context."""

    def __init__(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("needs chromium (Debian's package chromium), which is not installed")
        self.folder, self.number, self.faults = tempfile.mkdtemp(), 0, []
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()

        # The program reads its third file and writes its fourth; preexec_fn would fork beside jax's threads.
        self.process = subprocess.Popen(
            [
                "sh",
                "-c",
                f'exec "$@" 3</proc/self/fd/{to_read} 4>/proc/self/fd/{to_write}',
                "sh",
                program,
                *FLAGS,
            ]
            + [f"--user-data-dir={self.folder}", "about:blank"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read), os.close(to_write)
        self.rest, self.session = b"", None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.to), os.close(self.of)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, method, **params):
        """The answer to a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, seconds=120):
        while b"\0" not in self.rest:
            assert select.select([self.of], [], [], seconds)[0], "chromium does not answer"
            part = os.read(self.of, 1 << 16)
            assert part, "chromium has ended"
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        answer = json.loads(text)
        method, params = answer.get("method"), answer.get("params", {})
        if method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        ):
            self.faults.append(params)
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.faults.append(params)
        if method == "Network.requestWillBeSent" and params["request"]["url"].startswith("http"):
            self.faults.append(params)
        return answer

    def open(self, path, width=1100, height=900, dark=False, phone=False):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self("Page.navigate", url=f"file://{path}")
        self.until("document.readyState === 'complete'")
        self.until("[...document.querySelectorAll('.viewer')].every(v => v.viewer)")

    def run(self, code):
        """The value of an expression of JavaScript."""
        found = self("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, code, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, f"still not: {code}"
            time.sleep(0.02)

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 else "")

    def drag(self, x, y, dx, dy):
        self("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        at = {"x": x + dx, "y": y + dy}
        self("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at)
        self("Input.dispatchMouseEvent", type="mouseReleased", button="left", **at)

    def touch(self, *steps):
        """Fingers at places [(x, y), …] of each step, then none."""
        for number, places in enumerate(steps):
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
            kind = "touchMove" if number else "touchStart"
            self("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def picture(self, path, whole=False):
        data = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
