"""Forecasts from and as ase.Atoms."""

import ase
import numpy as np
import pytest
from helpers.springs import FULL, SPLIT, WINDOW, frames

from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.interop import as_atoms, extend
from estag_jax.training.fit import fit

NUMBERS = [8, 1, 6]


@pytest.fixture(scope="module")
def forecaster():
    trajectory = Trajectory.from_arrays(
        frames(dtype=np.float64), atomic_numbers=NUMBERS, frame_step=0.5, time_unit="fs"
    )
    return fit("VAR ridge", Task(trajectory, WINDOW, SPLIT, FULL)).forecaster


def images(count=20, numbers=NUMBERS, step=None, **about):
    """A trajectory of Atoms with all that a frame may carry."""
    found = []
    for i, x in enumerate(frames()[:count]):
        atoms = ase.Atoms(numbers, x.astype(float), **about)
        atoms.info["name"] = "three bodies"
        if step is not None:
            atoms.info["time_fs"] = 7 + step * i
        atoms.set_momenta(np.ones((len(atoms), 3)))
        found.append(atoms)
    return found


def test_a_trajectory_goes_on_as_by_a_rollout(forecaster):
    # T=4 frames, every second one, the last at the end: frames 13, 15, 17, 19.
    history = forecaster.history(frames()[:20], start=13)
    expected = np.asarray(forecaster.rollout(history, 5))
    given = images(cell=[30, 40, 50])
    found = extend(given, forecaster, 5)
    assert len(found) == 5 and len(given) == 20
    for atoms, frame in zip(found, expected, strict=True):
        np.testing.assert_allclose(atoms.positions, frame[:, 0], atol=1e-5)
        assert atoms.numbers.tolist() == NUMBERS and atoms.info["name"] == "three bodies"
        assert atoms.cell.lengths().tolist() == [30, 40, 50] and not atoms.pbc.any()
        assert not atoms.has("momenta")
    assert np.abs(found[0].positions - given[-1].positions).max() > 0.01
    assert given[-1].has("momenta")
    assert [atoms.info["time_fs"] for atoms in found] == [1, 2, 3, 4, 5]


def test_forecasts_are_extended_and_times_go_on(forecaster):
    whole = extend(images(step=0.5), forecaster, 8)
    assert [atoms.info["time_fs"] for atoms in whole[:2]] == [17.5, 18.5]
    # The first five are 1 fs apart, as a history is.
    rest = extend(whole[:5], forecaster, 3)
    for a, b in zip(rest, whole[5:], strict=True):
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-5)
        assert a.info["time_fs"] == b.info["time_fs"]
    bare = [ase.Atoms(a.numbers, a.positions) for a in whole[:5]]
    again = extend(bare, forecaster, 3, frame_step=1.0)
    np.testing.assert_allclose(again[-1].positions, whole[-1].positions, atol=1e-5)


def test_jumps_across_a_periodic_boundary_are_removed(forecaster):
    cell = [[30, 0, 0], [3, 30, 0], [0, 0, 30]]
    given = images(cell=cell, pbc=True)
    plain = extend(given, forecaster, 4)
    # Near a face, so that the bodies cross it while the frames go on.
    shift = -frames()[17, 0] + [0, 0, 0.0]
    wrapped = [atoms.copy() for atoms in given]
    jumped = []
    for atoms in wrapped:
        atoms.positions += shift
        atoms.positions[0] = ase.Atoms(
            "X", [atoms.positions[0]], cell=cell, pbc=True
        ).get_positions(wrap=True)[0]
        jumped.append(atoms.positions[0])
    assert np.ptp(np.array(jumped), axis=0).max() > 20
    found = extend(wrapped, forecaster, 4)
    assert found[0].pbc.all()
    for a, b in zip(found, plain, strict=True):
        apart = a.positions - b.positions - shift
        apart = np.linalg.solve(np.array(cell).T, apart.T).T
        np.testing.assert_allclose(apart, np.round(apart), atol=1e-5)
    # Left as they are, the jumps are taken for motion.
    for atoms in wrapped:
        atoms.pbc = False
    wrong = extend(wrapped, forecaster, 4)
    assert np.abs(wrong[0].positions - found[0].positions).max() > 1


