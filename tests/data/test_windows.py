"""Windows: none bridges runs or is lost; configs of all that prepares data are checked."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from helpers.windows import runs, windows_drawn, windows_of_all_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig
from estag_jax.data.splits import split
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.data.windows import WindowConfig, frames_of, gather, inside_frames_of, starts
from estag_jax.models.linear import fitting_vectors
from estag_jax.sources.catalog import ReadConfig


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), windows_drawn)
def test_windows_never_bridge_runs(lengths, config):
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    expected = [
        s
        for s in range(len(run_of) - config.span)
        if len({run_of[s + k] for k in config.offsets}) == 1
    ]
    if not expected:
        with pytest.raises(DataError, match=f"needs at least {config.span + 1}"):
            starts(lengths, config)
        return
    found = starts(lengths, config)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_gather_puts_nodes_before_time():
    positions = np.random.default_rng(0).normal(size=(30, 4, 2, 3)).astype(np.float32)
    config = WindowConfig(past=3, delta=5)
    history, target = gather(positions, np.array([14, 2]), config)
    assert frames_of([14, 2], config).tolist() == [[14, 19, 24, 29], [2, 7, 12, 17]]
    assert history.shape == (2, 4, 3, 2, 3) and history.dtype == np.float32
    for t in range(3):
        np.testing.assert_array_equal(history[1, :, t], positions[2 + 5 * t])
    np.testing.assert_array_equal(target[:, 0], positions[[29, 17]])
    target[:] = history[:] = 0
    assert positions.all()
    for start in (-1, 15):
        with pytest.raises(DataError, match=f"start {start} with T=3, Δ=5 .* 30 frames"):
            gather(positions, np.array([0, start]), config)


def test_too_few_frames():
    with pytest.raises(
        DataError, match="^a.npz has 57 frames, but T=10, Δ=10 needs at least 101; "
    ):
        starts([57], WindowConfig(), "a.npz")
    with pytest.raises(DataError, match="longest of 2 runs has 100 frames"):
        starts([57, 100], WindowConfig())
    assert starts([57, 101], WindowConfig()).tolist() == [57]


@given(st.integers(1, 90), windows_of_all_shapes, st.sets(st.integers(0, 89), max_size=6))
@settings(deadline=None)
def test_starts_with_horizon_stride_and_missing_frames_against_brute_force(length, config, gone):
    missing = np.isin(np.arange(length), list(gone))
    targets = [(config.past - 1 + h) * config.delta for h in config.horizons]
    expected = []
    for s in range(0, length, config.stride):
        frames = [s + k * config.delta for k in range(config.past)]
        frames += [s + target for target in targets]
        if frames[-1] < length and not any(missing[f] for f in frames):
            expected.append(s)
    if expected:
        assert starts([length], config, missing=missing).tolist() == expected
    else:
        with pytest.raises(DataError, match="needs at least|every window .* touches one"):
            starts([length], config, missing=missing)


def test_the_horizon_is_how_far_ahead_the_target_is():
    positions = np.arange(40.0).reshape(40, 1, 1, 1) * np.ones(3)
    history, target = gather(positions, np.array([5]), WindowConfig(3, 2, horizons=(4,)))
    assert history[0, 0, :, 0, 0].tolist() == [5, 7, 9] and target[0, 0, 0, 0, 0] == 9 + 4 * 2
    _, targets = gather(positions, np.array([5, 6]), WindowConfig(3, 2, horizons=(1, 2, 5)))
    assert targets[:, :, 0, 0, 0].tolist() == [[11, 13, 19], [12, 14, 20]]


@pytest.mark.parametrize(
    ("past", "delta", "horizons", "span"),
    [
        (3, 2, (1,), 6),
        (3, 2, (4,), 12),
        (3, 2, (1, 2, 5), 14),
        (1, 5, (1, 3), 15),
        (10, 10, (1, 10), 190),
    ],
)
def test_a_window_spans_its_last_horizon(past, delta, horizons, span):
    config = WindowConfig(past, delta, horizons=horizons)
    assert config.span == span
    assert starts([span + 3], config).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=f"has {span} frames, .* needs at least {span + 1}"):
        starts([span], config)


def test_targets_of_several_horizons_by_hand():
    positions = np.random.default_rng(1).normal(size=(25, 4, 2, 3))
    config, begins = WindowConfig(3, 2, horizons=(1, 3, 4)), np.array([7, 0, 12])
    history, targets = gather(positions, begins, config)
    assert history.shape == (3, 4, 3, 2, 3) and targets.shape == (3, 3, 4, 2, 3)
    for w, begin in enumerate(begins):
        for p, ahead in enumerate((2, 6, 8)):
            np.testing.assert_array_equal(targets[w, p], positions[begin + 4 + ahead])
    # The further horizons do not change the history or the first target.
    nearest = gather(positions, begins, WindowConfig(3, 2))
    np.testing.assert_array_equal(history, nearest[0])
    np.testing.assert_array_equal(targets[:, :1], nearest[1])
    words = r"start 13 with T=3, Δ=2, horizons=\[1, 3, 4\] reaches outside the 25 frames"
    with pytest.raises(DataError, match=words):
        gather(positions, np.array([12, 13]), config)


def test_a_million_windows_cost_memory_for_their_indices_only():
    trajectory = runs(1_000_100, positions=np.broadcast_to(np.float32(0), (1_000_100, 1, 1, 3)))
    tracemalloc.start()
    every = starts(trajectory.lengths, WindowConfig())
    parts = split(trajectory, WindowConfig(), SplitConfig(train=10**6))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(every) == 1_000_000 and len(parts.train) > 500_000
    # A copy of the windows' frames would take 11 × 12 bytes each, for one single particle.
    assert peak < 60e6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GraphConfig("bond"), "graph kind is 'bond', expected one of auto, bonds"),
        (lambda: GraphConfig(hops=0), "graph hops is 0"),
        (lambda: GraphConfig(channel=-1), "graph channel is -1"),
        (lambda: GraphConfig(neighbours=3), "neighbours has no effect with kind 'auto'"),
        (lambda: GraphConfig("nearest", neighbours=0), "neighbours is 0"),
        (lambda: GraphConfig("full", cutoff=2.0), "no effect with kind 'full'"),
        (lambda: GraphConfig("radius", cutoff=-2.0), "cutoff is -2.0"),
        (lambda: WindowConfig(past=0), "window past is 0"),
        (lambda: WindowConfig(delta=-3), "window delta is -3"),
        (lambda: SplitConfig("random"), "split kind is 'random', expected one of blocked, by"),
        (lambda: SplitConfig(test=0), "split test is 0"),
        (lambda: SplitConfig(fractions=(0.5, 0.5, 0.0)), "expected three positive numbers"),
        (lambda: SplitConfig(fractions=(0.5, 0.2, 0.2)), "add up to 0.9"),
        (lambda: WindowConfig(horizons=(0,)), r"horizons are \(0,\)"),
        (lambda: WindowConfig(horizons=()), "increasing"),
        (lambda: WindowConfig(horizons=(1, 3, 2)), "increasing"),
        (lambda: WindowConfig(horizons=(1, 1)), "increasing"),
        (lambda: WindowConfig(horizons=(0, 1)), "at least 1"),
        (lambda: WindowConfig(horizons=(2, 3)), "first must be 1"),
        (lambda: WindowConfig(stride=0), "window stride is 0"),
        (lambda: SplitConfig("by-trajectory", runs="odd"), "split runs is 'odd', expected one of"),
        (lambda: SplitConfig("by-trajectory", each=0), "split each is 0"),
        (lambda: SplitConfig(below=300), "split below has no effect with kind 'blocked'"),
        (lambda: ReadConfig(frame_step=-0.5), "read frame_step is -0.5, it must be positive"),
        (lambda: ReadConfig(centre="node"), "read centre is 'node', expected one of source, none"),
        (lambda: ReadConfig(min_frames=0), "read min_frames is 0"),
        (lambda: SplitConfig(margin=-1), "split margin is -1"),
        (lambda: SplitConfig(seed=-1), "split seed is -1"),
    ],
)
def test_configs_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_windows_have_the_vectors_of_their_last_past_frame():
    rng = np.random.default_rng(2)
    positions, field = rng.normal(size=(80, 3, 3)), rng.normal(size=(80, 3))
    trajectory = Trajectory.from_arrays(positions, vectors={"up": [0, 0, 1], "field": field})
    task = Task(trajectory, WindowConfig(past=3, delta=2), SplitConfig(train=9))
    for part in ("train", "validation", "test"):
        fitting = fitting_vectors(task, part)
        first = 0
        for windows in task.windows(part, at_once=4):
            assert windows.vectors["up"].tolist() == [[0, 0, 1]] == fitting["up"].tolist()
            for vector, start, history in zip(
                windows.vectors["field"], windows.starts, windows.history, strict=True
            ):
                np.testing.assert_array_equal(vector, field[start + 4])
                np.testing.assert_array_equal(history[:, -1, 0], positions[start + 4])
                np.testing.assert_array_equal(vector, fitting["field"][first])
                first += 1
        assert first == task.count(part) == len(fitting["field"])


def test_systems_of_one_task_have_the_same_vectors():
    positions = np.random.default_rng(3).normal(size=(80, 3, 3))
    one, two = (
        Trajectory.from_arrays(positions, source=source, vectors=vectors)
        for source, vectors in (("a.npz", {"up": [0, 0, 1]}), ("b.npz", {"field": positions[:, 0]}))
    )
    window, split = WindowConfig(past=3, delta=2), SplitConfig(train=9)
    with pytest.raises(DataError, match=r"a.npz and b.npz .*vectors \['up'\] and \['field'\]"):
        Task([one, two], window, split)
    # One of the system and one by frame have the same name, and are alike.
    Task([one, two.changed(vectors={"up": positions[:, 0]})], window, split)


def test_windows_inside_the_frames_of_others():
    lengths, config = (30, 12), WindowConfig(past=3, delta=2, horizons=(1, 2))
    drawn = np.array([0, 2, 6, 9, 20, 21, 30, 31])
    known = {start + offset for start in drawn for offset in (0, 2, 4, 6, 8)}
    expected = [
        start
        for begin, length in zip((0, 30), lengths, strict=True)
        for start in range(begin, begin + length - 8)
        if {start + offset for offset in (0, 2, 4, 6, 8)} <= known
    ]
    found = inside_frames_of(drawn, lengths, config)
    assert [*found] == expected and len(expected) > len(drawn)
    assert [*inside_frames_of(drawn[:1], lengths, config)] == [0]
    other = WindowConfig(past=3, delta=1)  # four frames one after the other
    expected = [
        s for s in range(38) if {s + k for k in range(4)} <= known and s // 30 == (s + 3) // 30
    ]
    assert [*inside_frames_of(drawn, lengths, config, other)] == expected and expected
