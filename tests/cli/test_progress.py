"""What is shown of a long fit: nothing unless asked, and lines now and then off a terminal."""

import numpy as np
from helpers.walks import random_windows, task_of

from estag_jax.cli import progress
from estag_jax.cli.progress import Display
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.io import reporting, reporting_as, tell
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.training.fit import fit


def test_closed_forms_tell_their_stages_to_whom_listens(capsys):
    told, task = [], task_of(random_windows(30, 3, 4))
    method = FrameKernel(steps=(2, 1))
    fit(method, task)
    with reporting(lambda *stage: told.append(stage)):
        evaluate(fit(method, task, label="kernel"), task)
    assert {what for what, *_ in told} == {"kernel"}
    stages = list(dict.fromkeys(stage for *_, stage in told))
    assert stages.index("weights") < stages.index("coefficients") < stages.index("test windows")
    assert all(0 <= done <= total for _, done, total, _ in told)
    assert told[-1][1] == told[-1][2] == task.count("test")
    before = len(told)
    fit(method, task)
    assert len(told) == before and capsys.readouterr() == ("", "")


def test_the_outermost_name_holds():
    told = []
    with reporting(lambda *stage: told.append(stage)), reporting_as("data: method"):
        with reporting_as("method"):
            tell("scales", 1, 2)
        tell("windows", 3, 4)
    assert told == [("data: method", 1, 2, "scales"), ("data: method", 3, 4, "windows")]


def test_lines_off_a_terminal_are_seconds_apart(capsys, monkeypatch):
    now = iter(np.arange(0.0, 60.0, 0.5))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Display() as shown:
        for done in range(1, 26):
            shown.stage("fit", done, 25, "scales")
        shown.stage("quick", 1, 1, "scales")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"fit: {done} of 25, scales" for done in (11, 21)]


def test_a_bar_on_a_terminal_starts_again_with_each_stage(monkeypatch):
    now = iter(np.arange(0.0, 1000.0, 3.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    shown = Display()
    shown.disable = False
    shown.stage("fit", 1, 5, "scales")
    assert not shown.tasks
    for done, total, stage in ((4, 5, "scales"), (2, 13, "coefficients")):
        shown.stage("fit", done, total, stage)
        (bar,) = shown.tasks
        assert (bar.completed, bar.total, bar.fields["figures"]) == (done, total, stage)
