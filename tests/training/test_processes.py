"""Several real processes over loopback, and simulated devices, train like one device."""

from __future__ import annotations

import os
import shutil
import signal
import time

import numpy as np
import pytest
from helpers.processes import assert_close, begin, codes, logs, trained
from helpers.springs import frames
from helpers.worker import Options, parameters, prepared

from estag_jax.runs import folder
from estag_jax.training.distributed import RESUME

pytestmark = pytest.mark.distributed

EXACT, SINGLE = 1e-10, 1e-5
RUN = [
    *("-m", "estag_jax", "train", "--data", "a.npy", "--model", "ST_EGNN", "--out", "r"),
    *("--window.past", "4", "--window.delta", "2", "--split.train", "23"),
    *("--split.validation", "20", "--split.test", "20", "--train.evaluate-every", "20"),
]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Parameters after three epochs on one device, by whether they are float64."""
    return lambda x64: trained(tmp_path_factory.mktemp("one"), 1, x64=x64)


def test_two_processes_train_like_one_device(tmp_path, x64):
    """A network without a graph, which compiles fast, and with a gradient of more than 4 MiB."""
    loop = prepared(Options("wide", epochs=2))
    loop.run([])
    found = trained(tmp_path, 2, "--model", "wide", "--epochs", 2, x64=True)
    assert_close(found, parameters(loop), EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("x64", [False, True])
def test_all_meshes_train_like_one_device(tmp_path, one, x64):
    alone, tolerance = one(x64), EXACT if x64 else SINGLE
    assert_close(trained(tmp_path / "8", 1, devices=8, x64=x64), alone, tolerance)
    assert_close(trained(tmp_path / "3", 3, x64=x64), alone, tolerance)
    mesh = ("--mesh.data", 2, "--mesh.nodes", 2)
    assert_close(trained(tmp_path / "2x2", 1, *mesh, devices=4, x64=x64), alone, tolerance)
    # The axis of nodes spans processes: both see the same windows.
    assert_close(trained(tmp_path / "1x2", 2, "--mesh.nodes", 2, x64=x64), alone, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [(), ("--mesh.nodes", 2)], ids=["data", "nodes"])
def test_each_process_reads_the_windows_of_its_own_devices(tmp_path, one, mesh):
    found = trained(tmp_path, 2, "--resident", 0, *mesh, x64=True)
    assert_close(found, one(True), EXACT)
    # 23 windows in batches of 7: 4 steps of 7 or, for two devices, 8 windows; once more to compile.
    read = (3 * 4 + 1) * (7 if mesh else 4)
    for log in ("log.0", "log.1"):
        assert f"read {read} windows" in (tmp_path / log).read_text()


@pytest.mark.slow
def test_systems_of_several_sizes_train_in_two_processes(tmp_path):
    argv = "--model", "EGNN", "--bodies", 3, 6
    alone = trained(tmp_path / "1", 1, *argv, x64=True)
    assert_close(trained(tmp_path / "2", 2, *argv, x64=True), alone, EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_a_gradient_of_more_than_4_mib_is_summed_over_processes(tmp_path, count):
    """Large reductions over gloo are reported to be wrong without an error (jax-ml/jax#40830)."""
    argv = "--model", "wide", "--epochs", 1, "--rate", 1
    expected = trained(tmp_path / "one", 1, *argv)["params/wide/kernel"]
    found = trained(tmp_path / "several", count, *argv)["params/wide/kernel"]
    largest = np.abs(expected).max()  # zero at the start
    assert expected.nbytes > 4 * 2**20 and (np.abs(expected) > 1e-3 * largest).mean() > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)


@pytest.mark.slow
def test_a_killed_process_is_noticed_and_the_run_goes_on_bit_for_bit(tmp_path):
    whole = trained(tmp_path / "whole", 2, "--epochs", 4)
    broken = tmp_path / "broken"
    broken.mkdir()
    argv = "-m", "helpers.worker", "--epochs", 4, "--checkpoints"
    ends = codes(broken, begin(broken, 2, *argv, "--kill", 1, 2))
    assert ends == [RESUME, -signal.SIGKILL], logs(broken)
    again = trained(broken, 2, "--epochs", 4, "--checkpoints")
    for name in whole:
        np.testing.assert_array_equal(again[name], whole[name])


