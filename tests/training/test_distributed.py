"""How processes find each other and stop, without starting any."""

import re
import signal
import threading
import types

import jax
import pytest
from helpers.springs import task, training

from estag_jax.config import to_dict
from estag_jax.models.eqmotion import EqMotionConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.ops.sharding import device_mesh
from estag_jax.runs.run import _comparable
from estag_jax.runs.settings import RunConfig
from estag_jax.training import distributed, interrupts
from estag_jax.training.distributed import RESUME, DistributedConfig, Watchdog
from estag_jax.training.loop import Loop
from estag_jax.training.settings import MeshConfig, TrainConfig


def options(environ=None, **given):
    return distributed._options(DistributedConfig(**given), environ or {})


def test_options_are_given_or_come_from_the_launcher():
    explicit = dict(coordinator="a:1", num_processes=2, process_id=1)
    assert options(**explicit) == {
        "coordinator_address": "a:1",
        "num_processes": 2,
        "process_id": 1,
        "cluster_detection_method": "deactivate",
    }
    found = options(
        {"JOB_COMPLETION_INDEX": "3"}, **explicit | dict(launcher="kubernetes", process_id=None)
    )
    assert found["process_id"] == 3
    assert options(launcher="slurm")["cluster_detection_method"] == "slurm"
    assert "cluster_detection_method" not in options(launcher="auto")


def test_missing_options_are_named():
    with pytest.raises(
        ValueError, match="without distributed.num-processes, distributed.process-id"
    ):
        options(coordinator="a:1")
    with pytest.raises(ValueError, match="JOB_COMPLETION_INDEX is not set"):
        options(launcher="kubernetes", coordinator="a:1", num_processes=2)


def test_devices_are_counted():
    distributed._check_devices(DistributedConfig(devices=jax.device_count(), num_processes=1))
    for wrong in ({"devices": jax.device_count() + 1}, {"num_processes": 2}):
        with pytest.raises(ValueError, match="expected .*--gres=gpu:N"):
            distributed._check_devices(DistributedConfig(**wrong))


def test_one_process_alone_waits_for_nobody():
    distributed.start(DistributedConfig())
    assert not distributed.active() and distributed.is_first()
    called = []
    distributed.by_first("anything", lambda: called.append(1))
    distributed.barrier("anything")
    distributed.require_same("anything", lambda: pytest.fail("looked at"))
    assert called == [1]


def test_a_signal_elsewhere_stops_this_process_too(monkeypatch):
    monkeypatch.setattr(interrupts, "agree", lambda number: max(number, signal.SIGTERM))
    with pytest.raises(interrupts.Interrupted) as stop, interrupts.held():
        interrupts.check()
    assert stop.value.number == signal.SIGTERM


def test_the_watchdog_writes_stacks_and_asks_to_be_started_again(capfd):
    ended, found = threading.Event(), []
    dog = Watchdog(0.2 / 60, lambda code: (found.append(code), ended.set()))
    dog.begin(types.SimpleNamespace(epoch=7))
    assert ended.wait(20) and found == [RESUME]
    said = capfd.readouterr().err
    assert "no epoch ended for 0.2 s after epoch 7" in said and re.search(r"File .*threading", said)


def test_the_watchdog_is_content_while_epochs_end():
    class Loop:
        asked = 0

        @property
        def epoch(self):
            self.asked += 1
            if self.asked > 30:
                dog.end(self)
            return self.asked

    dog = Watchdog(0.04 / 60, lambda code: pytest.fail("ended"))
    dog._watch(Loop())


def test_a_mesh_has_devices():
    count = jax.device_count()
    assert dict(device_mesh().shape) == {"data": count, "nodes": 1}
    assert dict(device_mesh(1, count).shape) == {"data": 1, "nodes": count}
    for wrong in ((count + 1, 1), (None, 2 * count), (1, count + 1)):
        with pytest.raises(ValueError, match=rf"does not fit {count} device\(s\)"):
            device_mesh(*wrong)
    with pytest.raises(ValueError, match="mesh.nodes is 0"):
        MeshConfig(nodes=0)


def test_a_run_goes_on_on_other_devices():
    one, other = (
        RunConfig(train=TrainConfig(mesh=mesh)) for mesh in (MeshConfig(), MeshConfig(4, 2))
    )
    assert to_dict(one) != to_dict(other) and _comparable(one) == _comparable(other)


def test_what_cannot_be_split_is_refused(monkeypatch):
    mesh = types.SimpleNamespace(shape={"data": 1, "nodes": 2})
    monkeypatch.setattr("estag_jax.training.loop.device_mesh", lambda *shape: mesh)
    for method, bodies in ((EqMotionConfig(), 3), (EstagConfig(), (3, 5))):
        with pytest.raises(ValueError, match="mesh.nodes is 2, but .* cannot be split"):
            Loop("it", method, task(bodies), (1,), training())
