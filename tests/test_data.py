"""Files, graphs, windows and splits; each error message is held to its decisive words."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from ase.data import chemical_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data import sources
from estag_jax.data.graphs import (
    GraphConfig,
    bonds,
    build_topology,
    distance_bonds,
    fully_connected,
    hops,
    radius_edges,
)
from estag_jax.data.npz import read_npz
from estag_jax.data.splits import SplitConfig, overlap, split
from estag_jax.data.trajectory import DataError
from estag_jax.data.windows import WindowConfig, frames_of, gather, starts

FULL = GraphConfig("full")
WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], np.float32)
# Ethanol without and with its hydrogens' order mixed: only C, C and O are kept.
Z = np.array([6, 1, 6, 8, 1])
R = np.array(
    [[0, 0, 0], [-1.0, 0.3, 0], [1.5, 0, 0], [2.0, 1.3, 0], [1.9, -0.9, 0]], np.float32
) + np.linspace(0, 0.01, 4, dtype=np.float32).reshape(4, 1, 1)

windows_drawn = st.builds(WindowConfig, past=st.integers(1, 6), delta=st.integers(1, 5))


def save(folder, name="data.npz", **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


# --- files ---


def test_md17_file(tmp_path):
    path = save(tmp_path, R=R, z=Z.astype(np.uint8), E=np.zeros(4), theory=np.array("x"))
    heavy = read_npz(path)
    assert heavy.names == ("C", "C", "O")
    assert heavy.positions.shape == (4, 3, 1, 3) and heavy.positions.dtype == np.float32
    np.testing.assert_array_equal(heavy.positions[:, :, 0], R[:, [0, 2, 3]])
    np.testing.assert_array_equal(heavy.node_features, [[6], [6], [8]])
    np.testing.assert_array_equal(heavy.atomic_numbers, [6, 6, 8])
    assert (heavy.frame_step, heavy.time_unit, heavy.lengths) == (0.5, "fs", (4,))
    assert heavy.topology.num_edges == 6 and heavy.source == str(path)
    everything = read_npz(path, hydrogens=True)
    assert everything.names == ("C", "H", "C", "O", "H")
    assert everything.fingerprint != heavy.fingerprint


def test_optional_keys_and_precision(tmp_path):
    big_endian = R.astype(">f8")
    path = save(tmp_path, R=big_endian, z=Z, lengths=np.array([1, 3]), dt_fs=np.array(0.25))
    trajectory = read_npz(path, frame_step=9.0)
    assert trajectory.frame_step == 0.25 and trajectory.lengths == (1, 3)
    assert (
        trajectory.positions.dtype == np.dtype(np.float64) and trajectory.positions.dtype.isnative
    )
    assert read_npz(save(tmp_path, R=R, z=Z), frame_step=9.0).frame_step == 9.0


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 2, 3)])
def test_bare_positions(tmp_path, shape):
    positions = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "a.npy", positions)
    for path in (tmp_path / "a.npy", save(tmp_path, positions=positions)):
        trajectory = read_npz(path, graph=FULL)
        np.testing.assert_array_equal(trajectory.positions, positions.reshape(5, 4, -1, 3))
        assert trajectory.names == ("0", "1", "2", "3") and trajectory.atomic_numbers is None
        np.testing.assert_array_equal(trajectory.node_features, np.ones((4, 1)))


def damaged(frame=2, atom=3, value=np.nan):
    copy = R.copy()
    copy[frame, atom, 1] = copy[frame + 1, atom, 0] = value
    return copy


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(z=Z, F=R), r"key R is missing, the file has F, z; expected .*\[frames, atoms, 3\]"),
        (dict(R=R, E=R), r"key z is missing, the file has E, R;"),
        (dict(arr_0=R), r"key R and z is missing, the file has arr_0;.* positions"),
        (dict(), r"the file has no keys"),
        (dict(R=R[0], z=Z), r"R has shape \[5, 3\], expected \[frames, atoms, 3\]"),
        (dict(positions=R[..., :2]), r"positions has shape \[4, 5, 2\], expected .*C, 3\]"),
        (dict(R=R.astype(str), z=Z), r"R holds <U\d+, expected real numbers"),
        (dict(R=R[:0], z=Z), r"zero frames"),
        (dict(R=R[:, :0], z=Z[:0]), r"zero nodes"),
        (dict(R=R, z=Z[:4]), r"z has shape \[4\], but the positions are of 5 atoms"),
        (dict(R=R, z=Z.astype(float)), r"z holds float64, expected integers"),
        (dict(R=R, z=Z * 0), r"z of atom 0 is 0, expected an atomic number from 1 to 118"),
        (dict(R=R, z=Z + [0, 0, 0, 111, 0]), r"z of atom 3 is 119"),
        (dict(R=damaged(), z=Z), r"2 coordinate\(s\) are not finite.* frame 2, atom 3 \(O\)"),
        (dict(positions=damaged(0, 4, np.inf)), r"not finite, the first in frame 0, node 4,"),
        (dict(R=R, z=Z * 0 + 1), r"all 5 atoms are hydrogens .*hydrogens=True"),
        (dict(R=R, z=Z, lengths=np.array([2, 3])), r"\(2, 3\) do not add up to 4 frames"),
        (dict(R=R, z=Z, lengths=np.array([5, -1])), r"lengths are int64\[2\] \[5, -1\], expected"),
        (dict(R=R, z=Z, lengths=np.array([4.0])), r"lengths are float64"),
        (dict(R=R, z=Z, dt_fs=np.array(np.nan)), r"dt_fs is float64\[\] \[nan\], expected one pos"),
        (dict(R=R, z=Z, dt_fs=np.ones(4)), r"dt_fs is float64\[4\]"),
        (dict(positions=R), r"'bonds' needs atomic numbers.*'paper' or 'radius'.*'full'"),
        (dict(R=R * 100, z=Z), r"'bonds' gives no edges between the 3 node.* in Å\?"),
    ],
)
def test_bad_arrays(tmp_path, arrays, words):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=words) as error:
        read_npz(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def as_bytes(save_function, *args, **arrays):
    buffer = io.BytesIO()
    save_function(buffer, *args, **arrays)
    return buffer.getvalue()


NPZ = as_bytes(np.savez_compressed, R=R, z=Z)
OBJECTS = np.array([{"a": 1}], dtype=object)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"neither an npz nor an npy file"),
        (b"12.0 3.0 4.0\n", r"neither an npz nor an npy file; expected is .*R \[frames"),
        (NPZ[:-30], r"damaged or cut short \(BadZipFile"),
        (as_bytes(np.save, R)[:-5], r"damaged or cut short \(ValueError"),
        (as_bytes(np.save, R).replace(b"}", b" "), r"damaged or cut short \(TokenError"),
        (as_bytes(np.save, OBJECTS), r"holds pickled objects, which are refused"),
        (as_bytes(np.savez, R=OBJECTS, z=Z), r"holds pickled objects, which are refused"),
    ],
)
def test_bad_files(tmp_path, content, words):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_npz(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@settings(deadline=None)
@given(at=st.integers(0, len(NPZ) - 1), value=st.integers(0, 255))
def test_any_damaged_byte_is_a_data_error_or_harmless(tmp_path_factory, at, value):
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(NPZ[:at] + bytes([value]) + NPZ[at + 1 :])
    try:
        np.testing.assert_array_equal(read_npz(path).positions[:, :, 0], R[:, [0, 2, 3]])
    except DataError as error:
        assert "\n" not in str(error)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: there is no such file; expected is an \.npz"):
        sources.load(str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match="this is a folder"):
        sources.load(str(tmp_path))


# --- sources ---


def test_demo_is_aspirin_without_hydrogens():
    demo = sources.load("demo")
    assert "".join(demo.names) == "CCOOCCCCCCCOO"
    assert demo.topology.num_nodes == 13 and demo.num_frames > 1000
    assert (demo.source, demo.licence) == ("demo", "MIT") and "GFN2-xTB" in demo.provenance
    assert sources.load("demo", read=sources.ReadConfig(hydrogens=True)).num_nodes == 21


def test_unknown_source_and_path(tmp_path):
    with pytest.raises(
        DataError, match=r"'dmeo' is neither .* did you mean 'demo'\? known are demo"
    ):
        sources.load("dmeo")
    with pytest.raises(DataError, match=r"'zzz' is neither a known source nor a file; known are"):
        sources.load("zzz")
    assert sources.load(str(save(tmp_path, R=R, z=Z)), FULL).topology.edge_features is None


# --- graphs ---


def test_bond_that_is_stretched_in_frame_0_is_found():
    positions = np.repeat(WATER[None], 301, axis=0)
    positions[0, 1] *= 2.5
    assert bonds(positions, [8, 1, 1]).tolist() == [[0, 1], [0, 2]]
    assert distance_bonds(positions).tolist() == [[0, 2]]
    # Nor is the opposite believed: two atoms that touch in frame 0 alone are not bonded.
    positions = np.repeat(WATER[None], 301, axis=0)
    positions[0, 2] = WATER[1] + 0.1
    assert bonds(positions, [8, 1, 1]).tolist() == [[0, 1], [0, 2]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_bonds_are_those_of_the_median_distance(seed, frames):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 3, size=(frames, 12, 3))
    numbers = rng.choice([1, 6, 8, 16], 12)
    radius = {1: 0.31, 6: 0.76, 8: 0.66, 16: 1.05}
    expected = []
    for i in range(12):
        for j in range(i + 1, 12):
            median = np.median([np.linalg.norm(frame[i] - frame[j]) for frame in positions])
            if median <= 1.2 * (radius[numbers[i]] + radius[numbers[j]]):
                expected.append([i, j])
    assert bonds(positions, numbers).tolist() == expected


@given(st.data(), st.integers(1, 4))
def test_hops_against_floyd_warshall(data, maximum):
    num_nodes = data.draw(st.integers(1, 9))
    node = st.integers(0, num_nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=14))
    distance = np.full((num_nodes, num_nodes), np.inf)
    for i, j in edges:
        distance[i, j] = distance[j, i] = 1
    np.fill_diagonal(distance, 0)
    for k in range(num_nodes):
        distance = np.minimum(distance, distance[:, k, None] + distance[k])
    expected = {
        (i, j, int(distance[i, j]))
        for i, j in np.ndindex(distance.shape)
        if 1 <= distance[i, j] <= maximum
    }
    found = list(zip(*hops(np.array(edges), num_nodes, maximum), strict=True))
    assert set(found) == expected and len(found) == len(expected)


def test_radius_full_and_channel():
    line = np.arange(4.0)[:, None] * [1.0, 0, 0]
    assert set(zip(*radius_edges(line, 1.0), strict=True)) == {
        (i, j) for i in range(4) for j in range(4) if abs(i - j) == 1
    }
    assert set(zip(*fully_connected(3), strict=True)) == {
        (i, j) for i in range(3) for j in range(3) if i != j
    }
    positions = np.stack([line * 100, line], axis=1)[None]
    near = build_topology(GraphConfig("radius", cutoff=1.0, channel=1), positions, None)
    assert near.num_edges == 6 and near.edge_features is None
    paper = build_topology(GraphConfig("paper", hops=3, channel=1), positions, None)
    assert paper.num_edges == 12 and paper.edge_features.dtype == np.float32
    apart = np.abs(paper.senders - paper.receivers)
    np.testing.assert_array_equal(paper.edge_features[:, 0], apart)
    for config, words in [
        (GraphConfig("radius", cutoff=0.5, channel=1), "x: .*no edges.*raise the cutoff of 0.5"),
        (GraphConfig("paper"), "no edges.*raise the cutoff of 1.6"),
        (GraphConfig("full", channel=2), "x: graph channel 2 does not exist"),
    ]:
        with pytest.raises(DataError, match=words):
            build_topology(config, positions, None, source="x")
    with pytest.raises(DataError, match="at least two nodes"):
        build_topology(FULL, positions[:, :1], None)


@pytest.mark.data
def test_aspirin_of_the_shared_data(shared_data):
    aspirin = read_npz(shared_data / "md_xtb" / "aspirin_xtb.npz")
    found = bonds(aspirin.positions[:, :, 0], aspirin.atomic_numbers)
    assert aspirin.num_nodes == 13 and len(found) == 13
    # An atom with d bonds lies between d (d - 1) / 2 pairs; in a six-ring no pair is met twice.
    degree = np.bincount(found.ravel())
    two_hops = (degree * (degree - 1) // 2).sum()
    assert aspirin.topology.num_edges == 2 * (13 + two_hops) == 60
    assert all(
        chemical_symbols[z] == name
        for z, name in zip(aspirin.atomic_numbers, aspirin.names, strict=True)
    )


# --- windows ---


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), windows_drawn)
def test_windows_never_bridge_runs(lengths, config):
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    expected = [
        s
        for s in range(len(run_of) - config.span)
        if len({run_of[s + k * config.delta] for k in range(config.past + 1)}) == 1
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
    np.testing.assert_array_equal(target, positions[[29, 17]])
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


# --- splits ---


@settings(deadline=None)
@given(
    st.lists(st.integers(30, 400), min_size=1, max_size=3),
    windows_drawn,
    st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_blocked_split_keeps_parts_a_window_apart(lengths, config, fractions):
    wanted = SplitConfig(train=20, validation=7, test=7, fractions=fractions)
    try:
        parts = split(lengths, config, wanted)
    except DataError as error:
        needed = int(str(error).split("at least ")[1].split(";")[0])
        assert min(lengths) < needed
        split([needed], config, wanted)
        with pytest.raises(DataError, match=f"has {needed - 1} frames, .* at least {needed}"):
            split([needed - 1], config, wanted)
        return
    assert overlap(parts, config)["test"] == {"count": 0, "share": 0.0}
    everything = split(lengths, config, dataclasses.replace(wanted, train=9**9, test=9**9))
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
    parts = split([60000], WindowConfig(), SplitConfig())
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [500, 2000, 2000]
    again = split([60000], WindowConfig(), SplitConfig(seed=1))
    assert parts.train.tolist() != again.train.tolist() != sorted(again.train.tolist())


def test_paper_split_is_the_legacy_draw():
    parts = split([60000], WindowConfig(), SplitConfig("paper"))
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
    parts = split([400], config, SplitConfig("paper", train=20, margin=10))
    used = {s + 2 * k for s in parts.train for k in range(4)}
    for name, report in overlap(parts, config).items():
        windows = getattr(parts, name)
        count = sum(any(s + 2 * k in used for k in range(4)) for s in windows)
        assert 0 < count < len(windows)
        assert report == {"count": count, "share": pytest.approx(count / len(windows))}


@pytest.mark.parametrize(
    ("lengths", "config", "words"),
    [
        ([30000, 30000], SplitConfig("paper"), "^a.npz has 2 runs, .*use kind 'blocked'"),
        ([5000], SplitConfig("paper", margin=99), "T=10, Δ=10 spans 100 .*margin of 99 .* a.npz"),
        ([20020], SplitConfig("paper"), "^a.npz has 20020 frames, .*margin 10000 .*least 20021"),
        ([704], SplitConfig(), "^a.npz has 704 frames, .*T=10, Δ=10 .*needs at least 705; lower"),
        ([900, 704], SplitConfig(), "^a.npz: run 1 has 704 frames"),
    ],
)
def test_split_errors(lengths, config, words):
    with pytest.raises(DataError, match=words):
        split(lengths, WindowConfig(), config, "a.npz")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GraphConfig("bond"), "graph kind is 'bond', expected one of bonds, paper"),
        (lambda: GraphConfig(hops=0), "graph hops is 0"),
        (lambda: GraphConfig(channel=-1), "graph channel is -1"),
        (lambda: GraphConfig("radius"), "'radius' needs a cutoff"),
        (lambda: GraphConfig("full", cutoff=2.0), "no effect with kind 'full'"),
        (lambda: GraphConfig("radius", cutoff=-2.0), "cutoff is -2.0"),
        (lambda: WindowConfig(past=0), "window past is 0"),
        (lambda: WindowConfig(delta=-3), "window delta is -3"),
        (lambda: SplitConfig("random"), "split kind is 'random', expected one of blocked, paper"),
        (lambda: SplitConfig(test=0), "split test is 0"),
        (lambda: SplitConfig(fractions=(0.5, 0.5, 0.0)), "expected three positive numbers"),
        (lambda: SplitConfig(fractions=(0.5, 0.2, 0.2)), "add up to 0.9"),
        (lambda: SplitConfig(margin=-1), "split margin is -1"),
        (lambda: SplitConfig(seed=-1), "split seed is -1"),
    ],
)
def test_configs_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()
