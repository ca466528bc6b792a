"""Energies of frames: symmetry, units, what the simulation itself wrote, and drifts by hand."""

import numpy as np
import pytest

from estag_jax.data.system import DataError, System
from estag_jax.simulate.energies import drift, potential_energies, refuse

WATER = np.array([[0.0, 0.0, 0.1], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]])[None, :, None]


def water(**about):
    return System(("O", "H", "H"), np.array([8, 1, 1]), **about)


def test_energies_turn_and_change_units_with_the_frames():
    pytest.importorskip("tblite")
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    stretched = WATER * 1.2
    frames = np.concatenate([WATER, WATER @ turn + 3.0, stretched])
    found = potential_energies(frames, water())
    assert found[0] == pytest.approx(-5.07 * 27.2114, rel=2e-3)  # GFN2-xTB's minimum, 5.07 hartree
    assert found[1] == pytest.approx(found[0], abs=1e-5) and found[2] > found[0] + 0.5
    np.testing.assert_allclose(
        potential_energies(frames / 10, water(length_unit="nm")), found, atol=1e-5
    )
    lost = potential_energies(WATER * 0, water())
    assert not np.isfinite(lost).any() or lost > found[0]


def test_a_drift_is_between_the_ends():
    energies = np.concatenate([np.full(10, 1.0), np.linspace(0, 9, 80), np.full(10, 3.5)])
    assert drift(energies) == 2.5
    energies[[0, -1]] = np.nan
    assert drift(energies) == 2.5
    assert np.isnan(drift(np.full(5, np.nan)))


@pytest.mark.parametrize(
    "system, why",
    [
        (System(("0", "1")), "need atoms, and the nodes are none"),
        (
            water(hydrogens=np.array([2, 0, 0])),
            "hydrogens are left out; train with --read.hydrogens",
        ),
        (water(length_unit="inch"), "known unit of length, and it is 'inch'"),
    ],
)
def test_what_has_no_energy_is_refused(system, why):
    with pytest.raises(DataError, match=why):
        refuse(system)
