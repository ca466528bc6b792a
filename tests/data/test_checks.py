"""What a trajectory is asked before anything is done with it: lengths, step, frames, digits, parts."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from scipy.constants import atomic_mass, k

from estag_jax.data import checks
from estag_jax.data.graphs import with_graph
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory

ETHANOL = molecule("CH3CH2OH")


def shaken(frames=40, size=0.02, scale=1.0, **about):
    """Ethanol whose atoms move by independent normal steps of ``size`` Å."""
    steps = np.random.default_rng(0).normal(0, size, (frames, 9, 3)).cumsum(axis=0)
    about = {"frame_step": 0.5, "time_unit": "fs", "source": "a.npz"} | about
    positions = (ETHANOL.positions + steps) * scale
    return Trajectory.from_arrays(positions, atomic_numbers=ETHANOL.numbers, **about)


def notes(trajectory):
    return checks.plausible(trajectory).notes


def test_what_is_plausible_has_no_note():
    trajectory = shaken()
    assert checks.plausible(trajectory) is trajectory


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(0.1, "nm"), (100.0, "pm"), (1e-10, "m"), (1e-8, "cm"), (0.1 / 0.529177, None)],
)
def test_lengths_that_cannot_be_in_angstrom_are_refused(scale, unit):
    if unit is None:  # nm taken for bohr
        with pytest.raises(DataError, match="is this nm"):
            checks.plausible(shaken(scale=0.1, length_unit="bohr"))
        return
    with pytest.raises(
        DataError, match=rf"a\.npz: .*is this {unit}.*--read.length-unit {unit}"
    ) as error:
        checks.plausible(shaken(scale=scale))
    assert "\n" not in str(error.value)
    assert not notes(shaken(scale=scale, length_unit=unit))
    plain = shaken(scale=scale, length_unit="unit")  # of the user's own: nothing is known of it
    assert not [note for note in notes(plain) if "bond" in note]


def test_bohr_is_asked_for_where_no_atom_is_bonded():
    assert "is this bohr? (--read.length-unit bohr)" in notes(shaken(scale=1 / 0.529177))[0]
    argon = np.random.default_rng(0).normal(0, 0.01, (9, 2, 3)) + [[[0, 0, 0], [9.0, 0, 0]]]
    assert not notes(Trajectory.from_arrays(argon, atomic_numbers=[18, 18]))


def test_a_step_that_makes_atoms_too_fast_or_too_cold():
    # <|dx|²> of a node is 3 size², and m <v²> = 3 k T.
    size, step = 0.02, 0.5
    masses = ETHANOL.get_masses() * atomic_mass
    kelvin = masses.mean() * (size * 1e-10 / (step * 1e-15)) ** 2 / k
    assert checks.COLD < kelvin < checks.HOT
    fast = notes(shaken(frame_step=step / 20))
    found = float(fast[0].partition("as at ")[2].split()[0])
    assert found == pytest.approx(400 * kelvin, rel=0.6) and "--read.frame-step" in fast[0]
    assert "K: is the step right" in notes(shaken(size=1e-5))[0]
    assert not notes(shaken(size=1e-5, time_unit="ps"))  # long steps do not tell a temperature


def test_frames_that_are_there_twice():
    trajectory = shaken()
    positions = trajectory.positions[np.r_[0:10, 9:20, 19:40]]
    (note,) = notes(trajectory.changed(positions=positions, lengths=(42,)))
    assert note.startswith("frames 9 and 10 are identical, 2 pair(s)")
    # The end of a run and the beginning of the next may be the same.
    assert not notes(trajectory.changed(positions=positions, lengths=(10, 11, 21)))
    still = trajectory.changed(positions=np.repeat(trajectory.positions[:1], 40, axis=0))
    assert notes(still) == (
        "nothing moves: all frames are identical, so that there is nothing to forecast",
    )


def test_digits_that_single_precision_loses():
    far = shaken().positions + 1e5
    single = shaken().changed(positions=far.astype(np.float32))
    assert any("single precision" in note for note in notes(single))
    assert not notes(shaken().changed(positions=far))


def test_parts_of_a_graph_are_told():
    one = shaken()
    assert not checks.connected(with_graph(one)).notes
    two = np.concatenate([one.positions, one.positions + 30.0], axis=1)
    numbers = np.tile(ETHANOL.numbers, 2)
    (note,) = checks.connected(
        with_graph(Trajectory.from_arrays(two, atomic_numbers=numbers))
    ).notes
    apart = np.linalg.norm(two[0, :9, None, 0] - two[0, None, 9:, 0], axis=-1).min()
    assert note.startswith("the graph has 2 parts of 9, 9 nodes") and f"{apart:.3g} Å" in note


def test_lengths_that_are_in_the_wanted_unit_already():
    for unit, scale in (("nm", 0.1), ("bohr", 1 / 0.529177)):
        found = checks.plausible(shaken(scale=scale), unit)
        assert found.system.length_unit == unit and f"in {unit} already" in found.notes[0]
    assert checks.plausible(shaken(), "nm").system.length_unit == "Å"  # to be converted
    with pytest.raises(DataError, match="is this nm"):
        checks.plausible(shaken(scale=0.1), "pm")


def test_a_unit_that_is_not_the_files():
    with pytest.raises(DataError, match="is this Å.*--read.length-unit Å"):  # Å said to be nm
        checks.plausible(shaken(length_unit="nm"))


def test_a_frame_that_was_never_written():
    positions = shaken().positions.copy()
    positions[7] = 0
    with pytest.raises(DataError, match=r"a\.npz: frame 7 .*all nodes in one place"):
        checks.plausible(shaken().changed(positions=positions))


def test_data_in_which_nothing_moves():
    still = shaken(size=0.0)
    with pytest.raises(DataError, match=r"a\.npz: nothing moves"):
        checks.refuse_still([still])
    assert "nothing moves" in notes(still)[0]
    checks.refuse_still([still, shaken()])