def test_hydrogens_are_left_out_where_the_forecaster_has_none():
    x = frames(4)
    heavy = Trajectory.from_arrays(x[:, 1:], atomic_numbers=[6, 7, 8], frame_step=0.5)
    fitted = fit("AR-LS", Task(heavy, WINDOW, SPLIT, FULL)).forecaster
    full = [ase.Atoms("HCNO", frame) for frame in x[:10].astype(float)]
    (found,) = extend(full, fitted, 1)
    assert found.get_chemical_formula() == "CNO"
    expected = fitted.predict(fitted.history(x[3:10, 1:]))[:, 0]
    np.testing.assert_allclose(found.positions, expected, atol=1e-5)


def test_what_does_not_match_is_one_line(forecaster):
    other = [*images()[:-1], ase.Atoms([8, 6, 6], frames()[19])]
    for given, changes, message in (
        (images(6), {}, r"needs 7 frames \(T=4, every 2\), there are 6"),
        (
            images(numbers=[8, 6, 1]),
            {},
            "frame 13: atom 1 is C, the forecaster's is H; put the atoms",
        ),
        (other, {}, "frame 19: atom 1 is C, the forecaster's is H$"),
        (
            [atoms[:2] for atoms in images()],
            {},
            "frame 13: has 2 atoms, the forecaster's system has 3",
        ),
        (images(step=0.25), {}, "frames are 0.25 fs apart, the forecaster knows 0.5 and 1 fs"),
        (images(), {"frame_step": 2.0}, "frames are 2 fs apart"),
    ):
        with pytest.raises(DataError, match=message) as raised:
            extend(given, forecaster, **changes)
        assert "\n" not in str(raised.value)
    given = images()
    given[-1].info["length_unit"] = "nm"
    with pytest.raises(DataError, match="is in nm, the forecaster in Å"):
        extend(given, forecaster)


def test_nodes_that_are_no_atoms_are_points():
    x = np.stack([frames(2), frames(2) + 1], axis=2)  # two channels
    fitted = fit("AR-LS", Task(Trajectory.from_arrays(x), WINDOW, SPLIT, FULL)).forecaster
    path = np.asarray(fitted.rollout(fitted.history(x), 2))
    found = as_atoms(path, fitted)
    assert found[1].symbols.get_chemical_formula() == "X4"
    np.testing.assert_allclose(found[1].positions, path[1].reshape(4, 3), atol=1e-6)
    (again,) = extend([ase.Atoms("X4", y.reshape(4, 3)) for y in x[:7]], fitted, 1)
    np.testing.assert_allclose(again.positions, found[0].positions, atol=1e-5)


def test_the_up_of_the_last_frame_is_looked_at():
    rng = np.random.default_rng(0)
    positions, up = frames(dtype=np.float64), rng.normal(size=(400, 3))
    trajectory = Trajectory.from_arrays(positions, atomic_numbers=NUMBERS, vectors={"up": up})
    of = Task(trajectory, WINDOW, SPLIT, FULL)
    forecaster = fit("VAR ridge, vertical apart", of).forecaster
    given = images()
    with pytest.raises(ValueError, match="'up'"):
        extend(given, forecaster, 2)
    given[-1].info |= {"gravity": (0, 0, -9.8), "field": (1, 0, 0)}
    history = forecaster.history(frames()[:20], start=13)
    expected = forecaster.rollout(history, 2, vectors={"up": [0.0, 0.0, 1.0]})
    for atoms, frame in zip(extend(given, forecaster, 2), expected, strict=True):
        np.testing.assert_allclose(atoms.positions, frame[:, 0], atol=1e-5)
