"""Bonds, angles and dihedrals against ASE and MDAnalysis; distances of distributions against closed forms."""

import ase
import ase.build
import numpy as np
import pytest
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals

from estag_jax.data.system import System
from estag_jax.evaluation.structure import (
    angles,
    bond_lengths,
    dihedrals,
    distribution_distances,
    jensen_shannon,
    masses,
    radius_of_gyration,
    terms,
)

RNG = np.random.default_rng(0)
ETHANOL = ase.build.molecule("CH3CH2OH")
BONDS = [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (1, 6), (1, 7), (1, 8)]  # C-C, C-O, O-H, C-H
FRAMES = ETHANOL.positions + 0.2 * RNG.normal(size=(40, 9, 3))


@pytest.fixture(scope="module")
def found():
    return terms(BONDS, 9)


def test_values_are_those_of_mdanalysis_and_ase(found):
    lengths, bent, turned = (
        f(FRAMES, nodes) for f, nodes in zip((bond_lengths, angles, dihedrals), found, strict=True)
    )
    for t, frame in enumerate(FRAMES.astype(np.float32)):
        p, a, d = (np.moveaxis(frame[nodes], 1, 0) for nodes in found)
        np.testing.assert_allclose(lengths[t], calc_bonds(*p), rtol=1e-5)
        np.testing.assert_allclose(bent[t], np.degrees(calc_angles(*a)), rtol=1e-4)
        near = (turned[t] - np.degrees(calc_dihedrals(*d)) + 180) % 360 - 180
        np.testing.assert_allclose(near, 0, atol=2e-3)
    atoms = ase.Atoms("C" * 9, FRAMES[3])
    np.testing.assert_allclose(bent[3], atoms.get_angles(found.angles), rtol=1e-9)
    near = (turned[3] - atoms.get_dihedrals(found.dihedrals) + 180) % 360 - 180
    np.testing.assert_allclose(near, 0, atol=1e-8)


def test_terms_of_a_chain_and_of_a_ring():
    chain = terms([(0, 1), (2, 1), (1, 2), (2, 3)], 4)
    assert chain.bonds.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert chain.angles.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert chain.dihedrals.tolist() == [[0, 1, 2, 3]]
    assert [len(t) for t in terms([(0, 1), (1, 2), (2, 0)], 3)] == [3, 3, 0]
    assert [len(t) for t in terms([], 2)] == [0, 0, 0]


def test_dihedrals_change_sign_in_a_mirror_and_lengths_and_angles_do_not(found):
    mirror = FRAMES * [1, 1, -1]
    np.testing.assert_allclose(
        dihedrals(mirror, found.dihedrals), -dihedrals(FRAMES, found.dihedrals)
    )
    np.testing.assert_allclose(angles(mirror, found.angles), angles(FRAMES, found.angles))
    assert angles(np.eye(3)[None], np.array([[0, 1, 2]]))[0, 0] == pytest.approx(60)


def test_radius_of_gyration_weighs_by_mass_and_counts_hidden_hydrogens():
    one = System(("C", "O"), np.array([6, 8]), hydrogens=np.array([3, 0]))
    weights = masses(one)
    np.testing.assert_allclose(weights, [12.011 + 3 * 1.008, 15.999])
    reduced = weights.prod() / weights.sum() ** 2
    rod = np.array([[0.0, 0, 0], [0, 3, 4]]) + 100
    assert radius_of_gyration(rod, weights) == pytest.approx(5 * np.sqrt(reduced))
    ethanol = System(tuple(ETHANOL.symbols), ETHANOL.numbers)
    about = ETHANOL.positions - ETHANOL.get_center_of_mass()
    m = ETHANOL.get_masses()
    expected = np.sqrt((m * (about**2).sum(axis=1)).sum() / m.sum())
    assert radius_of_gyration(ETHANOL.positions, masses(ethanol)) == pytest.approx(expected)


def test_jensen_shannon_distance_of_known_histograms():
    edges = np.array([[0.0, 1.0, 2.0]])
    one, other = np.array([[0.5], [0.5]]), np.array([[0.5], [1.5]])
    # p = (1, 0), q = (1/2, 1/2): d² = H(3/4, 1/4) - (0 + 1) / 2.
    expected = np.sqrt(-0.75 * np.log2(0.75) - 0.25 * np.log2(0.25) - 0.5)
    np.testing.assert_allclose(jensen_shannon(one, other, edges), [expected])
    np.testing.assert_allclose(jensen_shannon(other, one, edges), [expected])
    outside = np.array([[-7.0], [9.0], [np.nan], [np.inf]])
    assert jensen_shannon(outside, other, edges)[0] == pytest.approx(1)
    assert jensen_shannon(other, other, edges)[0] == 0


def test_distances_tell_the_same_motion_from_a_stiffer_one(found):
    def motion(size, seed, count=2000):
        noise = np.random.default_rng(seed).normal(size=(count, 9, 3))
        return ETHANOL.positions + size * noise

    same = distribution_distances(motion(0.05, 1), motion(0.05, 2), found)
    stiff = distribution_distances(motion(0.02, 1), motion(0.05, 2), found)
    assert list(same) == ["bonds", "angles", "dihedrals"]
    for name in same:
        assert 0 < same[name]["distance"] < 1.3 * same[name]["halves"]
        assert stiff[name]["distance"] > 2 * same[name]["distance"]
        assert stiff[name]["worst"] <= 1
    broken = distribution_distances(np.full((10, 9, 3), np.inf), motion(0.05, 2), found)
    assert broken["bonds"]["distance"] == pytest.approx(1)
