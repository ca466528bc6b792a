"""A disk that is full, over quota, read-only or failing, or a folder that is gone: one line, nothing lost."""

import errno
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.springs import config, frames

import estag_jax
from estag_jax.io import FileError, write_json
from estag_jax.runs import folder
from estag_jax.runs.folder import RunError
from estag_jax.runs.run import train
from estag_jax.training.callbacks import Callback

REMEDIES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "larger quota",
    errno.EROFS: "permit writing",
    errno.EACCES: "permit writing",
    errno.EIO: "check the disk",
    errno.ENOENT: "put it back",
}


@pytest.mark.parametrize(
    ("number", "operation"),
    [(errno.ENOSPC, "mkdir"), *((number, "replace") for number in REMEDIES)],
)
def test_a_file_that_cannot_be_written_says_why_and_what_helps(
    number, operation, tmp_path, monkeypatch
):
    path = tmp_path / "sub" / "a.json"
    write_json(path, 1)

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"estag_jax.io.os.{operation}", fails)
    with pytest.raises(FileError) as error:
        write_json(path if operation == "replace" else tmp_path / "other" / "a.json", 2)
    message = str(error.value)
    assert "a.json: cannot be written" in message and "\n" not in message
    assert os.strerror(number) in message and REMEDIES[number] in message, message
    assert path.read_text() == "1\n" and os.listdir(path.parent) == ["a.json"]


def test_a_file_that_grows_beyond_a_limit_of_the_system(tmp_path):
    """ulimit -f: half of the file is written, and taken away again."""
    code = (
        "import resource, signal, sys; from estag_jax.io import write_text;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**4, 10**4)); write_text(sys.argv[1], 'x' * 10**5)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "a.txt: cannot be written (File too large); raise the limit" in ended.stderr
    assert not os.listdir(tmp_path)


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    names = [f"a.json.{ended}-1.partial", f"a.json.{os.getpid()}-1.partial", "b.json.1-1.partial"]
    for name in (*names, "a.json.partial"):
        (tmp_path / name).touch()
    write_json(tmp_path / "a.json", 1)
    assert sorted(os.listdir(tmp_path)) == sorted(["a.json", "a.json.partial", *names[1:]])


@pytest.mark.parametrize("what", ["deleted", "a file"])
def test_a_run_whose_folder_is_gone(what, springs, tmp_path):
    out = tmp_path / "run"

    class Gone(Callback):
        def evaluated(self, loop, evaluation):
            shutil.rmtree(out)
            if what == "a file":
                out.touch()

    with pytest.raises((RunError, FileError)) as error:
        train(config(springs, epochs=6), out, callbacks=[Gone()])
    message = str(error.value)
    assert message.startswith(f"{out}/") and "its folder is" in message and "\n" not in message
    if what == "deleted":
        assert not out.exists()  # nothing that would pass for a run


ENDS = """
mount -t tmpfs -o size=2m tmpfs out
{train} --train.epochs 1 || exit 3
{spoil}
{train} --train.epochs 3 --resume 2>&1 | grep ^estag: >said
{mend}
{train} --train.epochs 3 --resume || exit 4
cp -r out/r kept
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "mend", "words"),
    [
        ("cat /dev/zero >out/filler 2>/dev/null", "rm out/filler", "No space left .*; free space"),
        ("mount -o remount,ro out", "mount -o remount,rw out", "Read-only .*; permit writing"),
    ],
)
def test_a_disk_of_its_own(spoil, mend, words, tmp_path):
    """A file system in memory that is really full, or read-only; afterwards the run goes on bit for bit."""
    space = [shutil.which("unshare") or "unshare", "-rm", "sh", "-c"]
    (tmp_path / "out").mkdir()
    if subprocess.run([*space, "mount -t tmpfs tmpfs out"], cwd=tmp_path).returncode:
        pytest.skip("needs unshare and a user who may mount a tmpfs of his own")
    np.save(tmp_path / "a.npy", frames())
    train = (
        f"{sys.executable} -m estag_jax train --data a.npy --model ESTAG-without-layers --window.past 4 "
        "--window.delta 2 --split.train 23 --split.validation 20 --split.test 20 --train.evaluate-every 1"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = ENDS.format(train=f"{train} --out out/r", spoil=spoil, mend=mend)
    subprocess.run([*space, script], cwd=tmp_path, env=environment, check=True)
    (line,) = (tmp_path / "said").read_text().splitlines()
    assert re.search(f"out/r.* cannot be written .{words}", line), line
    straight = f"{train} --out whole --train.epochs 3"
    subprocess.run(straight.split(), cwd=tmp_path, env=environment, check=True)
    one, other = (
        estag_jax.load(tmp_path / name).predictor.to_arrays() for name in ("kept", "whole")
    )
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert [line["epoch"] for line in folder.read_metrics(tmp_path / "kept")] == [1, 2, 3]
