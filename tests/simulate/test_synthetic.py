"""Synthetic sources: what they return, what they hide, what they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

from estag_jax.data.system import DataError
from estag_jax.simulate import synthetic
from estag_jax.simulate.synthetic import _KINDS, SyntheticConfig, exponents, read

pytestmark = pytest.mark.optimised

SHORT = {"runs": 3, "frames": 12}


@pytest.fixture(scope="module")
def short():
    return {name: read(name, SyntheticConfig(**SHORT)) for name in _KINDS}


@pytest.fixture
def no_exponents(monkeypatch):
    """Spares the tests of other things the time that the exponents take."""
    monkeypatch.setattr(synthetic, "exponents", lambda name, config: np.ones(8))


def test_shapes_units_and_what_is_said(short):
    for name, nodes in (
        ("springs", 5),
        ("charged", 5),
        ("pendulum", 3),
        ("lorenz", 3),
        ("threebody", 3),
    ):
        found = short[name]
        assert found.positions.shape == (36, nodes, 1, 3) and found.positions.dtype == np.float32
        assert found.lengths == (12, 12, 12) and len(found.run_names) == 3
        assert found.system.node_features.dtype == np.float32 and found.system.graph is None
        assert found.source == f"synthetic:{name}" and found.system.atomic_numbers is None
        assert np.isfinite(found.positions).all()
        units = ("s", "m") if name == "pendulum" else ("time unit", "unit")
        assert (found.time_unit, found.system.length_unit) == units
        drift = next(note for note in found.notes if note.startswith("largest "))
        assert float(drift.split()[-1]) < 1e-2
        assert any(note.startswith("Lyapunov time") for note in found.notes) != (name == "springs")
    assert "rotations about it" in " ".join(short["pendulum"].notes)
    assert "not equivariant" in " ".join(short["lorenz"].notes)
    assert "linear autoregression" in " ".join(short["springs"].notes)


def test_node_features_tell_particles_apart(short):
    assert (short["springs"].system.node_features == 1).all()
    assert sorted(short["charged"].system.node_features[:, 0]) == [-1, -1, 1, 1, 1]
    np.testing.assert_array_equal(short["pendulum"].system.node_features, [[0, 1], [1, 0], [1, 0]])
    masses = short["threebody"].system.node_features
    assert len(np.unique(masses)) == 3 and (masses > 0.5).all() and (masses < 1.5).all()


def test_motion_is_what_the_features_say(short):
    """Free systems keep their centre; the pendulum hangs from its first node on rods of 1 m."""
    for name in ("springs", "charged", "threebody"):
        found = short[name]
        weights = found.system.node_features if name == "threebody" else np.ones((5, 1))
        centre = (weights * found.positions[:, :, 0]).sum(axis=1)
        np.testing.assert_allclose(centre, 0, atol=1e-5)
    bobs = short["pendulum"].positions[:, :, 0]
    assert not bobs[:, 0].any() and short["pendulum"].system.names[0] == "anchor"
    np.testing.assert_allclose(np.linalg.norm(np.diff(bobs, axis=1), axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(short["pendulum"].system.bonds, [[0, 1], [1, 2]])


def test_springs_pull_along_the_bonds():
    """The accelerations are those of the bonds alone, -(x_i - x_j), by finite differences."""
    config = SyntheticConfig(runs=2, frames=30, frame_step=0.005, particles=6, float64=True)
    found = read("springs", config)
    x = found.positions[:30, :, 0]
    force = np.zeros_like(x)
    for i, j in found.system.bonds:
        force[:, i] -= x[:, i] - x[:, j]
        force[:, j] += x[:, i] - x[:, j]
    acceleration = (x[2:] - 2 * x[1:-1] + x[:-2]) / 0.005**2
    np.testing.assert_allclose(acceleration, force[1:-1], atol=2e-3)
    ends = set(range(6))
    assert {int(end) for bond in found.system.bonds for end in bond} == ends


def test_seeds_and_runs(no_exponents):
    config = SyntheticConfig(runs=2, frames=5, float64=True)
    first = read("threebody", config)
    again = read("threebody", config)
    assert first.positions.dtype == np.float64
    np.testing.assert_array_equal(first.positions, again.positions)
    assert first.notes == again.notes
    more = read("threebody", SyntheticConfig(runs=3, frames=5, float64=True))
    np.testing.assert_allclose(more.positions[:10], first.positions, atol=1e-12)
    np.testing.assert_array_equal(more.system.node_features, first.system.node_features)
    assert np.abs(more.positions[10:] - more.positions[:5]).max() > 0.1
    other = read("threebody", SyntheticConfig(runs=2, frames=5, seed=1))
    assert (other.system.node_features != first.system.node_features).all()


@pytest.mark.parametrize("name", ["springs", "charged", "pendulum", "lorenz"])
def test_hidden_particles_act_and_are_absent(name, no_exponents):
    options = {"runs": 2, "frames": 20, "particles": 4, "float64": True}
    whole = read(name, SyntheticConfig(**options))
    part = read(name, SyntheticConfig(**options, hidden=2))
    kept = whole.system.num_nodes - 2
    np.testing.assert_array_equal(part.positions, whole.positions[:, :kept])
    np.testing.assert_array_equal(part.system.node_features, whole.system.node_features[:kept])
    if whole.system.bonds is not None:
        visible = [list(bond) for bond in whole.system.bonds if max(bond) < kept]
        assert part.system.bonds.tolist() == visible and len(visible) < len(whole.system.bonds)
    assert any("last 2 of 4 particles are hidden" in note for note in part.notes)
    # A system of the visible ones alone would keep its centre (and the first pendulum its energy).
    if name in ("springs", "charged"):
        assert np.abs(part.positions[:, :, 0].mean(axis=1)).max() > 0.1


def test_three_bodies_stay_together(no_exponents):
    found = read("threebody", SyntheticConfig(runs=8, frames=200))
    assert np.linalg.norm(found.positions, axis=-1).max() < 5
    note = next(note for note in found.notes if "left out" in note)
    left_out, tried = map(int, re.match(r"(\d+) of (\d+) starts left out", note).groups())
    assert tried - left_out == 8


def test_lyapunov_time_is_that_of_the_exponents(monkeypatch):
    config = SyntheticConfig(particles=1, runs=1, frames=2)
    rates = exponents("lorenz", config)
    assert rates.shape == (8,) and rates.std() > 0
    np.testing.assert_allclose(rates.mean(), 0.9056, atol=0.04)
    monkeypatch.setattr(synthetic, "exponents", lambda name, config: rates)
    note = read("lorenz", config).notes[-1]
    assert note.startswith("Lyapunov time 1.1") and "8 runs of 200 time units" in note
    assert f"{rates.mean():.3f} ± {rates.std(ddof=1):.3f}" in note


def test_a_single_pendulum_is_not_called_chaotic():
    found = read("pendulum", SyntheticConfig(particles=1, runs=2, frames=5))
    assert found.positions.shape == (10, 2, 1, 3)
    assert found.notes[-1].startswith("no chaos found")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("spring", {}, "springs, charged.*did you mean 'springs'"),
        ("water", {}, "synthetic:water: .*known are springs"),
        ("threebody", {"particles": 4}, "particles is 4.* 3"),
        ("charged", {"particles": 1}, "particles is 1.* 2"),
        ("springs", {"hidden": 4}, "4 of 5 .*hidden.* 2 .*visible"),
        ("pendulum", {"hidden": 2}, "2 of 2 .*hidden.* 1 .*visible"),
        ("lorenz", {"hidden": 1, "coupling": 0.0}, "hidden has no effect.*coupling 0"),
        ("lorenz", {"coupling": 2.0}, "coupling is 2.*0.9056"),
        ("lorenz", {"rest_length": 1.0}, "rest_length has no effect.*springs"),
        ("springs", {"coupling": 1.0}, "coupling has no effect.*lorenz"),
        ("pendulum", {"substeps": 1}, "too coarse.*energy"),
        ("lorenz", {"frame_step": 0.1, "substeps": 1}, "too coarse.*difference of a frame"),
        ("lorenz", {"frame_step": 1.0, "substeps": 1}, "no longer finite at frame"),
        ("threebody", {"runs": 1, "frames": 9_000}, "20 starts 0 .* 9000 frames"),
    ],
)
def test_what_does_not_work_is_refused(name, options, words, no_exponents):
    with pytest.raises(DataError, match=words) as error:
        read(name, SyntheticConfig(**{"runs": 4, "frames": 40} | options))
    assert "\n" not in str(error.value)


def test_the_remedy_is_named():
    with pytest.raises(DataError, match=r"raise substeps \(1\) or lower frame_step \(0.05\)"):
        read("pendulum", SyntheticConfig(runs=4, frames=40, substeps=1))
    with pytest.raises(DataError, match="its exponent is not measured"):
        exponents("springs")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runs": 0}, "synthetic runs is 0, it must be 1 or more"),
        ({"frames": 0}, "synthetic frames is 0"),
        ({"hidden": -1}, "synthetic hidden is -1, it must be 0 or more"),
        ({"particles": 0}, "synthetic particles is 0"),
        ({"substeps": 0}, "synthetic substeps is 0"),
        ({"coupling": -0.1}, "synthetic coupling is -0.1"),
        ({"rest_length": float("nan")}, "synthetic rest_length is nan"),
        ({"frame_step": 0.0}, "synthetic frame_step is 0.0, it must be positive"),
        ({"seed": -1}, "synthetic seed is -1, it must lie in"),
    ],
)
def test_values_out_of_range(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        SyntheticConfig(**options)
