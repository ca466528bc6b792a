"""Trajectories: from arrays, with changes, and the fingerprint of what a model sees."""

from __future__ import annotations

import numpy as np
import pytest

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.graph import Graph

POSITIONS = np.random.default_rng(0).normal(size=(6, 3, 2, 3)).astype(np.float32)
NUMBERS = np.array([8, 1, 1])
BONDS = np.array([[0, 1], [0, 2]])
UP = np.array([0.0, 0.0, 1.0])
MISSING = np.array([False, False, True, False, False, False])


def edges(senders=(0, 1), receivers=(1, 2), features=((1.0,), (2.0,))):
    """A graph whose edges are given in its own order, by receiver."""
    return Graph(np.array(senders), np.array(receivers), 3, np.array(features, np.float32))


def whole(vectors=None, **changes):
    """A trajectory with every field that a model sees."""
    plain = Trajectory.from_arrays(
        POSITIONS,
        atomic_numbers=NUMBERS,
        node_features=[[0.1], [0.2], [0.3]],
        bonds=BONDS,
        lengths=(2, 4),
        missing=MISSING,
        vectors=vectors,
    )
    return plain.changed(**{"graph": edges()} | changes)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("float32", "float32"), ("float64", "float64"), ("float16", "float32"), ("int32", "float32")],
)
def test_single_and_double_precision_are_kept(given, kept):
    positions = (10 * POSITIONS).astype(given)
    found = Trajectory.from_arrays(positions)
    assert found.positions.dtype == kept
    np.testing.assert_array_equal(found.positions, positions)


def test_points_without_channels_get_one():
    found = Trajectory.from_arrays(POSITIONS[:, :, 0].tolist())
    assert found.positions.shape == (6, 3, 1, 3) and found.system.channels == 1
    np.testing.assert_array_equal(found.positions[:, :, 0], POSITIONS[:, :, 0])
    assert Trajectory.from_arrays(POSITIONS).system.channels == 2


def test_names_are_symbols_or_numbers_unless_given():
    assert Trajectory.from_arrays(POSITIONS).system.names == ("0", "1", "2")
    atoms = Trajectory.from_arrays(POSITIONS, atomic_numbers=[8, 1, 26])
    assert atoms.system.names == ("O", "H", "Fe")
    named = Trajectory.from_arrays(POSITIONS, atomic_numbers=NUMBERS, names=np.array(list("abc")))
    assert named.system.names == ("a", "b", "c")
    assert all(type(name) is str for name in named.system.names)


def test_fields_go_to_the_system_and_the_trajectory():
    orders = np.array([1, 2], np.float32)
    found = Trajectory.from_arrays(
        POSITIONS,
        atomic_numbers=NUMBERS.tolist(),
        node_features=[[1], [2], [3]],
        length_unit="nm",
        bonds=BONDS,
        bond_orders=orders,
        anchor=1,
        contact_distance=0.6,
        frame_step=0.5,
        time_unit="fs",
        lengths=(2, 4),
        run_names=("a", "b"),
        licence="MIT",
    )
    system = found.system
    assert system.atomic_numbers.dtype == np.int64 and system.node_features.dtype == np.float32
    assert (system.length_unit, system.anchor, system.contact_distance) == ("nm", 1, 0.6)
    assert system.bonds is BONDS and system.bond_orders is orders and system.graph is None
    assert (found.frame_step, found.time_unit, found.licence) == (0.5, "fs", "MIT")
    assert (found.lengths, found.run_names, found.num_frames) == ((2, 4), ("a", "b"), 6)
    assert Trajectory.from_arrays(POSITIONS).lengths == (6,)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"positions": POSITIONS[0, 0]}, r"positions have shape \(2, 3\), expected \[frames, N, 3"),
        ({"positions": POSITIONS[..., :2]}, r"positions have shape \(6, 3, 2, 2\)"),
        ({"names": ("a", "b")}, "names has 2 entries, expected 3"),
        ({"atomic_numbers": [8, 1]}, "names has 2 entries, expected 3"),
        ({"atomic_numbers": [8], "names": "abc"}, "atomic_numbers has 1 entries, expected 3"),
        ({"node_features": np.ones((2, 1))}, "node_features has 2 entries, expected 3"),
        ({"bonds": BONDS + 1}, "bonds name node 3"),
        ({"anchor": 2}, r"anchor is 2, nodes have 2 channel\(s\)"),
        ({"lengths": (2, 3)}, r"lengths \(2, 3\) do not add up to 6 frames"),
        ({"missing": MISSING[:4]}, "missing has 4 entries, expected 6"),
        ({"run_names": ("a", "b")}, "run_names has 2 entries, expected 1"),
        ({"frame_step": 0.0}, "the time step is 0.0, it must be positive"),
        ({"frame_step": np.inf}, "the time step is inf, it must be positive"),
        ({"atomic_numbers": [8, 0, 1]}, r"atomic_numbers\[1\] is 0, expected 1 to 118"),
        ({"atomic_numbers": [8, 1, 119]}, r"atomic_numbers\[2\] is 119, expected 1 to 118"),
    ],
)
def test_errors_name_the_source(fields, words):
    with pytest.raises(DataError, match=f"^w.npz: {words}"):
        Trajectory.from_arrays(**{"positions": POSITIONS, "source": "w.npz"} | fields)


