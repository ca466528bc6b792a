"""What a system tells networks of its nodes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from estag_jax.data.system import ELEMENTS, DataError, System
from estag_jax.graph import Graph

WATER = ("O", "H", "H")
NUMBERS = np.array([8, 1, 1])
CHARGES = np.array([[-0.8], [0.4], [0.4]], np.float32)


def test_elements_are_one_hot():
    found = System(WATER, NUMBERS).inputs()
    assert found.shape == (1, 3, len(ELEMENTS) + 1) and found.dtype == np.float32
    assert found.sum(axis=-1).tolist() == [[1, 1, 1]]
    assert [ELEMENTS[column] for column in found[0].argmax(axis=-1)] == [8, 1, 1]


def test_every_known_element_has_a_column_and_all_others_share_the_last():
    numbers = np.array([*ELEMENTS, 26, 79, 2])
    found = System(tuple(map(str, numbers)), numbers).inputs("one-hot")[0]
    known = len(ELEMENTS)
    np.testing.assert_array_equal(found[:known], np.eye(known, known + 1))
    np.testing.assert_array_equal(found[known:], np.eye(known + 1)[[known] * 3])


def test_elements_as_one_number():
    system = System(("Fe", "H"), np.array([26, 1]))
    found = system.inputs("number")
    assert found.dtype == np.float32 and found.tolist() == [[[26], [1]]]


@pytest.mark.parametrize(("elements", "width"), [("one-hot", len(ELEMENTS) + 1), ("number", 1)])
def test_further_features_come_after_the_elements(elements, width):
    plain = System(WATER, NUMBERS).inputs(elements)
    found = System(WATER, NUMBERS, CHARGES).inputs(elements)
    assert plain.shape[-1] == width and found.shape == (1, 3, width + 1)
    np.testing.assert_array_equal(found[..., :width], plain)
    np.testing.assert_array_equal(found[0, :, width:], CHARGES)


@pytest.mark.parametrize("elements", ["one-hot", "number"])
def test_nodes_that_are_no_atoms_have_their_features_alone(elements):
    np.testing.assert_array_equal(System(WATER, None, CHARGES).inputs(elements), CHARGES[None])
    assert System(("hip", "knee")).inputs(elements).tolist() == [[[1], [1]]]


def test_atoms_without_further_features_have_none():
    assert System(WATER, NUMBERS).node_features.shape == (3, 0)
    assert System(WATER).node_features.shape == (3, 1)


def test_nodes_are_named_for_messages():
    assert System(WATER, NUMBERS).node_name(0) == "atom 0 (O)"
    assert System(("hip", "knee")).node_name(1) == "node 1 (knee)"
    assert System(("0", "1")).node_name(1) == "node 1"
    # A number that is not the node's own is a name like any other.
    assert System(("1", "0")).node_name(0) == "node 0 (1)"


BONDS = np.array([[0, 1], [0, 2]])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"node_features": CHARGES[:2]}, "node_features has 2 entries, expected 3"),
        ({"atomic_numbers": NUMBERS[:1]}, "atomic_numbers has 1 entries, expected 3"),
        (
            {"bonds": BONDS, "bond_orders": np.ones(1, np.float32)},
            "bond_orders has 1 entries, expected 2",
        ),
        ({"bond_orders": None, "bonds": BONDS + 1}, r"bonds name node 3, there are nodes 0 … 2"),
        ({"bonds": BONDS - 1}, r"bonds name node -1, there are nodes 0 … 2"),
        ({"graph": Graph([0], [1], 2)}, "graph has 2 entries, expected 3"),
        ({"anchor": 1}, r"anchor is 1, nodes have 1 channel\(s\)"),
        ({"channels": 4, "anchor": -1}, r"anchor is -1, nodes have 4 channel\(s\)"),
    ],
)
def test_a_system_that_does_not_fit_together_is_refused(fields, words):
    with pytest.raises(DataError, match=f"^{words}$"):
        System(WATER, **fields)


def test_a_system_that_fits_together_is_kept():
    graph = Graph([0, 1], [1, 0], 3)
    orders = np.ones(2, np.float32)
    system = System(WATER, NUMBERS, CHARGES, 4, "nm", BONDS, orders, 3, 0.6, graph)
    assert (system.num_nodes, system.anchor, system.graph) == (3, 3, graph)
    assert System(WATER, bonds=np.empty((0, 2), int)).bonds.shape == (0, 2)


def test_systems_are_compared_by_identity():
    system = System(WATER, NUMBERS)
    assert system == system and system != System(WATER, NUMBERS)


def test_elements_in_another_word_are_refused():
    with pytest.raises(ValueError, match="elements is 'onehot', expected one of one-hot, number"):
        System(WATER, NUMBERS).inputs("onehot")


def test_external_vectors_are_kept_with_their_lengths():
    given = {"up": [0, 0, 1], "field": np.array([0.1, 0, -0.2], np.float32)}
    found = System(WATER, vectors=given).vectors
    assert all(vector.dtype == np.float64 for vector in found.values())
    assert found["up"].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found["field"], given["field"])
    assert not System(WATER).vectors


@pytest.mark.parametrize(
    ("name", "vector", "fact"),
    [
        ("up", [0, 0, 0], "zero"),
        ("up", [0, np.nan, 1], "not finite"),
        ("up", [0, 1], r"shape \(2,\), expected \(3,\)"),
        ("up", [[0, 1, 0]], r"shape \(1, 3\)"),
        ("up/down", [0, 1, 0], "'up/down'"),
    ],
)
def test_what_is_no_external_vector_is_refused(name, vector, fact):
    with pytest.raises(DataError, match=fact) as error:
        System(WATER, vectors={name: vector})
    assert name in str(error.value) and "\n" not in str(error.value)