@pytest.mark.slow
def test_the_others_give_up_on_a_process_that_hangs(tmp_path):
    argv = "-m", "helpers.worker", "--epochs", 4, "--kill", 1, 2, "--by", "SIGSTOP"
    running = begin(tmp_path, 2, *argv, "--distributed.watchdog", 0.5)
    try:
        assert running[0].wait(400) == RESUME, logs(tmp_path)
    finally:
        for one in running:
            one.kill()
            one.wait()
    said = (tmp_path / "log.0").read_text()
    assert "no epoch ended for 30 s after epoch" in said and "loop.py" in said


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_checkpoint_is_restored_by_another_number_of_processes(tmp_path, before, after):
    whole = trained(tmp_path / "whole", 1, "--epochs", 4, x64=True)
    trained(tmp_path / "run", before, "--epochs", 2, "--checkpoints", x64=True)
    found = trained(tmp_path / "run", after, "--epochs", 4, "--checkpoints", x64=True)
    assert_close(found, whole, EXACT)


MEETING = """
import sys, jax, tyro
from estag_jax.training import distributed as processes
options = tyro.cli(processes.DistributedConfig, args=[a.replace("distributed.", "") for a in sys.argv[1:]])
processes.start(options)
def refuse():
    raise ValueError("the folder is full")
try:
    processes.by_first("begin", refuse)
except ValueError as error:
    print("refused:", error)
try:
    processes.require_same("numbers", lambda: jax.process_index())
except ValueError as error:
    print(error)
processes.barrier("meet")
try:
    if processes.is_first():
        processes.barrier("come")
except processes.Lost as error:
    print("lost:", error)
processes.leave(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [None, "slurm", "ompi", "kubernetes"])
def test_processes_meet_wait_refuse_and_give_up_together(tmp_path, launcher):
    """With the options, or with the environment that a launcher would make."""
    argv = "-c", MEETING, "--distributed.timeout", 10
    running = begin(tmp_path, 2, *argv, launcher=launcher)
    assert codes(tmp_path, running, 60) == [3, 3], logs(tmp_path)
    first, second = ((tmp_path / f"log.{i}").read_text() for i in range(2))
    for log in (first, second):
        assert "refused: the folder is full" in log
        assert "numbers of process(es) 1 differ from those of process 0" in log
    assert "lost: not all processes came to 'come' within 10 s" in first


@pytest.mark.slow
def test_sigterm_on_any_process_saves_and_ends_all_with_resume(tmp_path):
    np.save(tmp_path / "a.npy", frames())
    running = begin(tmp_path, 2, *RUN, "--train.epochs", "9000")
    until = time.monotonic() + 200
    while not folder.read_metrics(tmp_path / "r") and time.monotonic() < until:
        time.sleep(0.1)
    running[1].send_signal(signal.SIGTERM)
    assert codes(tmp_path, running, 60) == [RESUME] * 2, logs(tmp_path)
    for number in range(2):
        last = (tmp_path / f"log.{number}").read_text().splitlines()[-1]
        assert last.startswith("estag: stopped by SIGTERM; epoch ")
    assert "of 9000 is saved, go on with --resume" in last
    reached = int(last.split("epoch ")[1].split()[0])
    assert str(reached) in os.listdir(tmp_path / "r" / "checkpoints")
    running = begin(tmp_path, 2, *RUN, "--train.epochs", str(reached + 20), "--resume")
    assert codes(tmp_path, running) == [0, 0], logs(tmp_path)
    assert folder.read_metrics(tmp_path / "r")[-1]["epoch"] == reached + 20
    assert folder.read_result(tmp_path / "r").rows[-1].status == "finished"
    shutil.rmtree(tmp_path / "r")
