"""Processes on this machine that train together, or one with several simulated devices."""

from __future__ import annotations

import itertools
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


def begin(folder, count, *argv, devices=1, x64=False, launcher=None):
    """Starts processes of a Python command that is told where they meet; output goes to FOLDER/log.N.

    Options tell it, or the environment that a launcher would make.
    """
    port, running = free_port(), []
    for number in range(count):
        told = {
            "coordinator": f"127.0.0.1:{port}",
            "num-processes": count,
            "process-id": number,
        }
        variables = {}
        if launcher:
            variables = {"JAX_COORDINATOR_PORT": str(port)} | _launched(launcher, count, number)
            told = {"launcher": launcher} | (told if launcher == "kubernetes" else {})
            told.pop("process-id", None)
        where = [(f"--distributed.{name}", value) for name, value in told.items() if count > 1]
        command = [sys.executable, *map(str, (*argv, *itertools.chain(*where)))]
        with (Path(folder) / f"log.{number}").open("w") as log:
            running.append(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment(devices, x64) | variables,
                    stdout=log,
                    stderr=log,
                )
            )
    return running


def _launched(launcher, count, number):
    """The variables by which a process knows its place."""
    found = {
        "slurm": {
            "SLURM_JOB_ID": 7,
            "SLURM_STEP_NODELIST": "127.0.0.1",
            "SLURM_NTASKS": count,
            "SLURM_PROCID": number,
            "SLURM_LOCALID": number,
        },
        "ompi": {
            "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
            "OMPI_COMM_WORLD_SIZE": count,
            "OMPI_COMM_WORLD_RANK": number,
            "OMPI_COMM_WORLD_LOCAL_RANK": number,
        },
        "kubernetes": {"JOB_COMPLETION_INDEX": number},
    }[launcher]
    return {name: str(value) for name, value in found.items()}


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
