"""Limbs and trunk of a skeleton, and vectors along bonds."""

import numpy as np
from helpers.bodies import BONES, MIRROR, NAMES, walk

from estag_jax.data.system import System
from estag_jax.models.limbs import along_bonds, groups_of

SKELETON = System(NAMES, bonds=BONES)


def test_groups_are_limbs_of_one_side_and_the_trunk():
    found = [sorted({*g, *MIRROR[g]}) for g in groups_of(SKELETON, MIRROR)]
    assert found == [[3, 4, 5, 6], [7, 8, 9, 10], [0, 1, 2]]
    sides = groups_of(SKELETON, MIRROR)
    assert [len(group) for group in sides] == [2, 2, 3]
    (everything,) = groups_of(SKELETON, np.arange(11))
    np.testing.assert_array_equal(everything, np.arange(11))


def test_vectors_along_bonds_and_centroids_say_where_all_points_are():
    x = walk(1)[0]
    rows = along_bonds(SKELETON)
    assert rows.shape == (11, 11) and np.linalg.matrix_rank(rows) == 11
    np.testing.assert_allclose(rows[0] @ x, x.mean(axis=0))
    lengths = [np.linalg.norm(x[j] - x[i]) for i, j in sorted(BONES.tolist())]
    np.testing.assert_allclose(np.linalg.norm(rows[1:] @ x, axis=1), lengths)
    apart = System(tuple("abcd"), bonds=np.array([[0, 2], [1, 3]]), channels=2, anchor=1)
    rows = along_bonds(apart)
    assert rows.shape == (2 + 2 + 4, 8) and np.linalg.matrix_rank(rows) == 8
    np.testing.assert_array_equal(rows[:2].sum(axis=1), 1)
    np.testing.assert_array_equal(rows[2:].sum(axis=1), 0)
