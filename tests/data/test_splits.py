"""Splits: parts are a window apart, follow published rules, and leave out missing frames."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.windows import runs, windows_drawn, windows_of_all_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data.settings import SplitConfig
from estag_jax.data.splits import overlap, split
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import PublishedTrials
from estag_jax.data.windows import WindowConfig, frames_of, starts


@settings(deadline=None)
@given(
    st.lists(st.integers(30, 400), min_size=1, max_size=3),
    windows_drawn,
    st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_blocked_split_keeps_parts_a_window_apart(lengths, config, fractions):
    wanted = SplitConfig(train=20, validation=7, test=7, fractions=fractions)
    try:
        parts = split(runs(*lengths), config, wanted)
    except DataError as error:
        needed = int(str(error).split("at least ")[1].split(";")[0])
        assert min(lengths) < needed
        split(runs(needed), config, wanted)
        with pytest.raises(DataError, match=f"has {needed - 1} frames, .* at least {needed}"):
            split(runs(needed - 1), config, wanted)
        return
    assert overlap(parts, config)["test"] == {"count": 0, "share": 0.0}
    everything = split(runs(*lengths), config, dataclasses.replace(wanted, train=9**9, test=9**9))
    np.testing.assert_array_equal(everything.train[: len(parts.train)], parts.train)
    np.testing.assert_array_equal(everything.validation, parts.validation)
    assert set(np.concatenate([everything.train, everything.test])) <= set(starts(lengths, config))
    begin = 0
    for length in lengths:
        blocks = []
        for part in (everything.train, parts.validation, everything.test):
            inside = part[(part >= begin) & (part < begin + length)]
            assert len(np.unique(inside)) == len(inside)
            if len(inside):
                blocks.append((inside.min(), inside.max() + config.span))
        for (_, last), (first, _) in zip(blocks, blocks[1:], strict=False):
            assert first - last - 1 >= config.span
        begin += length


def test_blocked_split_of_60000_frames():
    parts = split(runs(60000), WindowConfig(), SplitConfig())
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [500, 2000, 2000]
    again = split(runs(60000), WindowConfig(), SplitConfig(seed=1))
    assert parts.train.tolist() != again.train.tolist() != sorted(again.train.tolist())


def test_paper_split_is_the_legacy_draw():
    parts = split(runs(60000), WindowConfig(), SplitConfig("paper"))
    pool = 60000 - 1 - 20000
    np.random.seed(100)
    train = np.random.choice(np.arange(pool), int(0.1 * pool), replace=False)
    left = sorted(set(range(pool)) - set(train))
    validation = np.random.choice(left, int(0.05 * pool), replace=False)
    left = sorted(set(left) - set(validation))
    test = np.random.choice(left, int(0.05 * pool), replace=False)
    for part, drawn, count in (
        (parts.train, train[:500], 500),
        (parts.validation, validation[:2000], 1999),
        (parts.test, test[:2000], 1999),
    ):
        np.testing.assert_array_equal(part, 10000 + drawn)
        assert len(part) == count and part.dtype == np.int64
    assert parts.kind == "paper"


def test_overlap_against_brute_force():
    config = WindowConfig(3, 2)
    parts = split(runs(400), config, SplitConfig("paper", train=20, margin=10))
    used = {s + 2 * k for s in parts.train for k in range(4)}
    for name, report in overlap(parts, config).items():
        windows = getattr(parts, name)
        count = sum(any(s + 2 * k in used for k in range(4)) for s in windows)
        assert 0 < count < len(windows)
        assert report == {"count": count, "share": pytest.approx(count / len(windows))}


@given(
    st.lists(st.integers(1, 60), min_size=3, max_size=12),
    windows_of_all_shapes,
    st.sampled_from(["shuffled", "alternating"]),
    st.one_of(st.none(), st.integers(1, 5)),
    st.one_of(st.none(), st.integers(1, 20)),
)
@settings(deadline=None)
def test_by_trajectory_never_splits_a_run(lengths, config, assign, each, below):
    wanted = SplitConfig("by-trajectory", 20, 20, 20, runs=assign, each=each, below=below)
    long = [length for length in lengths if length > config.span]
    if len(long) < 3:
        with pytest.raises(DataError, match=f"has {len(long)} run.s. of more than"):
            split(runs(*lengths), config, wanted)
        return
    parts = split(runs(*lengths), config, wanted)
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    begin = np.cumsum([0, *lengths])
    seen, allowed = {}, set(starts(lengths, config))
    for name in ("train", "validation", "test"):
        part = getattr(parts, name)
        assert 0 < len(part) <= 20 and set(part) <= allowed and len(set(part)) == len(part)
        for start in part:
            run = run_of[start]
            assert seen.setdefault(run, name) == name
            assert {run_of[f] for f in frames_of([start], config)[0]} == {run}
            assert start - begin[run] < (below or 10**9)
        if each:
            assert np.bincount(run_of[part]).max() <= each
    assert overlap(parts, config)["test"]["count"] == 0


def test_alternating_runs_are_those_of_the_issue():
    # 17 trials: 0, 2, …, 16 train, 1, 5, 9, 13 validate, 3, 7, 11, 15 test; 100 starts below 300.
    config = SplitConfig("by-trajectory", 9**9, 9**9, 9**9, runs="alternating", each=100, below=300)
    parts = split(runs(*[400] * 17), WindowConfig(10, 5), config)
    for part, expected in (
        (parts.train, range(0, 17, 2)),
        (parts.validation, (1, 5, 9, 13)),
        (parts.test, (3, 7, 11, 15)),
    ):
        assert sorted(set(part // 400)) == list(expected)
        assert len(part) == 100 * len(expected) and (part % 400).max() < 300


def test_shuffled_runs_follow_the_fractions():
    config = SplitConfig("by-trajectory", 9**9, 9**9, 9**9)
    parts = split(runs(*[20] * 50), WindowConfig(2, 2), config)
    counts = [len(set(part // 20)) for part in (parts.train, parts.validation, parts.test)]
    assert counts == [30, 10, 10]
    again = split(runs(*[20] * 50), WindowConfig(2, 2), dataclasses.replace(config, seed=1))
    assert set(again.train // 20) != set(parts.train // 20)
    long = split(runs(4, 20, 20, 20), WindowConfig(2, 2), config)  # the first is too short
    assert min(min(long.train), min(long.validation), min(long.test)) >= 4


def test_published_trials_are_the_legacy_draw():
    trials = PublishedTrials((2, 0), (3,), (1, 4), each=10, below=30)
    trajectory = runs(*[60] * 5, published=trials)
    parts = split(trajectory, WindowConfig(3, 5), SplitConfig("paper", 12, 50, 8))
    np.random.seed(100)
    drawn = {run: np.random.choice(np.arange(30), 10, replace=False) for run in (2, 0, 3, 1, 4)}
    assert parts.train.tolist() == [*(120 + drawn[2][:6]), *drawn[0][:6]]
    assert parts.validation.tolist() == (180 + drawn[3]).tolist()
    assert parts.test.tolist() == [*(60 + drawn[1][:4]), *(240 + drawn[4][:4])]
    with pytest.raises(DataError, match="run 2 has 45 frames, but .* needs 46"):
        split(runs(60, 60, 45, 60, 60, published=trials), WindowConfig(3, 5), SplitConfig("paper"))


def test_published_rule_in_time():
    trajectory = runs(4187, published="time")
    config = SplitConfig("paper", train=9**9, validation=9**9, test=9**9)
    parts = split(trajectory, WindowConfig(10, 5), config)
    # 4137 windows: int(0.6 · 4137) = 2482, int(0.8 · 4137) = 3309; the last start is left out.
    assert parts.train.tolist() == list(range(2482))
    assert parts.validation.tolist() == list(range(2482, 3309))
    assert parts.test.tolist() == list(range(3309, 4136))
    assert overlap(parts, WindowConfig(10, 5))["validation"]["count"] > 0


def test_windows_that_touch_missing_frames_are_dropped_and_counted():
    missing = np.arange(600) % 97 == 13
    config, wanted = WindowConfig(3, 2), SplitConfig(train=9**9, validation=9**9, test=9**9)
    whole, parts = (split(runs(600, missing=m), config, wanted) for m in (None, missing))
    lost = 0
    for name in ("train", "validation", "test"):
        every, kept = getattr(whole, name), getattr(parts, name)
        good = [s for s in every if not missing[[s, s + 2, s + 4, s + 6]].any()]
        assert kept.tolist() == good
        lost += len(every) - len(kept)
    assert parts.dropped == lost > 0 and whole.dropped == 0
    with pytest.raises(DataError, match="no training windows .*599 of 600 frames are missing"):
        split(runs(600, missing=np.arange(600) > 0), config, wanted)


@pytest.mark.parametrize(
    ("lengths", "config", "words"),
    [
        ([30000, 30000], SplitConfig("paper"), "^a.npz has 2 runs, .*'by-trajectory' or 'blocked'"),
        ([30000, 30000], SplitConfig("by-trajectory"), "has 2 run.* needs|has 2 run.*one each"),
        ([5000], SplitConfig("paper", margin=99), "T=10, Δ=10 spans 100 .*margin of 99 .* a.npz"),
        ([20020], SplitConfig("paper"), "^a.npz has 20020 frames, .*margin 10000 .*least 20021"),
        ([704], SplitConfig(), "^a.npz has 704 frames, .*T=10, Δ=10 .*needs at least 705; lower"),
        ([900, 704], SplitConfig(), "^a.npz: run 1 has 704 frames"),
    ],
)
def test_split_errors(lengths, config, words):
    with pytest.raises(DataError, match=words):
        split(runs(*lengths), WindowConfig(), config)


def test_a_task_wants_a_split_for_each_trajectory():
    one = Task(runs(200), WindowConfig(past=4, delta=2), SplitConfig(train=20))
    with pytest.raises(DataError, match="there are 1 splits for 2 trajectories"):
        Task([runs(200), runs(300)], WindowConfig(past=4, delta=2), one.splits)
