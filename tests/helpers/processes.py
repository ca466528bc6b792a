"""Processes on this machine that train together, or one with several simulated devices."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from helpers.paths import ROOT


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment(devices=1, x64=False):
    return os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false",
        "JAX_ENABLE_X64": str(int(x64)),
        "OMP_NUM_THREADS": "1",
    }


def begin(folder, count, *argv, devices=1, x64=False):
    """Starts processes of a Python command that ends with where they meet; output goes to FOLDER/log.N."""
    meeting = f"127.0.0.1:{free_port()}"
    running = []
    for number in range(count):
        where = ()
        if count > 1:
            where = (
                "--distributed.coordinator",
                meeting,
                "--distributed.num-processes",
                count,
                "--distributed.process-id",
                number,
            )
        command = [sys.executable, *map(str, (*argv, *where))]
        with (Path(folder) / f"log.{number}").open("w") as log:
            running.append(
                subprocess.Popen(
                    command, cwd=folder, env=environment(devices, x64), stdout=log, stderr=log
                )
            )
    return running


def logs(folder):
    """What every process wrote."""
    parts = (
        f"--- {path.name}\n{path.read_text()[-4000:]}" for path in sorted(folder.glob("log.*"))
    )
    return "\n".join(parts)


def codes(folder, running, seconds=400):
    """The exit codes; processes that do not end in time are killed, and every log is shown."""
    until = time.monotonic() + seconds
    try:
        return [one.wait(max(0.1, until - time.monotonic())) for one in running]
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not ended after {seconds} s\n{logs(folder)}") from None
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait()


def trained(folder, count, *argv, devices=1, x64=False):
    """Parameters by name after helpers.worker has trained in so many processes, equal in all of them."""
    folder.mkdir(exist_ok=True)  # a folder that is there may hold checkpoints
    running = begin(folder, count, "-m", "helpers.worker", *argv, devices=devices, x64=x64)
    found = codes(folder, running)
    assert found == [0] * count, f"exit codes {found}\n{logs(folder)}"
    first, *others = (dict(np.load(folder / f"parameters.{i}.npz")) for i in range(count))
    for other in others:
        for name in first:
            np.testing.assert_array_equal(other[name], first[name])
    return first


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=tolerance, err_msg=name
        )