def test_positions_must_fit_the_system():
    words = r"positions have 2 nodes of 2 channel\(s\), the system has 3 of 2"
    with pytest.raises(DataError, match=words):
        whole().changed(positions=POSITIONS[:, :2])


def test_changes_reach_the_system_and_leave_the_original():
    before = whole()
    after = before.changed(length_unit="nm", time_unit="ps", anchor=1)
    assert (after.system.length_unit, after.system.anchor, after.time_unit) == ("nm", 1, "ps")
    assert (before.system.length_unit, before.system.anchor, before.time_unit) == ("Å", 0, "frame")
    assert after.positions is before.positions and after.system.bonds is before.system.bonds
    assert after.system.names == before.system.names and after.lengths == before.lengths
    # A change of the trajectory alone does not copy the system.
    assert before.changed(time_unit="ps").system is before.system


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="unit_of_length"):
        whole().changed(unit_of_length="nm")


def test_changes_are_checked():
    with pytest.raises(DataError, match="anchor is 2"):
        whole().changed(anchor=2)
    with pytest.raises(DataError, match="do not add up"):
        whole().changed(lengths=(1, 4))


def test_notes_are_added_in_order():
    before = whole().changed(notes=("read",))
    after = before.noted("halved", positions=POSITIONS / 2, length_unit="nm").noted("kept")
    assert after.notes == ("read", "halved", "kept") and before.notes == ("read",)
    np.testing.assert_array_equal(after.positions, POSITIONS / 2)
    assert after.system.length_unit == "nm"


def test_trajectories_are_compared_by_identity():
    trajectory = whole()
    assert trajectory == trajectory and trajectory != whole()


def test_the_fingerprint_is_that_of_the_values():
    assert whole().fingerprint == whole().fingerprint
    assert len(whole().fingerprint) == 64
    # The order of the axes in memory is not part of the data.
    assert whole(positions=np.asfortranarray(POSITIONS)).fingerprint == whole().fingerprint


SEEN = {
    "one coordinate": {
        "positions": np.where(np.arange(108).reshape(6, 3, 2, 3) < 107, POSITIONS, 9)
    },
    "order of frames": {"positions": POSITIONS[::-1]},
    "precision": {"positions": POSITIONS.astype(np.float64)},
    "lengths": {"lengths": (3, 3)},
    "one run": {"lengths": (6,)},
    "node features": {"node_features": np.array([[0.1], [0.2], [0.4]], np.float32)},
    "no node features": {"node_features": np.ones((3, 0), np.float32)},
    "elements": {"atomic_numbers": np.array([8, 1, 6])},
    "no elements": {"atomic_numbers": None},
    "missing frame": {"missing": MISSING[::-1]},
    "no missing frame": {"missing": None},
    "senders": {"graph": edges((0, 0))},
    "receivers": {"graph": edges(receivers=(2, 2))},
    "edge features": {"graph": edges(features=((1.0,), (3.0,)))},
    "no edge features": {"graph": Graph([0, 1], [1, 2], 3)},
    "no graph": {"graph": None},
    "a vector": {"vectors": {"up": UP}},
    "its name": {"vectors": {"down": UP}},
    "its value": {"vectors": {"up": 2 * UP}},
    "a vector by frame": {"vectors": {"up": np.tile(UP, (6, 1))}},
}


