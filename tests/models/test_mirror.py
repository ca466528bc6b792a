"""Left and right are found from graph and shape, whatever the nodes are called, or given as pairs."""

import numpy as np
import pytest
from helpers.bodies import BONES, MIRROR, NAMES, PAIRS, walk

from estag_jax.data.system import System
from estag_jax.models.mirror import find_mirror, given_mirror, is_mirror
from estag_jax.ops.body_frames import mean_structure

pytestmark = pytest.mark.optimised


def skeleton(order=None):
    order = np.arange(11) if order is None else order
    return System(tuple(map(str, range(11))), bonds=np.argsort(order)[BONES])


MEAN = mean_structure(walk(300)[:, :, None])


def test_left_and_right_are_found_whatever_the_numbers_of_nodes():
    found = find_mirror(skeleton(), MEAN)
    np.testing.assert_array_equal(found.nodes, MIRROR)
    order = np.random.default_rng(0).permutation(11)
    renamed = find_mirror(skeleton(order), MEAN[order])
    np.testing.assert_array_equal(order[renamed.nodes], MIRROR[order])
    images = MEAN[:, 0] - 2 * np.outer(MEAN[:, 0] @ found.normal, found.normal)
    assert np.abs(images - MEAN[MIRROR, 0]).max() < 0.1


def test_the_graph_must_agree_and_so_must_the_shape():
    other = System(NAMES, bonds=np.concatenate([BONES, [[8, 2]]]))  # one hand at the head
    np.testing.assert_array_equal(find_mirror(other, MEAN).nodes[7:], [7, 8, 9, 10])
    crooked = MEAN + 0.5 * np.random.default_rng(0).normal(size=MEAN.shape)
    assert find_mirror(skeleton(), crooked) is None
    features = np.arange(11.0)[:, None].astype(np.float32)
    assert find_mirror(System(NAMES, bonds=BONES, node_features=features), MEAN) is None
    elements = np.full(11, 6)
    elements[4] = 8
    feet = find_mirror(System(NAMES, elements, bonds=BONES), MEAN)
    assert feet is None or feet.nodes[4] == 4
    for few in (1, 2, 3):
        assert find_mirror(System(NAMES[:few]), np.zeros((few, 1, 3))) is None


def test_a_shape_without_bonds_has_a_mirror_too():
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1.2, 1, 0.1], [-1.2, -1, 0.1]])[:, None]
    found = find_mirror(System(tuple("abcd")), square - square.mean(axis=0))
    np.testing.assert_array_equal(found.nodes, [1, 0, 3, 2])
    np.testing.assert_allclose(np.abs(found.normal), [0, 1, 0], atol=1e-9)


def test_pairs_are_given_and_bad_ones_refused():
    system = skeleton()
    np.testing.assert_array_equal(given_mirror(system, PAIRS, MEAN).nodes, MIRROR)
    for pairs, message in (
        (((3, 5), (3, 6)), "3, 6.*one pair"),
        (((3, 11),), "0 … 10"),
        (((3, 3),), "one pair"),
        (((3, 5),), "every pair"),
    ):
        with pytest.raises(ValueError, match=message):
            given_mirror(system, pairs, MEAN)
    assert not is_mirror(system, np.arange(11)) and is_mirror(system, MIRROR)
    assert not is_mirror(system, np.roll(np.arange(11), 1))
