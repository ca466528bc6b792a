"""Checkpoints that are damaged: what is whole is gone on from, and nothing is lost without a word."""

from __future__ import annotations

import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.runs import folder
from estag_jax.runs.checkpoint import Checkpoints
from estag_jax.runs.folder import RunError
from estag_jax.training.step import TrainState


class Loop:
    """What checkpoints see of a training: a state that is a function of the epoch."""

    def __init__(self):
        self.log, self.losses = [], []
        self.seconds = {"train": 0.0}
        self.best_epoch, self.best_error = np.zeros(1, int), np.full(1, np.inf)
        self.frozen = np.zeros(1, bool)
        self.at(0)

    def at(self, epoch):
        """The state after an epoch, evaluated."""
        values = jnp.arange(4, dtype=jnp.float32)[None] * epoch / 3
        self.epoch, self.best = epoch, {"params": {"w": values + 1}}
        self.state = TrainState({"params": {"w": values}}, {"mu": values - 1})
        self.log = [{"epoch": k} for k in range(2, epoch + 1, 2)]
        return self

    def restore(self, **saved):
        for name, value in saved.items():
            setattr(self, name, value)


def resumed(path):
    loop, checkpoints = Loop(), Checkpoints(path, {"made": "so"})
    try:
        checkpoints.begin(loop)
    finally:
        checkpoints.end(loop)
    return loop


@pytest.fixture
def path(tmp_path):
    checkpoints, loop = Checkpoints(tmp_path / "checkpoints", {"made": "so"}), Loop()
    checkpoints.begin(loop)
    for epoch in (2, 4, 6):
        checkpoints.evaluated(loop.at(epoch), {})
    checkpoints.end(loop)
    return tmp_path / "checkpoints"


def test_what_a_process_killed_at_its_last_save_left_is_removed(path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sums = folder.sums_of(path)
    left, mine = (sums.with_name(f"{name}.{ended.pid}-7.partial") for name in (sums.name, "notes"))
    for file in (left, mine):
        file.write_text("half")
    assert resumed(path).epoch == 6 and mine.exists() and not left.exists()


def flipped(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def each(pattern, change):
    def damage(step):
        files = [file for file in step.rglob(pattern) if file.is_file()]
        assert files
        for file in files:
            change(file)

    return damage


DAMAGE = {
    "an array cut": each("opt_state/d/*", lambda f: f.write_bytes(f.read_bytes()[:10])),
    "a bit flipped": each("variables/d/*", flipped),
    "its facts emptied": each("metrics/metrics", lambda f: f.write_text("")),
    "its facts altered": each("metrics/metrics", lambda f: f.write_text('{"epoch": 60}')),
    "no mark of success": each("commit_success.txt", lambda f: f.unlink()),
    "all files gone": each("*", lambda f: f.unlink()),
    "a file in its place": lambda step: (shutil.rmtree(step), step.write_text("")),
}


def same(loop, epoch):
    expected = Loop().at(epoch)
    assert loop.epoch == epoch and loop.log == expected.log
    trees = ((one.state, one.best) for one in (loop, expected))
    for one, other in zip(*map(jax.tree.leaves, trees), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_one_before_a_damaged_checkpoint_is_taken(path, kind, capfd):
    DAMAGE[kind](path / "6")
    same(resumed(path), 4)
    err = capfd.readouterr().err
    assert (
        err.count("\n") == 1 and f"{path}/6: is damaged" in err and "going on from epoch 4" in err
    )
    checkpoints, loop = Checkpoints(path, {"made": "so"}), Loop()
    checkpoints.begin(loop)
    checkpoints.evaluated(loop.at(6), {})  # which is in no one's way
    checkpoints.end(loop)
    same(resumed(path), 6)
    assert not capfd.readouterr().err and sorted(p.name for p in path.parent.iterdir()) == [
        "checkpoints",
        "checkpoints.sums",
    ]


def test_without_sums_a_whole_checkpoint_is_taken(path):
    (path.parent / "checkpoints.sums").unlink()  # killed before they were written
    same(resumed(path), 6)
    shutil.rmtree(path / "metadata")
    same(resumed(path), 6)


def test_nothing_is_begun_anew_without_a_word(path):
    for step in ("4", "6"):
        DAMAGE["an array cut"](path / step)
    before = sorted(path.iterdir())
    with pytest.raises(
        RunError, match=r"checkpoints/\d: cannot be restored .*--overwrite"
    ) as error:
        resumed(path)
    assert "\n" not in str(error.value) and sorted(path.iterdir()) == before


def test_no_line_of_the_log_is_lost(tmp_path):
    for epoch in (2, 4, 6):
        folder.append_metrics(tmp_path, {"epoch": epoch, "seconds": 1.5})
    log = [{"epoch": 2, "seconds": 1.5}]
    folder.begin_metrics(tmp_path, log)
    assert folder.read_metrics(tmp_path) == log
    earlier = (tmp_path / folder.EARLIER).read_text()
    assert '"epoch": 4' in earlier and '"epoch": 6' in earlier
    with (tmp_path / folder.METRICS).open("a") as file:
        file.write('{"epoch": 4}\n')
    with pytest.raises(
        RunError, match="was trained for 4 epochs and has no checkpoint.*--overwrite"
    ):
        folder.begin_metrics(tmp_path, [])
    assert len(folder.read_metrics(tmp_path)) == 2
