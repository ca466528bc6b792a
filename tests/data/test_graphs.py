"""Graphs against brute force, and what is chosen where the user leaves the choice."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from ase.data import chemical_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.data.edges import (
    bonds,
    distance_bonds,
    fully_connected,
    hops,
    nearest,
    radius_edges,
)
from estag_jax.data.graphs import PAPER_CUTOFF, GraphConfig, resolve, with_graph
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources import catalog as sources

FULL = GraphConfig("full")
WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], np.float32)


def system(positions, **fields):
    """A trajectory with positions [F, N, C, 3] and no names to speak of."""
    names = map(str, range(positions.shape[1]))
    return Trajectory.from_arrays(positions, names=names, source="x", **fields)


def build(config, trajectory):
    """The graph alone, without the leading axis of its arrays."""
    graph = with_graph(trajectory, config).system.graph
    features = graph.edge_features
    return SimpleNamespace(
        senders=graph.senders[0],
        receivers=graph.receivers[0],
        edge_features=None if features is None else features[0],
        num_edges=graph.num_edges,
        edge_width=graph.edge_width,
    )


def test_bond_that_is_stretched_in_frame_0_is_found():
    positions = np.repeat(WATER[None], 301, axis=0)
    positions[0, 1] *= 2.5
    assert bonds(positions, [8, 1, 1]).tolist() == [[0, 1], [0, 2]]
    assert distance_bonds(positions, PAPER_CUTOFF).tolist() == [[0, 2]]
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
    near = build(GraphConfig("radius", cutoff=1.0, channel=1), system(positions))
    assert near.num_edges == 6 and near.edge_features.dtype == np.float32
    np.testing.assert_array_equal(near.edge_features, np.ones((6, 1)))  # the distance of the ends
    paper = build(GraphConfig("paper", hops=3, channel=1), system(positions))
    assert paper.num_edges == 12 and paper.edge_features.dtype == np.float32
    apart = np.abs(paper.senders - paper.receivers)
    np.testing.assert_array_equal(paper.edge_features[:, 0], apart)
    for config, words in [
        (GraphConfig("radius", cutoff=0.5, channel=1), "x: .*no edges.*raise the cutoff of 0.5"),
        (GraphConfig("radius"), "x: graph kind 'radius' needs a cutoff"),
        (GraphConfig("paper"), "no edges.*raise the cutoff of 1.6"),
        (GraphConfig("full", channel=2), "x: graph channel 2 does not exist"),
        (GraphConfig("bonds"), "'bonds' needs atomic numbers.*'paper' or 'radius'.*'full'"),
    ]:
        with pytest.raises(DataError, match=words):
            build(config, system(positions))
    with pytest.raises(DataError, match="measures in Å and the length unit is 'inch'"):
        build(GraphConfig("paper"), system(positions, length_unit="inch"))
    lone = Trajectory.from_arrays(3 * line[None], atomic_numbers=[8] * 4, hydrogens=np.ones(4, int))
    with pytest.raises(DataError, match="no edges.*--read.hydrogens.*kind 'nearest'"):
        with_graph(lone, GraphConfig("bonds"))
    assert build(FULL, system(positions[:, :1])).num_edges == 0


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_nearest_against_sorted_distances(num_nodes, k, seed):
    frame = np.random.default_rng(seed).normal(size=(num_nodes, 3))
    distance = np.linalg.norm(frame[:, None] - frame, axis=-1)
    closest = np.argsort(distance, axis=1)[:, 1 : k + 1]
    chosen = {(i, int(j)) for i in range(num_nodes) for j in closest[i]}
    expected = chosen | {(j, i) for i, j in chosen}
    found = list(zip(*nearest(frame, k), strict=True))
    assert set(found) == expected and len(found) == len(expected)


def test_what_auto_stands_for():
    line = np.arange(70.0)[:, None, None] * [1.0, 0, 0]
    few, many = system(line[None, :60]), system(line[None])
    carbon, bones = np.full(60, 6), np.array([[0, 1]])
    auto = GraphConfig()
    assert resolve(auto, few).kind == "full"
    assert (resolve(auto, many).kind, resolve(auto, many).neighbours) == ("nearest", 16)
    assert resolve(auto, few.changed(atomic_numbers=carbon)).kind == "bonds"
    assert resolve(auto, few.changed(bonds=bones)).kind == "bonds"
    residues = system(np.zeros((1, 9, 4, 3)), contact_distance=6.0, anchor=1)
    found = resolve(auto, residues)
    assert (found.kind, found.cutoff, found.channel) == ("radius", 6.0, 1)
    given = GraphConfig("radius", cutoff=2.0, channel=0)
    assert (resolve(given, residues).cutoff, resolve(given, residues).channel) == (2.0, 0)


def test_bonds_of_the_source_go_before_radii_and_carry_their_orders():
    # Carbons 1.4 apart in a row; the source says that 0-1 is double and 2-3 single, and no more.
    row = (np.arange(4.0)[:, None, None] * [1.4, 0, 0])[None]
    given = system(
        row,
        atomic_numbers=np.full(4, 6),
        bonds=np.array([[1, 0], [2, 3]]),
        bond_orders=np.array([2.0, 1.0], np.float32),
    )
    found = build(GraphConfig("bonds"), given)
    edges = {
        (int(s), int(r)): f.tolist()
        for s, r, f in zip(found.senders, found.receivers, found.edge_features, strict=True)
    }
    assert edges == {(0, 1): [1, 2], (1, 0): [1, 2], (2, 3): [1, 1], (3, 2): [1, 1]}
    by_radii = build(GraphConfig("covalent"), given)
    assert by_radii.num_edges == 10 and by_radii.edge_width == 1
    chain = given.changed(bonds=np.array([[0, 1], [1, 2]]))
    found = build(GraphConfig("bonds"), chain)
    two = (found.senders == 0) & (found.receivers == 2)
    assert found.edge_features[two].tolist() == [[2, 0]]


def test_radii_are_in_the_unit_of_length():
    water = np.repeat(WATER[None, :, None], 3, axis=0)
    numbers = np.array([8, 1, 1])
    for unit, factor in (("Å", 1.0), ("nm", 0.1), ("bohr", 1 / 0.529177210903)):
        found = build(
            GraphConfig("bonds", hops=1),
            system(water * factor, atomic_numbers=numbers, length_unit=unit),
        )
        assert found.num_edges == 4, unit


def test_a_hundred_thousand_nodes_need_memory_for_their_edges_only():
    rng = np.random.default_rng(0)
    large = system(rng.uniform(0, 46, size=(1, 100_000, 1, 3)))  # about one node in a unit cube
    tracemalloc.start()
    by_radius = build(GraphConfig("radius", cutoff=1.2), large)
    by_number = build(GraphConfig("nearest", neighbours=8), large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 4/3 π 1.2³ nodes in reach of each on average, fewer at the surface.
    assert 600_000 < by_radius.num_edges < 750_000 and 800_000 < by_number.num_edges < 1_600_000
    assert peak < 500e6  # an [N, N] array of bytes has 10 GB


@pytest.mark.data
def test_aspirin_of_the_shared_data(shared_data):
    aspirin = sources.load(str(shared_data / "md_xtb" / "aspirin_xtb.npz"))
    found = bonds(aspirin.positions[:, :, 0], aspirin.system.atomic_numbers)
    assert aspirin.system.num_nodes == 13 and len(found) == 13
    # An atom with d bonds lies between d (d - 1) / 2 pairs; in a six-ring no pair is met twice.
    degree = np.bincount(found.ravel())
    two_hops = (degree * (degree - 1) // 2).sum()
    assert aspirin.system.graph.num_edges == 2 * (13 + two_hops) == 60
    assert all(
        chemical_symbols[z] == name
        for z, name in zip(aspirin.system.atomic_numbers, aspirin.system.names, strict=True)
    )