def test_the_fingerprint_changes_with_each_thing_a_model_sees():
    found = {name: whole(**changes).fingerprint for name, changes in SEEN.items()}
    found["nothing"] = whole().fingerprint
    for name, fingerprint in found.items():
        twins = [other for other in found if found[other] == fingerprint]
        assert twins == [name]


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("a", "b", "c")},
        {"bonds": None},  # bonds reach a model by the graph alone
        {"run_names": ("a", "b")},
        {"source": "elsewhere"},
        {"provenance": "a test"},
        {"licence": "MIT"},
        {"notes": ("centred",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_does_not_change_with_what_no_model_sees(changes):
    assert whole(**changes).fingerprint == whole().fingerprint


def test_fingerprints_without_vectors_are_those_of_before():
    before = "857ae566d8b111249417797d8281561c715d6c1b2c35775e952b69c7e4796d45"
    assert whole().fingerprint == before


def test_vectors_go_to_the_system_or_to_the_frames():
    field = np.arange(1.0, 19).reshape(6, 3)
    found = Trajectory.from_arrays(POSITIONS, vectors={"up": [0, 0, 1], "field": field})
    assert list(found.system.vectors) == ["up"] and list(found.vectors) == ["field"]
    at = found.vectors_at(np.array([4, 1]))
    assert at["up"].tolist() == [[0, 0, 1]]
    np.testing.assert_array_equal(at["field"], field[[4, 1]])
    # A new one takes the place of the old one, whatever the kind of either.
    by_frame = found.with_vectors({"up": field})
    assert not by_frame.system.vectors and set(by_frame.vectors) == {"up", "field"}
    assert by_frame.with_vectors({"up": [0, 1, 0]}).system.vectors["up"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("vectors", "fact"),
    [
        ({"up": np.ones((5, 3))}, r"up has shape \(5, 3\), expected \(6, 3\)"),
        ({"up": np.arange(18.0).reshape(6, 3) * (np.arange(6) > 2)[:, None]}, r"3 frame\(s\)"),
        ({"up": [0, 0, np.inf]}, "up .*not finite"),
    ],
)
def test_errors_about_vectors_name_the_source(vectors, fact):
    with pytest.raises(DataError, match=f"^w.npz: .*{fact}"):
        Trajectory.from_arrays(POSITIONS, source="w.npz", vectors=vectors)


def test_a_vector_is_the_systems_or_the_frames():
    with pytest.raises(DataError, match="up is both"):
        whole({"up": UP}).changed(vectors={"up": np.tile(UP, (6, 1))})


def test_vectors_of_missing_frames_may_be_missing():
    field = np.where(MISSING[:, None], np.nan, 1.0) * np.ones((6, 3))
    assert whole().with_vectors({"field": field}).vectors["field"].shape == (6, 3)


def test_fingerprints_stay_those_of_saved_runs(monkeypatch):
    """As version 0.2 computed it, in one piece: --resume compares it."""
    positions = np.arange(120, dtype=np.float32).reshape(40, 1, 3) ** 2 / 7
    by_frame = np.linspace(0, 1, 120).reshape(40, 3)
    given = {"vectors": {"up": (0, 0, 1.0), "field": by_frame}, "lengths": (20, 20)}
    found = {}
    for block in (7, 10_000):
        monkeypatch.setattr("estag_jax.data.trajectory.BLOCK", block)
        found[block] = Trajectory.from_arrays(positions, **given).fingerprint
    assert set(found.values()) == {
        "fc58248e58a8a23d164cafed563f76a8ac831887317e46d868f07e35353403df"
    }
