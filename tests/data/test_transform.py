"""What is done to trajectories, and what is said of them, against independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from estag_jax.data import statistics, transform
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import PublishedTrials, Trajectory

RNG = np.random.default_rng(0)


def system(positions, **fields):
    names = map(str, range(positions.shape[1]))
    return Trajectory.from_arrays(positions, names=names, **{"source": "x"} | fields)


def test_taking_nodes_takes_their_bonds_along():
    ring = system(
        RNG.normal(size=(2, 4, 1, 3)),
        atomic_numbers=np.array([6, 1, 7, 8]),
        bonds=np.array([[0, 1], [1, 2], [2, 3], [3, 0]]),
        bond_orders=np.array([1, 1, 2, 1.5], np.float32),
    )
    heavy = transform.without_hydrogens(ring)
    assert heavy.system.bonds.tolist() == [
        [1, 2],
        [2, 0],
    ] and heavy.system.bond_orders.tolist() == [2, 1.5]
    assert heavy.system.names == ("0", "2", "3") and heavy.notes == ("1 hydrogens left out",)
    np.testing.assert_array_equal(heavy.positions, ring.positions[:, [0, 2, 3]])
    assert transform.without_hydrogens(heavy) is heavy
    with pytest.raises(DataError, match="all 2 atoms are hydrogens .*hydrogens=True"):
        transform.without_hydrogens(system(ring.positions[:, :2], atomic_numbers=np.array([1, 1])))


def test_short_runs_are_left_out_and_counted():
    trials = PublishedTrials((0,), (1,), (2,), 1, 1)
    positions = np.arange(12.0)[:, None, None, None] * np.ones((1, 1, 3))
    three = system(positions, lengths=(3, 5, 4), run_names=("a", "b", "c"), published=trials)
    kept = transform.take_runs(three, 4)
    assert (kept.lengths, kept.run_names, kept.published) == ((5, 4), ("b", "c"), None)
    assert kept.positions[:, 0, 0, 0].tolist() == list(range(3, 12))
    assert kept.notes == ("1 of 3 runs left out: below 4 frames",)
    assert transform.take_runs(three, 3) is three
    with pytest.raises(DataError, match="no run has 6 frames, the longest has 5; lower min_frames"):
        transform.take_runs(three, 6)


def test_centring_by_run_and_by_frame():
    positions = RNG.normal(size=(9, 4, 2, 3)).astype(np.float32) + 50
    two = system(positions, lengths=(4, 5))
    by_run = transform.centred(two, "run").positions
    assert by_run.dtype == np.float32
    np.testing.assert_allclose(by_run[:4].mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(by_run[4:].mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(by_run[1] - by_run[0], positions[1] - positions[0], atol=1e-5)
    by_frame = transform.centred(two, "frame").positions
    np.testing.assert_allclose(by_frame.mean((1, 2)), 0, atol=1e-5)


def test_superposition_undoes_tumbling_and_never_reflects():
    shape = RNG.normal(size=(5, 1, 3))
    turns = Rotation.random(7, rng=RNG).as_matrix()
    tumbling = np.einsum("fij,ncj->fnci", turns, shape) + RNG.normal(size=(7, 1, 1, 3))
    still = transform.superimposed(system(tumbling)).positions
    np.testing.assert_allclose(still, np.repeat(still[:1], 7, axis=0), atol=1e-12)
    np.testing.assert_allclose(still[0], tumbling[0], atol=1e-12)
    noisy = tumbling + 0.1 * RNG.normal(size=tumbling.shape)
    found = transform.superimposed(system(noisy)).positions[:, :, 0]
    for frame, ours in zip(noisy[:, :, 0], found, strict=True):
        first = noisy[0, :, 0]
        centre, at = frame.mean(0), first.mean(0)
        best = Rotation.align_vectors(first - at, frame - centre)[0]
        np.testing.assert_allclose(ours, best.apply(frame - centre) + at, atol=1e-9)
    mirrored = np.stack([shape, -shape])
    kept = transform.superimposed(system(mirrored)).positions[:, :, 0]
    volume = [np.linalg.det(frame[1:4] - frame[0]) for frame in kept]
    assert volume[0] * volume[1] < 0


def test_units_are_converted_with_all_that_is_a_length():
    residues = system(RNG.normal(size=(3, 2, 1, 3)), contact_distance=6.0)
    nm = transform.converted(residues, "nm")
    np.testing.assert_allclose(nm.positions, residues.positions / 10)
    assert nm.system.contact_distance == pytest.approx(0.6) and nm.system.length_unit == "nm"
    bohr = transform.converted(nm, "bohr")
    np.testing.assert_allclose(bohr.positions * 0.529177210903, residues.positions)
    with pytest.raises(DataError, match="x: 'mile' is no length unit that can be converted"):
        transform.converted(residues, "mile")
    with pytest.raises(DataError, match="'inch' is no length unit"):
        transform.converted(residues.changed(length_unit="inch"), "nm")


def oscillator(frequency, frames=4000, step=0.5, **fields):
    time = step * np.arange(frames)
    x = np.cos(2 * np.pi * frequency * time)[:, None, None, None] * np.array([1.0, 2.0, 0.0])
    return system(np.concatenate([x, -x], axis=1), frame_step=step, **fields)


def test_the_spectrum_of_an_oscillator_peaks_at_its_frequency():
    frequencies, power = statistics.power_spectrum(oscillator(0.1234))
    assert power.sum() == pytest.approx(1)
    assert frequencies[power.argmax()] == pytest.approx(0.1234, abs=frequencies[1])
    assert power[np.abs(frequencies - 0.1234) > 3 * frequencies[1]].sum() < 1e-3
    holes = np.arange(4000) % 500 == 3
    _, again = statistics.power_spectrum(oscillator(0.1234, missing=holes))
    assert len(again) < len(power) and np.argmax(again) > 0
    assert statistics.power_spectrum(oscillator(0.1, missing=np.arange(4000) % 10 == 3)) is None
    assert statistics.power_spectrum(system(np.zeros((99, 1, 1, 3)))) is None


def test_displacements_of_uniform_motion_and_of_a_random_walk():
    velocity = np.array([[1.0, 0, 0], [0, 2.0, 0]])
    line = (np.arange(300.0)[:, None, None] * velocity)[:, :, None]
    found = statistics.rms_displacement(system(line, lengths=(100, 200)))
    assert max(found) == 100
    for lag, size in found.items():
        assert size == pytest.approx(lag * np.sqrt((1 + 4) / 2))
    walk = RNG.normal(size=(20_000, 3, 1, 3)).cumsum(0)
    for lag, size in statistics.rms_displacement(system(walk), (1, 100)).items():
        assert size == pytest.approx(np.sqrt(3 * lag), rel=0.1)


def test_the_largest_jump_is_found_and_runs_are_not_bridged():
    walk = RNG.normal(size=(50, 3, 1, 3)).cumsum(0) * 0.01
    walk[20:] += 1000  # between two runs, so no jump
    walk[31:, 2] += 5
    jump = statistics.largest_jump(system(walk, lengths=(20, 30)))
    assert (jump.frame, jump.node) == (30, 2)
    assert jump.size == pytest.approx(np.sqrt(75), abs=0.2) and jump.median < 0.1
    assert statistics.largest_jump(system(walk[:1])) is None


def test_hydrogens_that_are_left_out_are_counted_on_their_carriers():
    places = np.array([[0, 0, 0], [1.4, 0, 0], [-1, 0, 0], [0, 1, 0], [1.4, 1, 0], [0, 0, 1.0]])
    frames = np.stack([places] * 5)
    frames[1, 3] = [1.4, 0.9, 0]  # once nearer to the other one
    methanol = system(frames[:, :, None], atomic_numbers=np.array([6, 8, 1, 1, 1, 1]))
    heavy = transform.without_hydrogens(methanol)
    assert heavy.system.hydrogens.tolist() == [3, 1]
    alone = transform.take_nodes(heavy, np.array([1]), "oxygen")
    assert alone.system.hydrogens.tolist() == [1]
    assert methanol.system.hydrogens is None


def test_superposition_turns_external_vectors_with_their_frames():
    shape, up = RNG.normal(size=(5, 1, 3)), np.array([0.0, 0.0, 2.0])
    turns = Rotation.random(7, rng=RNG).as_matrix()
    tumbling = np.einsum("fij,ncj->fnci", turns, shape)
    field = turns @ shape[0, 0]  # fixed to the body
    still = transform.superimposed(system(tumbling, vectors={"up": up, "field": field}))
    back = np.einsum("ij,fkj->fik", turns[0], turns)
    np.testing.assert_allclose(still.vectors["up"], back @ up, atol=1e-12)
    np.testing.assert_allclose(still.vectors["field"], np.tile(field[0], (7, 1)), atol=1e-12)
    assert not still.system.vectors and np.ptp(still.vectors["up"], axis=0).max() > 0.5


def test_vectors_by_frame_follow_the_runs_that_are_kept():
    positions = RNG.normal(size=(12, 2, 1, 3))
    field = RNG.normal(size=(12, 3))
    three = system(positions, lengths=(3, 5, 4), vectors={"field": field, "up": [0, 1, 0]})
    kept = transform.take_runs(three, 4)
    np.testing.assert_array_equal(kept.vectors["field"], field[3:])
    assert kept.system.vectors["up"].tolist() == [0, 1, 0]
